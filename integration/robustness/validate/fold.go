package validate

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/integration/robustness/model"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	customerv1 "github.com/cqrsflow/cqrsflow/schemas/customer/v1"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

// Shop folds the orders out of their events.
func (l *Log) Shop() (model.Shop, error) {
	shop := model.Shop{}
	for i := range l.Events {
		e := &l.Events[i]
		if e.Aggregate != "order" {
			continue
		}
		o := shop[e.Key]
		o.Version++
		switch e.Headers["ce_type"] {
		case "order.v1.OrderPlaced":
			var m orderv1.OrderPlaced
			if err := decode(e, &m); err != nil {
				return nil, err
			}
			cents, err := Cents(m.GetTotal())
			if err != nil {
				return nil, fmt.Errorf("%s: %w", e, err)
			}
			o.Customer, o.Status, o.Cents = m.GetCustomer(), "placed", cents
			for _, line := range m.GetLines() {
				o.Units += int64(line.GetQuantity())
			}
		case "order.v1.OrderPaid":
			var m orderv1.OrderPaid
			if err := decode(e, &m); err != nil {
				return nil, err
			}
			at, err := time.Parse(time.RFC3339Nano, e.Headers["ce_time"])
			if err != nil || !m.GetPaidAt().AsTime().Equal(at) {
				return nil, fmt.Errorf("%s: paid at %v, at %q by its header", e, m.GetPaidAt().AsTime(), e.Headers["ce_time"])
			}
			o.Status, o.Day = "paid", at.UTC().Format(time.DateOnly)
		case "order.v1.OrderShipped":
			o.Status = "shipped"
		case "order.v1.OrderDelivered":
			o.Status = "delivered"
		case "order.v1.OrderCancelled":
			o.Status = "cancelled"
		case "order.v2.OrderAnnotated":
		default:
			return nil, fmt.Errorf("%s: %s is not expected here", e, e.Headers["ce_type"])
		}
		shop[e.Key] = o
	}
	return shop, nil
}

// Customers folds the customers out of their events; an order that is recorded twice is an error.
func (l *Log) Customers() (map[string]model.Customer, error) {
	out := map[string]model.Customer{}
	orders := map[string]string{}
	for i := range l.Events {
		e := &l.Events[i]
		if e.Aggregate != "customer" {
			continue
		}
		var m customerv1.PurchaseRecorded
		if err := decode(e, &m); err != nil {
			return nil, err
		}
		if by, ok := orders[m.GetOrder()]; ok {
			return nil, fmt.Errorf("%s: order %s has been recorded with %s before", e, m.GetOrder(), by)
		}
		orders[m.GetOrder()] = e.Key
		cents, err := Cents(m.GetTotal())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e, err)
		}
		day := m.GetPurchasedAt().AsTime().UTC().Format(time.DateOnly)
		c, ok := out[e.Key]
		if !ok {
			c.First, c.Last = day, day
		}
		out[e.Key] = model.Customer{Orders: c.Orders + 1, Units: c.Units + int64(m.GetUnits()), Cents: c.Cents + cents,
			First: min(c.First, day), Last: max(c.Last, day)}
	}
	return out, nil
}

func decode(r *Record, m proto.Message) error {
	if ct := r.Headers["content-type"]; ct != "application/protobuf" {
		return fmt.Errorf("%s: content type %q", r, ct)
	}
	if err := proto.Unmarshal(r.Value, m); err != nil {
		return fmt.Errorf("%s: %w", r, err)
	}
	return nil
}

// Cents is an amount of US dollars.
func Cents(m *typev1.Money) (int64, error) { return cents(m.GetAmount(), m.GetCurrency()) }

func cents(amount, currency string) (int64, error) {
	whole, fraction, _ := strings.Cut(amount, ".")
	if currency != "USD" || len(fraction) > 2 || whole == "" {
		return 0, fmt.Errorf("%q %q is no amount of dollars", amount, currency)
	}
	return strconv.ParseInt(whole+(fraction + "00")[:2], 10, 64)
}
