package query

import "fmt"

// Money is an amount in the smallest unit of its currency that the read models keep, hundredths.
type Money struct {
	Cents    int64  `json:"cents"`
	Currency string `json:"currency"`
}

// Amount is the decimal text with two digits after the point, such as "11.77".
func (m Money) Amount() string {
	sign, cents := "", uint64(m.Cents)
	if m.Cents < 0 {
		sign, cents = "-", -cents
	}
	return fmt.Sprintf("%s%d.%02d", sign, cents/100, cents%100)
}
