package order

import (
	"cmp"
	"slices"

	"google.golang.org/protobuf/proto"

	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
	orderv2 "github.com/cqrsflow/cqrsflow/schemas/order/v2"
)

// Evolve returns the state after an event, sharing nothing that could change with the one before. Events
// are of their current types: the codec upcasts older ones. Anything else leaves the state as it is,
// which does not happen: the codec knows no other events, and a test holds that each is handled.
func Evolve(s *orderv1.OrderState, e proto.Message) *orderv1.OrderState {
	next := proto.CloneOf(s)
	evolve(next, e)
	return next
}

// evolve changes a state that is its own; it reports whether it knows the event.
func evolve(s *orderv1.OrderState, e proto.Message) bool {
	switch e := e.(type) {
	case *orderv1.OrderPlaced:
		s.Status = placed
		s.Customer = e.GetCustomer()
		s.Lines = proto.CloneOf(e).GetLines()
		s.Total = proto.CloneOf(e.GetTotal())
		s.PlacedAt = proto.CloneOf(e.GetPlacedAt())
		if e.GetNotes() != "" {
			s.Notes = append(s.Notes, &orderv2.Note{Text: e.GetNotes(), NotedAt: proto.CloneOf(e.GetPlacedAt())})
		}
	case *orderv1.LineAdded:
		s.Lines = append(s.Lines, proto.CloneOf(cmp.Or(e.GetLine(), &orderv1.LineItem{})))
		s.Total = proto.CloneOf(e.GetOrderTotal())
	case *orderv1.LineRemoved:
		s.Lines = slices.DeleteFunc(s.Lines, func(l *orderv1.LineItem) bool { return l.GetSku() == e.GetSku() })
		s.Total = proto.CloneOf(e.GetOrderTotal())
	case *orderv1.OrderPaid:
		s.Status = paid
		s.PaidAt = proto.CloneOf(e.GetPaidAt())
	case *orderv1.OrderShipped:
		s.Status = shipped
		s.ShippedAt = proto.CloneOf(e.GetShippedAt())
	case *orderv1.OrderDelivered:
		s.Status = delivered
		s.DeliveredAt = proto.CloneOf(e.GetDeliveredAt())
	case *orderv1.OrderCancelled:
		s.Status = cancelled
		s.CancelReason = e.GetReason()
		s.CancelledAt = proto.CloneOf(e.GetCancelledAt())
	case *orderv2.OrderAnnotated:
		s.Notes = append(s.Notes, proto.CloneOf(cmp.Or(e.GetNote(), &orderv2.Note{})))
	default:
		return false
	}
	return true
}
