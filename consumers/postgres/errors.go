package postgres

import (
	"errors"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"
)

// class says what to do about an error of a transaction.
type class int

const (
	// other: nobody knows; tell the runner, which tries again with growing pauses.
	other class = iota
	// again: it collided with another transaction (40001, 40P01); the whole batch is run again at once.
	again
	// unavailable: the server, or the way to it, is not there; the batch waits.
	unavailable
	// data: the server refuses what an event says.
	data
)

// panicked is what a read model panicked with.
type panicked struct{ value any }

func (p *panicked) Error() string { return "the read model panicked" }

func classify(err error) class {
	var (
		pg   *pgconn.PgError
		conn *pgconn.ConnectError
		nerr net.Error
		pan  *panicked
	)
	switch {
	case errors.As(err, &pan):
		return data
	case errors.As(err, &pg):
		return classOf(pg.Code)
	case errors.As(err, &conn), errors.As(err, &nerr), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, net.ErrClosed), errors.Is(err, puddle.ErrClosedPool), pgconn.SafeToRetry(err), pgconn.Timeout(err):
		return unavailable
	}
	return other
}

// classOf sorts SQLSTATEs (PostgreSQL documentation, appendix A).
func classOf(code string) class {
	switch code {
	case "40001", "40P01": // serialization_failure, deadlock_detected
		return again
	case "55P03", "25006", "25P03", "25P02": // lock_not_available, read_only_sql_transaction, idle timeout, aborted transaction
		return unavailable
	}
	if len(code) != 5 {
		return other
	}
	switch code[:2] {
	case "08", "53", "57", "58", "XX", "28": // connection, resources, operator, system, internal, authorization
		return unavailable
	case "22", "23": // data exception, integrity constraint violation
		return data
	}
	return other
}
