package searchindex

import (
	"fmt"
	"math"
	"strings"

	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
)

// cents reads a decimal amount such as "11.77". No money at all is zero.
func cents(m *typev1.Money) (int64, error) {
	if m == nil {
		return 0, nil
	}
	text := m.GetAmount()
	whole, fraction, point := strings.Cut(text, ".")
	bad := func(why string) (int64, error) {
		return 0, fmt.Errorf("the amount %q %s", text, why)
	}
	if whole == "" || point && (fraction == "" || len(fraction) > 2) {
		return bad("is no decimal with at most 2 decimals")
	}
	// One digit after the point is tenths.
	digits := whole + (fraction + "00")[:2]
	var n int64
	for i := 0; i < len(digits); i++ {
		c := digits[i]
		if c < '0' || c > '9' {
			return bad("is no decimal with at most 2 decimals")
		}
		if n > (math.MaxInt64-int64(c-'0'))/10 {
			return bad("is too large")
		}
		n = n*10 + int64(c-'0')
	}
	return n, nil
}
