//go:build unix

package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	embedded "github.com/fergusstrange/embedded-postgres"
)

// RepositoryEnv names the environment variable with the URL of the Maven repository that binaries are
// fetched from, instead of Maven Central.
const RepositoryEnv = "CQRSFLOW_POSTGRES_REPOSITORY"

// What is fetched when there is no local installation.
const (
	downloadVersion = embedded.V18
	downloadMajor   = 18
)

// fetched returns the directory of the fetched binaries, fetching them when they are not in the cache.
func fetched(ctx context.Context, cache string, acc *account, logger *slog.Logger) (string, error) {
	if cache == "" {
		var err error
		if cache, err = defaultCache(acc); err != nil {
			return "", err
		}
	}
	home := filepath.Join(cache, "postgresql-"+string(downloadVersion))
	bin := filepath.Join(home, "bin")
	if _, err := os.Stat(bin); err == nil {
		return bin, nil
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(cache, "fetching-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work) //nolint:errcheck // litter in a cache

	logger.Info("fetching PostgreSQL, once", "version", string(downloadVersion), "to", home)
	if err := fetch(ctx, work); err != nil {
		return "", err
	}
	unpacked := filepath.Join(work, "unpacked")
	if acc != nil { // whatever the umask was
		if err := makeReadable(unpacked); err != nil {
			return "", err
		}
	}
	// Another process may have been faster: then the name is taken, by the same thing.
	if err := os.Rename(unpacked, home); err != nil && !errors.Is(err, fs.ErrExist) {
		if _, statErr := os.Stat(bin); statErr != nil {
			return "", err
		}
	}
	return bin, nil
}

// fetch unpacks the binaries to work/unpacked.
//
// The library has no call for that alone. Its Start fetches and unpacks, then makes a database unless the
// data directory has one, then starts it: given one that has a PG_VERSION and nothing else, it ends there,
// and whether the binaries are there says if the fetch worked. It takes no context, so that the caller
// waits for it (a download of 10 MB) even when ctx ends.
func fetch(ctx context.Context, work string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	data := filepath.Join(work, "no-data")
	if err := os.MkdirAll(data, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(data, "PG_VERSION"), fmt.Appendln(nil, downloadMajor), 0o600); err != nil {
		return err
	}
	port, err := freePort() // the library looks whether it is free, and then uses it no more
	if err != nil {
		return err
	}
	cfg := embedded.DefaultConfig().Version(downloadVersion).Port(port).Logger(io.Discard).
		CachePath(work).RuntimePath(filepath.Join(work, "runtime")).
		BinariesPath(filepath.Join(work, "unpacked")).DataPath(data)
	if repo := os.Getenv(RepositoryEnv); repo != "" {
		cfg = cfg.BinaryRepositoryURL(repo)
	}
	server := embedded.NewDatabase(cfg)
	err = server.Start()
	if err == nil { // it cannot have started, but if it did it must not be left
		err = server.Stop()
	}
	for _, program := range []string{"initdb", "postgres"} {
		if _, statErr := os.Stat(filepath.Join(work, "unpacked", "bin", program)); statErr != nil {
			return errors.Join(err, statErr)
		}
	}
	return ctx.Err()
}

func defaultCache(acc *account) (string, error) {
	if acc != nil {
		return "/var/cache/cqrsflow", nil
	}
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "cqrsflow"), err
}

func freePort() (uint32, error) {
	ln, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		return 0, err
	}
	return uint32(ln.Addr().(*net.TCPAddr).Port), ln.Close()
}

// makeReadable lets everybody read dir, and run what its owner can run.
func makeReadable(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		mode := info.Mode().Perm() | 0o444
		if d.IsDir() || mode&0o100 != 0 {
			mode |= 0o111
		}
		return os.Chmod(path, mode)
	})
}
