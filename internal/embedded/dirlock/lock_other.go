//go:build !unix

package dirlock

import (
	"errors"
	"os"
)

func lockFile(*os.File) error {
	return errors.New("locking a directory is not supported on this operating system")
}
