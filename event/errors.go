package event

import (
	"context"
	"errors"
	"fmt"
)

// The categories of errors. What goes wrong anywhere wraps one of them; callers ask with errors.Is.
var (
	// ErrInvalid: the caller's input breaks a rule; the same input fails again.
	ErrInvalid = errors.New("invalid")
	// ErrMalformed: the caller's input cannot be read at all.
	ErrMalformed = errors.New("malformed")
	// ErrUnknownType: a command or event type that nothing is registered for.
	ErrUnknownType = errors.New("unknown type")
	// ErrUndecodable: bytes from the log that are no such event, outcome or state: poison.
	ErrUndecodable = errors.New("undecodable")
	// ErrForeign: a record that cqrsflow did not write; it is skipped and counted.
	ErrForeign = errors.New("foreign record")
	// ErrNotFound: nothing by that name.
	ErrNotFound = errors.New("not found")
	// ErrUnavailable: a server cannot be reached or is not ready; nothing was taken, so try again.
	ErrUnavailable = errors.New("unavailable")
	// ErrOutcomeUnknown: it may or may not have become durable; ask again with the same command ID.
	ErrOutcomeUnknown = errors.New("outcome unknown")
	// ErrFenced: another owner has taken over; nothing was acknowledged.
	ErrFenced = errors.New("fenced")
	// ErrCorrupt: the log contradicts itself or what was read from it before; an operator must look.
	ErrCorrupt = errors.New("corrupt")
	// ErrConfig: a setting is missing or out of bounds.
	ErrConfig = errors.New("configuration")
)

// FieldError says what is wrong with one field of a command; Field is a JSON path such as "lines[0].quantity".
type FieldError struct {
	Field   string `json:"field"`
	Message string `json:"message"`
}

// Rejection is the domain's "no": Decide returns it, the outcome carries it.
type Rejection struct {
	// Code is stable, snake_case, such as "order_already_shipped".
	Code    string
	Message string
}

// Error returns the code and the message.
func (r *Rejection) Error() string { return r.Code + ": " + r.Message }

// Reject makes a Rejection as an error; the message is formatted as by fmt.Sprintf.
func Reject(code, format string, args ...any) error {
	return &Rejection{Code: code, Message: fmt.Sprintf(format, args...)}
}

// SafeToRetry reports whether the operation that returned err can be repeated as it was, with a
// chance of another result. A context that has ended, and everything that an operator or a caller
// must change first, is not.
func SafeToRetry(err error) bool {
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false
	}
	return errors.Is(err, ErrUnavailable)
}

func wrapf(category error, format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{category}, args...)...)
}
