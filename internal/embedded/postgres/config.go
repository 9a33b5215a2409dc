package postgres

import (
	"errors"
	"fmt"
	"log/slog"
)

// MinVersion is the oldest major version of PostgreSQL that Start uses.
const MinVersion = 15

// Names of the superuser and of the database that URL points to.
const (
	userName     = "cqrsflow"
	databaseName = "cqrsflow"
)

var (
	// ErrNoBinaries is wrapped by Start's error when there is no usable PostgreSQL on this machine, and none
	// could be fetched. The message says what was tried, what to install and which setting to use instead.
	ErrNoBinaries = errors.New("no PostgreSQL server found")

	// ErrOtherVersion is wrapped by Start's error when the data directory was made by a major version of
	// PostgreSQL that is not here any more.
	ErrOtherVersion = errors.New("the data directory belongs to another version of PostgreSQL")
)

// Config configures Start.
type Config struct {
	// DataDir is where the database and the server's log live; it is made, mode 0700, when it is missing. It
	// may be on any path, also one that the server's own user cannot reach. One process at a time: a second
	// one gets an error wrapping dirlock.ErrLocked. Required.
	DataDir string
	// Binaries is a directory with initdb and postgres, or its parent. Empty looks for a local installation,
	// and fetches one when there is none.
	Binaries string
	// CacheDir is where fetched binaries are kept. Empty is the user's cache directory; for root, whose cache
	// is out of the server user's reach, /var/cache/cqrsflow.
	CacheDir string
	// Logger receives what happens to the server; nil is slog.Default(). The server's own log is the file
	// postgres.log in DataDir.
	Logger *slog.Logger
}

func (c Config) validate() error {
	if c.DataDir == "" {
		return fmt.Errorf(`embedded postgres: DataDir is "": it must name a directory`)
	}
	return nil
}
