package customer

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cqrsflow/cqrsflow/domain/money"
	"github.com/cqrsflow/cqrsflow/event"
	customerv1 "github.com/cqrsflow/cqrsflow/schemas/customer/v1"
)

// Evolve returns the state after an event, sharing nothing that could change with the one before.
// Anything but an event of customer.v1 leaves the state as it is, which does not happen: the codec knows
// no other events, and a test holds that each is handled.
func Evolve(s *customerv1.CustomerState, e proto.Message) *customerv1.CustomerState {
	next := proto.CloneOf(s)
	evolve(next, e)
	return next
}

// evolve changes a state that is its own; it reports whether it knows the event.
func evolve(s *customerv1.CustomerState, e proto.Message) bool {
	p, ok := e.(*customerv1.PurchaseRecorded)
	if !ok {
		return false
	}
	s.Orders++
	s.Units += int64(p.GetUnits())
	spend(s, p)
	at := p.GetPurchasedAt()
	if at != nil && (s.FirstPurchase == nil || before(at, s.FirstPurchase)) {
		s.FirstPurchase = proto.CloneOf(at)
	}
	if at != nil && (s.LastPurchase == nil || before(s.LastPurchase, at)) {
		s.LastPurchase = proto.CloneOf(at)
	}
	i, _ := slices.BinarySearch(s.OrderIds, p.GetOrder())
	s.OrderIds = slices.Insert(s.OrderIds, i, p.GetOrder())
	return true
}

// spend adds the purchase to what was spent in its currency. Decide has seen that the sum fits; the fold
// stops at the largest amount rather than fail.
func spend(s *customerv1.CustomerState, p *customerv1.PurchaseRecorded) {
	total, err := money.Of(p.GetTotal())
	if err != nil {
		total.Cents = 0
	}
	i := indexOf(s, total.Currency)
	if i < 0 {
		s.Spent = append(s.Spent, total.Proto())
		return
	}
	spent, err := money.Of(s.Spent[i])
	if err == nil {
		spent, err = spent.Add(total)
	}
	if err != nil {
		spent = money.Amount{Cents: math.MaxInt64, Currency: total.Currency}
	}
	s.Spent[i] = spent.Proto()
}

func indexOf(s *customerv1.CustomerState, currency string) int {
	for i, m := range s.GetSpent() {
		if m.GetCurrency() == currency {
			return i
		}
	}
	return -1
}

func before(a, b *timestamppb.Timestamp) bool {
	return a.GetSeconds() < b.GetSeconds() || a.GetSeconds() == b.GetSeconds() && a.GetNanos() < b.GetNanos()
}

func rejectAmount(order string, err error) error {
	if errors.Is(err, money.ErrTooLarge) {
		return event.Reject(CodeAmountTooLarge, "order %s: %v", order, err)
	}
	return fmt.Errorf("order %s: %w", order, err)
}
