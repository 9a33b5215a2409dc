//go:build !unix

package postgres

import (
	"context"
	"errors"
	"runtime"
)

// Server is a running embedded server; there is none on this operating system.
type Server struct{}

// Start returns an error: the embedded server needs Unix sockets and signals.
func Start(context.Context, Config) (*Server, error) {
	return nil, errors.New("embedded postgres: not available on " + runtime.GOOS +
		": use a server of your own with --postgres-url or CQRSFLOW_POSTGRES_URL")
}

// URL returns "".
func (*Server) URL() string { return "" }

// Done returns nil.
func (*Server) Done() <-chan struct{} { return nil }

// Close does nothing.
func (*Server) Close() error { return nil }
