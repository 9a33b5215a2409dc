package shop

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cqrsflow/cqrsflow/event"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
)

var errAmount = errors.New("not an amount such as 11.77 that fits into 63 bits of hundredths")

// cents reads an amount with at most two decimals.
func cents(m *typev1.Money) (int64, error) {
	whole, fraction, point := strings.Cut(m.GetAmount(), ".")
	if point && fraction == "" || len(fraction) > 2 {
		return 0, fmt.Errorf("%w: %.40q", errAmount, m.GetAmount())
	}
	digits := whole + fraction + "00"[len(fraction):]
	n, err := strconv.ParseUint(digits, 10, 63) // takes digits only: no sign, no underscore
	if err != nil || whole == "" {
		return 0, fmt.Errorf("%w: %.40q", errAmount, m.GetAmount())
	}
	return int64(n), nil
}

// add stops at the largest number rather than overflow.
func add(a, b int64) int64 {
	if b > 0 && a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

// at is the time that an event's body says, or else the envelope's.
func at(t *timestamppb.Timestamp, e *event.Recorded) time.Time {
	if t == nil {
		return e.Time.UTC()
	}
	return t.AsTime()
}

func day(t time.Time) time.Time {
	y, m, d := t.UTC().Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}
