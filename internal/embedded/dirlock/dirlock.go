package dirlock

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// ErrLocked is what Acquire's error wraps when another user holds the lock.
var ErrLocked = errors.New("directory is in use by another process")

// Lock is a held lock. Release it once.
type Lock struct{ file *os.File }

// Acquire takes the lock on the existing directory dir without waiting, by way of the file dir/name,
// which holds the owner's process ID for people to read. The error wraps ErrLocked when it is taken.
func Acquire(dir, name string) (*Lock, error) {
	path := filepath.Join(dir, name)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	if err := lockFile(f); err != nil {
		owner := readOwner(f)
		_ = f.Close()
		if errors.Is(err, ErrLocked) && owner != "" {
			return nil, fmt.Errorf("lock %s: %w (process %s)", dir, ErrLocked, owner)
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	// The process ID is for the message above only, so that failing to write it is no reason to refuse.
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	}
	return &Lock{file: f}, nil
}

// Release gives the lock up. The file stays: removing it would let two later users lock different files.
func (l *Lock) Release() error { return l.file.Close() }

func readOwner(f *os.File) string {
	buf := make([]byte, 20)
	n, _ := f.ReadAt(buf, 0)
	return strings.TrimSpace(string(buf[:n]))
}
