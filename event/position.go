package event

import (
	"fmt"
	"strconv"
	"strings"
)

// Position says how far a partition of an aggregate type has been decided: the offset of the
// partition's last command that appended events. Its text form, "order/3@1024", is the consistency
// token that callers hand from a command's answer to a query. The zero Position means "nothing yet".
type Position struct {
	Aggregate string
	Partition int32
	Offset    int64
}

// IsZero reports whether p names no partition.
func (p Position) IsZero() bool { return p.Aggregate == "" }

// String returns the text form; empty for the zero Position.
func (p Position) String() string {
	return string(p.Append(make([]byte, 0, len(p.Aggregate)+24)))
}

// Append appends what String returns.
func (p Position) Append(b []byte) []byte {
	if p.IsZero() {
		return b
	}
	b = append(b, p.Aggregate...)
	b = append(b, '/')
	b = strconv.AppendInt(b, int64(p.Partition), 10)
	b = append(b, '@')
	return strconv.AppendInt(b, p.Offset, 10)
}

// ParsePosition reads the text form. Its error wraps ErrMalformed.
func ParsePosition(s string) (Position, error) {
	bad := func() (Position, error) {
		return Position{}, fmt.Errorf("%w: position %q is not of the form aggregate/partition@offset, such as order/3@1024", ErrMalformed, s)
	}
	aggregate, rest, ok := strings.Cut(s, "/")
	if !ok || aggregate == "" {
		return bad()
	}
	partition, offset, ok := strings.Cut(rest, "@")
	if !ok {
		return bad()
	}
	p, err := strconv.ParseInt(partition, 10, 32)
	if err != nil || p < 0 {
		return bad()
	}
	o, err := strconv.ParseInt(offset, 10, 64)
	if err != nil || o < 0 {
		return bad()
	}
	return Position{Aggregate: aggregate, Partition: int32(p), Offset: o}, nil
}

// ParsePositions reads a comma-separated list, as in the header Cqrs-After. Empty text is no positions.
func ParsePositions(s string) ([]Position, error) {
	var out []Position
	for part := range strings.SplitSeq(s, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		p, err := ParsePosition(part)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// FormatPositions joins positions with ", ".
func FormatPositions(ps []Position) string {
	parts := make([]string, 0, len(ps))
	for _, p := range ps {
		if !p.IsZero() {
			parts = append(parts, p.String())
		}
	}
	return strings.Join(parts, ", ")
}
