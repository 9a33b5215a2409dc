// Package money is exact arithmetic on amounts of one currency, in cents. It knows no currencies: every
// amount has two decimals.
package money

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"

	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
)

// What arithmetic can fail with.
var (
	// ErrTooLarge: the result does not fit into 63 bits of cents (92,233,720,368,547,758.07).
	ErrTooLarge = errors.New("amount too large")
	// ErrCurrency: the amounts have different currencies.
	ErrCurrency = errors.New("different currencies")
	// ErrSyntax: the text is no amount.
	ErrSyntax = errors.New("not an amount such as 11.77")
)

// Amount is some money, never negative. The zero Amount is nothing of no currency.
type Amount struct {
	Cents    int64
	Currency string
}

// Of reads a message. Its error is ErrSyntax or ErrTooLarge.
func Of(m *typev1.Money) (Amount, error) {
	cents, err := Parse(m.GetAmount())
	return Amount{Cents: cents, Currency: m.GetCurrency()}, err
}

// Proto makes a message, with two decimals whatever the amount was read from.
func (a Amount) Proto() *typev1.Money {
	return &typev1.Money{Amount: Format(a.Cents), Currency: a.Currency}
}

// String is for people: "11.77 USD".
func (a Amount) String() string { return Format(a.Cents) + " " + a.Currency }

// Add returns the sum. Its error is ErrCurrency or ErrTooLarge.
func (a Amount) Add(b Amount) (Amount, error) {
	if a.Currency != b.Currency {
		return Amount{}, fmt.Errorf("%w: %s and %s", ErrCurrency, a.Currency, b.Currency)
	}
	if a.Cents > math.MaxInt64-b.Cents {
		return Amount{}, fmt.Errorf("%w: %s and %s together", ErrTooLarge, a, b)
	}
	return Amount{Cents: a.Cents + b.Cents, Currency: a.Currency}, nil
}

// Times returns n times a; n must not be negative. Its error is ErrTooLarge.
func (a Amount) Times(n int64) (Amount, error) {
	high, low := bits.Mul64(uint64(a.Cents), uint64(n))
	if high != 0 || low > math.MaxInt64 {
		return Amount{}, fmt.Errorf("%w: %d times %s", ErrTooLarge, n, a)
	}
	return Amount{Cents: int64(low), Currency: a.Currency}, nil
}

// Parse reads "11.77", "11.7" or "11" as cents: decimal digits, and one or two more after a point.
// Its error is ErrSyntax or ErrTooLarge.
func Parse(s string) (int64, error) {
	whole, fraction, point := strings.Cut(s, ".")
	if !digits(whole) || point && (!digits(fraction) || len(fraction) > 2) {
		return 0, fmt.Errorf("%w: %.40q", ErrSyntax, s)
	}
	if len(fraction) < 2 {
		fraction += "00"[len(fraction):]
	}
	cents, err := strconv.ParseInt(whole+fraction, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: %.40s", ErrTooLarge, s)
	}
	return cents, nil
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// Format writes cents with two decimals, such as "11.77".
func Format(cents int64) string {
	b := make([]byte, 0, 24)
	magnitude := uint64(cents)
	if cents < 0 {
		b = append(b, '-')
		magnitude = -magnitude
	}
	b = strconv.AppendUint(b, magnitude/100, 10)
	return string(append(b, '.', '0'+byte(magnitude%100/10), '0'+byte(magnitude%10)))
}
