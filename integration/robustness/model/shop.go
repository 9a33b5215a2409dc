// Package model says what must have come about: the orders and customers that follow from what was asked for,
// worked out without any of the code that is tested.
package model

import (
	"cmp"
	"maps"
	"slices"
)

// Order is what all read models and the log must agree on. Cents are US dollars.
type Order struct {
	Customer string
	Status   string
	Version  int64
	Units    int64
	Cents    int64
	// Day is the UTC date on which it was paid, such as 1997-01-31; empty where it was not.
	Day string
}

// Customer is what a customer's paid orders come to.
type Customer struct {
	Orders int64
	Units  int64
	Cents  int64
	First  string
	Last   string
}

// Day is what was paid on a day.
type Day struct {
	Orders int64
	Units  int64
	Cents  int64
}

// Totals are sums over all orders. Customers counts those with a paid order.
type Totals struct {
	Orders    int64
	Customers int64
	Units     int64
	Cents     int64
}

// Shop is all orders by ID.
type Shop map[string]Order

// Customers are the sums of the paid orders by customer.
func (s Shop) Customers() map[string]Customer {
	out := map[string]Customer{}
	for _, o := range s {
		if o.Day == "" {
			continue
		}
		c, ok := out[o.Customer]
		if !ok {
			c.First, c.Last = o.Day, o.Day
		}
		c.Orders++
		c.Units += o.Units
		c.Cents += o.Cents
		c.First, c.Last = min(c.First, o.Day), max(c.Last, o.Day)
		out[o.Customer] = c
	}
	return out
}

// Days are the sums of the paid orders by day.
func (s Shop) Days() map[string]Day {
	out := map[string]Day{}
	for _, o := range s {
		if o.Day != "" {
			d := out[o.Day]
			out[o.Day] = Day{d.Orders + 1, d.Units + o.Units, d.Cents + o.Cents}
		}
	}
	return out
}

// Totals sums all orders.
func (s Shop) Totals() Totals {
	t := Totals{Orders: int64(len(s)), Customers: int64(len(s.Customers()))}
	for _, o := range s {
		t.Units += o.Units
		t.Cents += o.Cents
	}
	return t
}

// Add adds another shop's orders.
func (s Shop) Add(other Shop) { maps.Copy(s, other) }

// BestCustomer is the one with most orders, the first by ID among equals.
func (s Shop) BestCustomer() (id string, c Customer) {
	all := s.Customers()
	id = slices.MaxFunc(slices.Sorted(maps.Keys(all)), func(a, b string) int {
		return cmp.Or(cmp.Compare(all[a].Orders, all[b].Orders), cmp.Compare(b, a))
	})
	return id, all[id]
}
