// Package cdnow imports the CDNOW purchase history, a real data set of customer-base analysis (P. Fader and
// B. Hardie, "Forecasting Repeat Sales at CDNOW: A Case Study", Interfaces 31, 2001): each purchase becomes
// an order that is placed and paid on its own date.
//
// The n-th data line, from 1, is order cdnow-<n>: the same customer can buy twice on a day, so the line number
// is the only key. Command IDs follow from it, which makes a second import change nothing.
package cdnow

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
)

// Purchase is a data line.
type Purchase struct {
	// N counts data lines from 1.
	N int
	// Customer is the customer's number as it stands in the file, with its zeros.
	Customer string
	// Date is the day of the purchase, 00:00 UTC.
	Date time.Time
	// Quantity is the number of CDs, Cents what they cost together in US cents; 0 is real.
	Quantity int32
	Cents    int64
}

var header = []string{"customer_id", "date", "number_of_cds", "dollar_value"}

const (
	maxQuantity = 1_000_000 // a line of an order
	maxDollars  = 12        // digits of a money amount
	maxCustomer = 32
	maxLine     = 64 << 10
)

// Parse reads the whole file, gzip or plain, so that a mistake in it is found before anything of it has
// been published. Its errors name the line, counted from 1 with the header, and wrap event.ErrMalformed.
func Parse(r io.Reader) ([]Purchase, error) {
	buffered := bufio.NewReader(r)
	if magic, _ := buffered.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", event.ErrMalformed, err)
		}
		defer func() { _ = z.Close() }() // its only error is one that reading has returned
		buffered = bufio.NewReader(z)
	}
	lines := bufio.NewScanner(buffered)
	lines.Buffer(nil, maxLine)
	var all []Purchase
	n := 0
	bad := func(format string, args ...any) ([]Purchase, error) {
		return nil, fmt.Errorf("%w: line %d: "+format, append([]any{event.ErrMalformed, n}, args...)...)
	}
	for lines.Scan() {
		n++
		fields := strings.Fields(lines.Text())
		switch {
		case n == 1:
			if !slices.Equal(fields, header) {
				return bad("the file must begin with the header %q", strings.Join(header, " "))
			}
			continue
		case len(fields) == 0:
			continue
		case len(fields) != len(header):
			return bad("there are %d fields; there must be %d: %s", len(fields), len(header), strings.Join(header, ", "))
		}
		p, err := parseLine(fields)
		if err != nil {
			return bad("%w", err)
		}
		p.N = len(all) + 1
		all = append(all, p)
	}
	if err := lines.Err(); err != nil {
		n++
		if errors.Is(err, bufio.ErrTooLong) {
			return bad("it has more than %d bytes", maxLine)
		}
		return bad("%w", err)
	}
	if n == 0 {
		return nil, fmt.Errorf("%w: the file is empty", event.ErrMalformed)
	}
	return all, nil
}

func parseLine(f []string) (p Purchase, err error) {
	if len(f[0]) > maxCustomer || !digits(f[0]) {
		return p, fmt.Errorf("customer_id %q must be 1 to %d digits, such as 00001", clip(f[0]), maxCustomer)
	}
	p.Customer = f[0]
	if p.Date, err = time.Parse("20060102", f[1]); err != nil || !digits(f[1]) || p.Date.Year() < 1 {
		return p, fmt.Errorf("date %q must be a date such as 19970101", clip(f[1]))
	}
	q, err := strconv.ParseInt(f[2], 10, 32)
	if err != nil || q < 1 || q > maxQuantity || !digits(f[2]) {
		return p, fmt.Errorf("number_of_cds %q must be a number from 1 to %d", clip(f[2]), maxQuantity)
	}
	p.Quantity = int32(q)
	if p.Cents, err = cents(f[3]); err != nil {
		return p, err
	}
	return p, nil
}

// cents reads dollars with up to two decimals. Binary fractions cannot hold cents, so it never goes through one.
func cents(s string) (int64, error) {
	whole, fraction, point := strings.Cut(s, ".")
	if !digits(whole) || len(whole) > maxDollars || point && (!digits(fraction) || len(fraction) > 2) {
		return 0, fmt.Errorf("dollar_value %q must be an amount such as 11.77, not negative and with at most %d digits before the point", clip(s), maxDollars)
	}
	return strconv.ParseInt(whole+(fraction + "00")[:2], 10, 64)
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

// Totals are what an import must come to.
type Totals struct {
	Purchases int   `json:"purchases"`
	Customers int   `json:"customers"`
	Quantity  int64 `json:"quantity"`
	Cents     int64 `json:"cents"`
}

// Sum adds purchases up.
func Sum(all []Purchase) Totals {
	t := Totals{Purchases: len(all)}
	customers := map[string]struct{}{}
	for i := range all {
		customers[all[i].Customer] = struct{}{}
		t.Quantity += int64(all[i].Quantity)
		t.Cents += all[i].Cents
	}
	t.Customers = len(customers)
	return t
}
