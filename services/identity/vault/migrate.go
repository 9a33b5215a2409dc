package vault

import (
	"context"
	"embed"

	"github.com/cqrsflow/cqrsflow/internal/pgmigrate"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Schema holds the keys and nothing else: who backs up or reads the rest of the database need not have it.
const Schema = "keys"

// migrationLock is the key of the advisory lock that lets one process migrate at a time.
const migrationLock = 0x637172736b // "cqrsk"

// Migrate makes the table, or brings it up to date. It changes nothing where all is done, and waits for another process that is
// at it. Errors wrap event.ErrConfig for a URL that is none, and event.ErrUnavailable where the server cannot be reached.
func Migrate(ctx context.Context, url string) error {
	return pgmigrate.Schema{Name: Schema, For: "the keys", Lock: migrationLock, Files: migrations}.Up(ctx, url)
}
