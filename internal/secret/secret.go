package secret

import (
	"fmt"
	"io"
	"log/slog"
)

// Masked is what is shown in the place of a secret.
const Masked = "[secret]"

// Value holds something that must not be shown. Printing, logging or encoding it gives Masked, in whatever verb and however
// deep in other values it lies: it is inside a function, which no encoder looks into (package fmt follows a pointer in an
// unexported field where the verb does not fit it). The zero value holds T's zero value. It is safe for concurrent use as T is.
type Value[T any] struct{ reveal func() T }

// Text and Bytes are the usual secrets.
type (
	Text  = Value[string]
	Bytes = Value[[]byte]
)

// Of hides v.
func Of[T any](v T) Value[T] { return Value[T]{reveal: func() T { return v }} }

// Reveal returns what is hidden: where it is used, and nowhere else.
func (v Value[T]) Reveal() T {
	if v.reveal == nil {
		var zero T
		return zero
	}
	return v.reveal()
}

// String returns Masked.
func (Value[T]) String() string { return Masked }

// Format writes Masked, whatever the verb.
func (Value[T]) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, Masked) }

// LogValue returns Masked.
func (Value[T]) LogValue() slog.Value { return slog.StringValue(Masked) }

// MarshalText returns Masked: encoders do not reveal either.
func (Value[T]) MarshalText() ([]byte, error) { return []byte(Masked), nil }
