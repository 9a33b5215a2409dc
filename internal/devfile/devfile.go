// Package devfile is dev.json: what a running `cqrsflow dev` leaves in its data directory for the client
// commands on the same machine to find it.
package devfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// Name is the file's name in the data directory.
const Name = "dev.json"

// File is its content. It holds secrets, so it is readable by its owner only.
type File struct {
	PID int `json:"pid"`
	// Server and Ops are base URLs, Kafka is a broker's host:port.
	Server string `json:"server"`
	Ops    string `json:"ops"`
	Kafka  string `json:"kafka"`
	Prefix string `json:"prefix"`
	// Postgres is the embedded server's connection URL.
	Postgres string `json:"postgres"`
	// Token opens the operations port, and the HTTP API as service:cli; PrincipalKeys sign commands as that.
	Token         string    `json:"token"`
	PrincipalKeys string    `json:"principalKeys"`
	Started       time.Time `json:"started"`
}

// Write puts the file into dir, whole or not at all.
func Write(dir string, f File) error {
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	t, err := os.CreateTemp(dir, Name+".*") // mode 0600
	if err != nil {
		return err
	}
	_, err = t.Write(append(b, '\n'))
	if err = errors.Join(err, t.Close()); err == nil {
		err = os.Rename(t.Name(), filepath.Join(dir, Name))
	}
	if err != nil {
		_ = os.Remove(t.Name())
	}
	return err
}

// Remove takes the file away; that there is none is fine.
func Remove(dir string) error {
	err := os.Remove(filepath.Join(dir, Name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Find reads the file of the dev that runs on dir; nil where none does. A file that a killed dev left
// behind does not count: its operations port must answer.
func Find(dir string) (*File, error) {
	path := filepath.Join(dir, Name)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f := &File{}
	if err := json.Unmarshal(b, f); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	u, err := url.Parse(f.Ops)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	c, err := net.DialTimeout("tcp", u.Host, time.Second)
	if err != nil {
		return nil, nil
	}
	return f, c.Close()
}

// Settings are the values that it gives to settings which nobody has given, by key.
func (f *File) Settings() map[string]string {
	return map[string]string{"server": f.Server, "ops.url": f.Ops, "token": f.Token, "principal.keys": f.PrincipalKeys, "kafka.brokers": f.Kafka, "prefix": f.Prefix, "postgres.url": f.Postgres}
}
