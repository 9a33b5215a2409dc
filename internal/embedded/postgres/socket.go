//go:build unix

package postgres

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

const (
	socketPort   = "5432" // a part of the socket's name and nothing else
	socketPrefix = "cqrsflow-pg-"
)

func socketURL(dir, database string) string {
	u := url.URL{Scheme: "postgres", User: url.User(userName), Path: "/" + database}
	u.RawQuery = url.Values{"host": {dir}, "port": {socketPort}, "sslmode": {"disable"}}.Encode()
	return u.String()
}

// makeSocketDir makes a directory that only the server's user can enter, with a name short enough for a
// socket (its path has 103 bytes on macOS, 107 on Linux) and on a path that the server's user can walk:
// the data directory may be neither. Its name is written down, for removeSocketDir.
func (cl *cluster) makeSocketDir() (string, error) {
	var errs []error
	for _, parent := range []string{os.TempDir(), "/tmp", "/var/tmp", "/dev/shm"} {
		if len(parent)+len("/"+socketPrefix+"1234567890/.s.PGSQL."+socketPort+".lock") > 100 {
			errs = append(errs, fmt.Errorf("%s: the path is too long for a socket", parent))
			continue
		}
		if cl.account != nil && !walkable(parent) {
			errs = append(errs, fmt.Errorf("%s: out of reach for %s", parent, cl.account))
			continue
		}
		dir, err := os.MkdirTemp(parent, socketPrefix)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		err = errors.Join(cl.account.own(dir), os.WriteFile(filepath.Join(cl.dir, socketName), []byte(dir), 0o600))
		if err != nil {
			return "", errors.Join(err, os.Remove(dir))
		}
		return dir, nil
	}
	return "", fmt.Errorf("no place for the server's socket: %w", errors.Join(errs...))
}

// removeSocketDir removes the directory of the latest server, if it is still there.
func (cl *cluster) removeSocketDir() {
	note := filepath.Join(cl.dir, socketName)
	raw, err := os.ReadFile(note)
	if err != nil {
		return
	}
	if dir := string(raw); filepath.IsAbs(dir) && strings.HasPrefix(filepath.Base(dir), socketPrefix) {
		_ = os.RemoveAll(dir) // litter at worst
	}
	_ = os.Remove(note)
}

// walkable says whether any user can walk to dir.
func walkable(dir string) bool {
	for {
		info, err := os.Stat(dir)
		if err != nil || info.Mode().Perm()&0o001 == 0 {
			return false
		}
		if dir == "/" {
			return true
		}
		dir = filepath.Dir(dir)
	}
}
