package searchindex

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cqrsflow/cqrsflow/event"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
	orderv2 "github.com/cqrsflow/cqrsflow/schemas/order/v2"
)

// Fold returns the document after an event of its stream; the zero Document is the one before the first.
// An event at or below the document's version changes nothing, so that what is delivered again is
// harmless. gap allows versions to jump, where an operator dropped events; any other jump is
// event.ErrCorrupt. Every other error means that the event itself cannot be indexed: it is poison.
// The given document is not changed, and the returned one may share memory with it.
func Fold(d Document, e *event.Recorded, gap bool) (Document, error) { return Orders.Fold(d, e, gap) }

// Evolve changes a document by an event: its fields, but nothing that its slices hold, which may be shared.
// It sets Deleted where the event ends the stream; what comes after is given a document without content,
// and may take Deleted back. Its errors mean that the event cannot be indexed.
type Evolve func(d *Document, e *event.Recorded) error

// Orders is how orders change; no event deletes one.
var Orders Evolve = evolve

// Fold is the function Fold with another way to change a document.
func (f Evolve) Fold(d Document, e *event.Recorded, gap bool) (Document, error) {
	if e.Version <= d.Version {
		return d, nil
	}
	if e.Version != d.Version+1 && !gap {
		return d, fmt.Errorf("%w: search document of %s/%s has version %d, and the next event is version %d",
			event.ErrCorrupt, e.Aggregate, e.Stream, d.Version, e.Version)
	}
	next := d
	next.ID, next.Version, next.UpdatedAt = e.Stream, e.Version, e.RecordedTime.UTC()
	if err := f(&next, e); err != nil {
		return d, fmt.Errorf("event %s (%s) cannot be indexed: %w", e.ID(), e.Type, err)
	}
	if next.Deleted {
		next = Document{ID: next.ID, Version: next.Version, UpdatedAt: next.UpdatedAt, Deleted: true}
	}
	return next, nil
}

func evolve(d *Document, e *event.Recorded) error {
	switch body := e.Body.(type) {
	case *orderv1.OrderPlaced:
		lines := make([]Line, 0, len(body.GetLines()))
		for _, item := range body.GetLines() {
			line, err := lineOf(item)
			if err != nil {
				return err
			}
			lines = append(lines, line)
		}
		d.Status, d.Customer, d.Lines = "placed", body.GetCustomer(), lines
		d.PlacedAt = at(body.GetPlacedAt(), e)
		if body.GetNotes() != "" {
			d.Notes = []Note{{Text: body.GetNotes(), NotedAt: d.PlacedAt}}
		}
		return total(d, body.GetTotal())
	case *orderv1.LineAdded:
		line, err := lineOf(body.GetLine())
		if err != nil {
			return err
		}
		d.Lines = append(slices.Clip(d.Lines), line)
		return total(d, body.GetOrderTotal())
	case *orderv1.LineRemoved:
		d.Lines = slices.DeleteFunc(slices.Clone(d.Lines), func(l Line) bool { return l.SKU == body.GetSku() })
		return total(d, body.GetOrderTotal())
	case *orderv1.OrderPaid:
		d.Status, d.PaidAt = "paid", at(body.GetPaidAt(), e)
		if d.Customer == "" { // only where the placing was dropped
			d.Customer = body.GetCustomer()
		}
	case *orderv1.OrderShipped:
		d.Status, d.ShippedAt = "shipped", at(body.GetShippedAt(), e)
	case *orderv1.OrderDelivered:
		d.Status, d.DeliveredAt = "delivered", at(body.GetDeliveredAt(), e)
	case *orderv1.OrderCancelled:
		d.Status, d.CancelledAt, d.CancelReason = "cancelled", at(body.GetCancelledAt(), e), body.GetReason()
	case *orderv2.OrderAnnotated:
		n := body.GetNote()
		d.Notes = append(slices.Clip(d.Notes), Note{Text: n.GetText(), NotedAt: at(n.GetNotedAt(), e), Author: n.GetAuthor()})
	default:
		return fmt.Errorf("the search read model does not know events of type %s (%T)", e.Type, e.Body)
	}
	return nil
}

func lineOf(item *orderv1.LineItem) (Line, error) {
	amount, err := cents(item.GetTotal())
	if err != nil {
		return Line{}, fmt.Errorf("line %q: %w", item.GetSku(), err)
	}
	return Line{SKU: item.GetSku(), Name: item.GetName(), Quantity: int64(item.GetQuantity()), TotalCents: amount}, nil
}

func total(d *Document, m *typev1.Money) error {
	amount, err := cents(m)
	if err != nil {
		return fmt.Errorf("total: %w", err)
	}
	d.TotalCents = amount
	if m.GetCurrency() != "" {
		d.Currency = m.GetCurrency()
	}
	return nil
}

// at is when it happened: the body says so, else the envelope.
func at(t *timestamppb.Timestamp, e *event.Recorded) time.Time {
	if t != nil {
		return t.AsTime()
	}
	if !e.Time.IsZero() {
		return e.Time.UTC()
	}
	return e.RecordedTime.UTC()
}
