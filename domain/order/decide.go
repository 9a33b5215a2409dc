package order

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/domain/money"
	"github.com/cqrsflow/cqrsflow/event"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
	orderv2 "github.com/cqrsflow/cqrsflow/schemas/order/v2"
)

type status = orderv1.OrderStatus

// Short names of the statuses.
const (
	absent    = orderv1.OrderStatus_ORDER_STATUS_UNSPECIFIED
	placed    = orderv1.OrderStatus_ORDER_STATUS_PLACED
	paid      = orderv1.OrderStatus_ORDER_STATUS_PAID
	shipped   = orderv1.OrderStatus_ORDER_STATUS_SHIPPED
	delivered = orderv1.OrderStatus_ORDER_STATUS_DELIVERED
	cancelled = orderv1.OrderStatus_ORDER_STATUS_CANCELLED
)

// Decide says what a command causes. It expects a command that keeps the schema's rules; the rejections
// have the codes of this package. Cancelling a cancelled order is nothing to do: the caller has what it asked for.
func Decide(cmd decider.Command[proto.Message], s *orderv1.OrderState) ([]proto.Message, error) {
	at := timestamppb.New(cmd.Time)
	id := cmd.Stream
	place, ok := cmd.Body.(*orderv1.PlaceOrder)
	switch {
	case ok && s.GetStatus() != absent:
		return nil, event.Reject(CodeAlreadyPlaced, "order %s exists already; it is %s", id, word(s.GetStatus()))
	case ok:
		return decidePlace(place, at)
	case s.GetStatus() == absent:
		return nil, event.Reject(CodeNotFound, "there is no order %s", id)
	}
	switch c := cmd.Body.(type) {
	case *orderv1.AddLine:
		if err := unpaid(id, s); err != nil {
			return nil, err
		}
		return decideAddLine(id, c, s, at)
	case *orderv1.RemoveLine:
		if err := unpaid(id, s); err != nil {
			return nil, err
		}
		return decideRemoveLine(id, c, s, at)
	case *orderv1.PayOrder:
		if err := unpaid(id, s); err != nil {
			return nil, err
		}
		return one(&orderv1.OrderPaid{Customer: s.GetCustomer(), Total: proto.CloneOf(s.GetTotal()), Units: units(s), PaidAt: at})
	case *orderv1.ShipOrder:
		switch s.GetStatus() {
		case placed:
			return nil, event.Reject(CodeNotPaid, "order %s is not paid", id)
		case shipped, delivered:
			return nil, event.Reject(CodeAlreadyShipped, "order %s is already %s", id, word(s.GetStatus()))
		case cancelled:
			return nil, gone(id)
		}
		return one(&orderv1.OrderShipped{ShippedAt: at})
	case *orderv1.DeliverOrder:
		switch s.GetStatus() {
		case placed, paid:
			return nil, event.Reject(CodeNotShipped, "order %s is not shipped; it is %s", id, word(s.GetStatus()))
		case delivered:
			return nil, event.Reject(CodeAlreadyDelivered, "order %s is already delivered", id)
		case cancelled:
			return nil, gone(id)
		}
		return one(&orderv1.OrderDelivered{DeliveredAt: at})
	case *orderv1.CancelOrder:
		switch s.GetStatus() {
		case shipped, delivered:
			return nil, event.Reject(CodeAlreadyShipped, "order %s is already %s", id, word(s.GetStatus()))
		case cancelled:
			return nil, nil
		}
		return one(&orderv1.OrderCancelled{Reason: c.GetReason(), CancelledAt: at})
	case *orderv1.AnnotateOrder:
		return one(&orderv2.OrderAnnotated{Note: &orderv2.Note{Text: c.GetText(), NotedAt: at, Author: cmd.Principal}})
	}
	return nil, fmt.Errorf("%w: an order takes no %T", event.ErrUnknownType, cmd.Body)
}

func one(e proto.Message) ([]proto.Message, error) { return []proto.Message{e}, nil }

// unpaid rejects what may only be done to an order that is placed and no more.
func unpaid(id event.StreamID, s *orderv1.OrderState) error {
	switch s.GetStatus() {
	case placed:
		return nil
	case cancelled:
		return gone(id)
	}
	return event.Reject(CodeAlreadyPaid, "order %s is already %s", id, word(s.GetStatus()))
}

func gone(id event.StreamID) error { return event.Reject(CodeCancelled, "order %s is cancelled", id) }

// word is how people call a status, and the API as well.
func word(s status) string {
	switch s {
	case placed:
		return "placed"
	case paid:
		return "paid"
	case shipped:
		return "shipped"
	case delivered:
		return "delivered"
	case cancelled:
		return "cancelled"
	}
	return "unknown"
}

func decidePlace(c *orderv1.PlaceOrder, at *timestamppb.Timestamp) ([]proto.Message, error) {
	lines := make([]*orderv1.LineItem, 0, len(c.GetLines()))
	seen := make(map[string]bool, len(c.GetLines()))
	var total money.Amount
	for i, l := range c.GetLines() {
		if seen[l.GetSku()] {
			return nil, event.Reject(CodeLineExists, "sku %s appears twice", l.GetSku())
		}
		seen[l.GetSku()] = true
		line, amount, err := lineOf(l)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			total.Currency = amount.Currency
		}
		if total, err = total.Add(amount); err != nil {
			return nil, rejectAmount("line "+l.GetSku(), err)
		}
		lines = append(lines, line)
	}
	return one(&orderv1.OrderPlaced{Customer: c.GetCustomer(), Lines: lines, Total: total.Proto(), Notes: c.GetNotes(), PlacedAt: at})
}
