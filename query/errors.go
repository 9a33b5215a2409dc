package query

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"

	"github.com/cqrsflow/cqrsflow/event"
)

// Errors of this package besides ErrBehind and the categories of package event.
var (
	// ErrNotYet: the stream exists, but had no event at the version or time asked for.
	ErrNotYet = errors.New("not yet")
	// ErrBadCursor: the cursor was not made by this query; it wraps event.ErrMalformed.
	ErrBadCursor = fmt.Errorf("%w: the cursor was not given out for this query", event.ErrMalformed)
)

// storeError sorts what Postgres or the way to it says into the categories. What the caller's own context
// ended keeps its error; whatever may work later is event.ErrUnavailable; all else is a fault of the program.
func storeError(ctx context.Context, doing string, err error) error {
	if err == nil {
		return nil
	}
	if cause := ctx.Err(); cause != nil {
		return fmt.Errorf("%s: %w", doing, cause)
	}
	if unreachable(err) {
		return fmt.Errorf("%s: %w: %w", doing, event.ErrUnavailable, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func unreachable(err error) bool {
	var (
		answer  *pgconn.PgError
		connect *pgconn.ConnectError
		network net.Error
	)
	switch {
	case errors.As(err, &answer):
		return transient(answer.Code)
	case errors.As(err, &connect), errors.As(err, &network), errors.Is(err, puddle.ErrClosedPool):
		return true
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || pgconn.SafeToRetry(err)
}

// transient tells the SQLSTATEs that another attempt may not meet: connection exceptions (08), insufficient
// resources (53), operator intervention (57), and tables that the migrations have yet to make.
func transient(code string) bool {
	if len(code) != 5 {
		return false
	}
	switch code[:2] {
	case "08", "53", "57":
		return true
	}
	return code == "42P01" || code == "3F000" || code == "40001" || code == "40P01"
}
