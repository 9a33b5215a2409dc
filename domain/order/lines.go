package order

import (
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cqrsflow/cqrsflow/domain/money"
	"github.com/cqrsflow/cqrsflow/event"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

// ordered is what PlaceOrder's lines and AddLine have in common.
type ordered interface {
	GetSku() string
	GetName() string
	GetQuantity() int32
	GetPrice() *typev1.Money
	GetTotal() *typev1.Money
}

// lineOf fixes the total of a line: the one given, or quantity times price.
func lineOf(l ordered) (*orderv1.LineItem, money.Amount, error) {
	amount, err := money.Amount{}, error(nil)
	if l.GetTotal() != nil {
		amount, err = money.Of(l.GetTotal())
	} else if amount, err = money.Of(l.GetPrice()); err == nil {
		amount, err = amount.Times(int64(l.GetQuantity()))
	}
	if err != nil {
		return nil, money.Amount{}, rejectAmount("line "+l.GetSku(), err)
	}
	return &orderv1.LineItem{Sku: l.GetSku(), Name: l.GetName(), Quantity: l.GetQuantity(), Total: amount.Proto()}, amount, nil
}

// rejectAmount turns what the domain has to say about amounts into a rejection. Text that is no amount is
// not among it: the schema's rules come first.
func rejectAmount(what string, err error) error {
	switch {
	case errors.Is(err, money.ErrTooLarge):
		return event.Reject(CodeAmountTooLarge, "%s: %v", what, err)
	case errors.Is(err, money.ErrCurrency):
		return event.Reject(CodeCurrencyMismatch, "%s: all lines must have one currency: %v", what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

func decideAddLine(id event.StreamID, c *orderv1.AddLine, s *orderv1.OrderState, at *timestamppb.Timestamp) ([]proto.Message, error) {
	if indexOf(s, c.GetSku()) >= 0 {
		return nil, event.Reject(CodeLineExists, "order %s has a line with sku %s already", id, c.GetSku())
	}
	if len(s.GetLines()) >= MaxLines {
		return nil, event.Reject(CodeTooManyLines, "order %s has %d lines; more are not allowed", id, len(s.GetLines()))
	}
	line, amount, err := lineOf(c)
	if err != nil {
		return nil, err
	}
	total, err := money.Of(s.GetTotal())
	if err != nil {
		return nil, fmt.Errorf("the order's total: %w", err)
	}
	if total, err = total.Add(amount); err != nil {
		return nil, rejectAmount("line "+c.GetSku(), err)
	}
	return one(&orderv1.LineAdded{Line: line, OrderTotal: total.Proto(), AddedAt: at})
}

func decideRemoveLine(id event.StreamID, c *orderv1.RemoveLine, s *orderv1.OrderState, at *timestamppb.Timestamp) ([]proto.Message, error) {
	gone := indexOf(s, c.GetSku())
	switch {
	case gone < 0:
		return nil, event.Reject(CodeLineNotFound, "order %s has no line with sku %s", id, c.GetSku())
	case len(s.GetLines()) == 1:
		return nil, event.Reject(CodeHasOneLine, "sku %s is the only line of order %s; cancel the order instead", c.GetSku(), id)
	}
	total := money.Amount{Currency: s.GetTotal().GetCurrency()}
	for i, l := range s.GetLines() {
		if i == gone {
			continue
		}
		amount, err := money.Of(l.GetTotal())
		if err == nil {
			total, err = total.Add(amount)
		}
		if err != nil {
			return nil, fmt.Errorf("line %s: %w", l.GetSku(), err)
		}
	}
	return one(&orderv1.LineRemoved{Sku: c.GetSku(), OrderTotal: total.Proto(), RemovedAt: at})
}

// indexOf is the index of the line with that sku; -1 where there is none.
func indexOf(s *orderv1.OrderState, sku string) int {
	for i, l := range s.GetLines() {
		if l.GetSku() == sku {
			return i
		}
	}
	return -1
}

// units is the sum of the lines' quantities. MaxLines lines of at most 1,000,000 fit.
func units(s *orderv1.OrderState) (n int32) {
	for _, l := range s.GetLines() {
		n += l.GetQuantity()
	}
	return n
}
