// Package shoppers simulates customers of a shop that tries whether a fee for shipping below some amount pays: they see what their
// order would cost, and pay, put something else into the basket, or leave. What one does is a function of the seed, the customer and
// the variant, and what is drawn for a customer is the same under every variant: only the response to it differs.
package shoppers

import (
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/cqrsflow/cqrsflow/domain/money"
	"github.com/cqrsflow/cqrsflow/domain/order"
	"github.com/cqrsflow/cqrsflow/event"
)

// People are how customers behave. The zero value is DefaultPeople's to fill in.
type People struct {
	// Buy is the share who pay for what they have put into the basket, where nothing is charged on top.
	Buy float64
	// TopUp is the share of those whom a fee would meet who rather put one more thing into the basket.
	TopUp float64
	// Leave is the share of those whom a fee meets, and who would have paid without, who leave.
	Leave float64
}

// DefaultPeople mostly accept the fee, or buy more.
var DefaultPeople = People{Buy: 0.55, TopUp: 0.4, Leave: 0.03}

// Check reports which share is none. Its error wraps event.ErrInvalid.
func (p People) Check() error {
	for name, v := range map[string]float64{"buy": p.Buy, "top-up": p.TopUp, "leave": p.Leave} {
		if !(v >= 0 && v <= 1) {
			return fmt.Errorf("%w: %s is %v; it must be a share from 0 to 1", event.ErrInvalid, name, v)
		}
	}
	return nil
}

// Shopper is one customer with one order.
type Shopper struct {
	ID    string
	Order string
	// Items are the prices in the basket, in cents.
	Items []int64
	// draws are what decides its responses.
	extra              int64
	buys, adds, leaves float64
}

// New draws the n-th customer of a seed.
func New(seed uint64, n int) Shopper {
	r := rand.New(rand.NewPCG(seed, uint64(n)))
	name := strconv.FormatUint(seed, 10) + "-" + strconv.Itoa(n)
	s := Shopper{ID: "shopper-" + name, Order: "shop-" + name}
	for range 1 + r.IntN(3) {
		s.Items = append(s.Items, 400+r.Int64N(1100))
	}
	s.extra = 400 + r.Int64N(1100)
	s.buys, s.adds, s.leaves = r.Float64(), r.Float64(), r.Float64()
	return s
}

// Response is what a customer does once it sees what the order costs.
type Response struct {
	// Add is the price of one more thing, in cents; 0 for nothing.
	Add int64
	// Pays says whether the order is paid, or else cancelled.
	Pays bool
}

// Respond is what the customer does under a variant of the order's decisions: with order.V2 there is a fee below an amount.
func (s Shopper) Respond(variant string, p People) Response {
	total := int64(0)
	for _, i := range s.Items {
		total += i
	}
	out := Response{Pays: s.buys < p.Buy}
	if variant != order.V2 || total >= order.FreeShippingFrom || !out.Pays {
		return out
	}
	if s.adds < p.TopUp && total+s.extra >= order.FreeShippingFrom {
		out.Add = s.extra
		return out
	}
	out.Pays = s.leaves >= p.Leave
	return out
}

// amount is a price as the API takes it.
func amount(cents int64) map[string]string {
	return map[string]string{"amount": money.Format(cents), "currency": "USD"}
}
