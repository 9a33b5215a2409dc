package app

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/cqrsflow/cqrsflow/internal/secret"
	"github.com/cqrsflow/cqrsflow/services/identity/token"
)

// The files of MakeKeys, as they are called by the settings that read them.
const (
	tokenKeysDir  = "token-keys"
	keksFile      = "keks"
	indexKeyFile  = "index-key"
	principalFile = "principal-keys"
)

// MakeKeys makes the keys that cqrsflow's settings name and that are not in dir yet (mode 0700; the files 0600): token-keys/<id>.pem, keks,
// index-key and principal-keys. What is there is never changed, since what it has encrypted or named would be lost. The IDs of
// new keys are the month of now, in UTC. It returns the paths, whether it has made them or found them.
func MakeKeys(dir string, now time.Time) ([]string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("folder of keys: %w", err)
	}
	if err := token.EnsureKey(filepath.Join(dir, tokenKeysDir)); err != nil {
		return nil, err
	}
	paths := []string{filepath.Join(dir, tokenKeysDir)}
	id := now.UTC().Format("2006-01:")
	for _, f := range []struct{ name, head string }{{keksFile, id}, {indexKeyFile, ""}, {principalFile, id}} {
		path := filepath.Join(dir, f.name)
		if _, err := ensureSecret(path, f.head); err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// ensureSecret reads a key, and makes it where it is not there yet. Whoever holds the data directory's lock is the only one who does.
func ensureSecret(path, head string) (string, error) {
	b, err := os.ReadFile(path)
	if err == nil {
		return string(b), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	key := make([]byte, secret.MinKey)
	_, _ = rand.Read(key) // it never fails
	text := head + base64.StdEncoding.EncodeToString(key)
	tmp, err := os.CreateTemp(filepath.Dir(path), ".key-*") // mode 0600
	if err != nil {
		return "", err
	}
	_, err = tmp.WriteString(text)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return "", fmt.Errorf("write %s: %w", path, err)
	}
	return text, nil
}
