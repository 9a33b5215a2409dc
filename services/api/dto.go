package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/query"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	customerv1 "github.com/cqrsflow/cqrsflow/schemas/customer/v1"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

// Money is an amount in one currency.
type Money struct {
	Amount   string `json:"amount" doc:"Decimal number with two digits after the point." example:"11.77"`
	Currency string `json:"currency" doc:"ISO 4217 code." example:"USD"`
}

// Order is an order, whether folded from its events or read from a read model.
type Order struct {
	ID           string  `json:"id" doc:"The order's stream ID."`
	Version      int64   `json:"version" doc:"Number of events in its stream."`
	Status       string  `json:"status" enum:"placed,paid,shipped,delivered,cancelled"`
	Customer     string  `json:"customer" doc:"The customer's stream ID."`
	Lines        []Line  `json:"lines" doc:"In the order in which they were added." nullable:"false"`
	Total        Money   `json:"total" doc:"Sum of the lines."`
	Notes        []Note  `json:"notes" doc:"Oldest first." nullable:"false"`
	PlacedAt     string  `json:"placedAt" format:"date-time"`
	PaidAt       *string `json:"paidAt,omitempty" format:"date-time"`
	ShippedAt    *string `json:"shippedAt,omitempty" format:"date-time"`
	DeliveredAt  *string `json:"deliveredAt,omitempty" format:"date-time"`
	CancelledAt  *string `json:"cancelledAt,omitempty" format:"date-time"`
	CancelReason string  `json:"cancelReason,omitempty"`
}

// Overview is an order with what belongs to it, as the gateway composes it.
type Overview struct {
	Order    Order              `json:"order"`
	Customer *Customer          `json:"customer" doc:"Null where errors has customer."`
	Events   []Event            `json:"events" doc:"The latest, oldest first; null where errors has events." nullable:"true"`
	Similar  []Hit              `json:"similar" doc:"Orders with the same first sku; null where errors has similar." nullable:"true"`
	Errors   map[string]Problem `json:"errors,omitempty" doc:"Why parts are null, by their names."`
}

// Line is a line of an order.
type Line struct {
	SKU      string `json:"sku"`
	Name     string `json:"name"`
	Quantity int64  `json:"quantity"`
	Total    Money  `json:"total" doc:"Total of the line."`
}

// Note is a note on an order.
type Note struct {
	Text    string `json:"text"`
	NotedAt string `json:"notedAt" format:"date-time"`
	Author  string `json:"author,omitempty" doc:"The principal who noted it."`
}

// Customer is what a customer bought.
type Customer struct {
	ID            string  `json:"id" doc:"The customer's stream ID."`
	Version       int64   `json:"version" doc:"Number of events in its stream."`
	Orders        int64   `json:"orders" doc:"Number of paid orders."`
	Units         int64   `json:"units" doc:"Sum of their quantities."`
	Spent         Money   `json:"spent" doc:"What was paid, in the currency of the first purchase."`
	SpentOther    []Money `json:"spentOther,omitempty" doc:"What was paid in further currencies."`
	FirstPurchase string  `json:"firstPurchase" format:"date"`
	LastPurchase  string  `json:"lastPurchase" format:"date"`
}

// Sales is what was paid by day.
type Sales struct {
	Days  []Day  `json:"days" doc:"Days without sales are left out." nullable:"false"`
	Total Totals `json:"total"`
}

// Day is what was paid on a day, UTC.
type Day struct {
	Date string `json:"date" format:"date"`
	Totals
}

// Totals are sums of paid orders.
type Totals struct {
	Orders       int64   `json:"orders"`
	Units        int64   `json:"units"`
	Revenue      *Money  `json:"revenue" doc:"In the currency of most of the answer's orders; null where there are none."`
	RevenueOther []Money `json:"revenueOther,omitempty" doc:"In further currencies."`
}

// Event is an event of a stream.
type Event struct {
	ID       string `json:"id" doc:"Stream ID and sequence."`
	Type     string `json:"type" doc:"Type of data."`
	Recorded string `json:"recordedType,omitempty" doc:"The older type that it was recorded as, where data has been brought up to date."`
	Sequence int64  `json:"sequence" doc:"Version of the stream after it, from 1."`
	// Time is when it happened.
	Time          string          `json:"time" format:"date-time" doc:"When it happened."`
	RecordedTime  string          `json:"recordedTime" format:"date-time" doc:"When it was appended."`
	CausationID   string          `json:"causationId,omitempty" doc:"The command that caused it."`
	CorrelationID string          `json:"correlationId,omitempty"`
	Principal     string          `json:"principal,omitempty" doc:"Who asked for it."`
	Position      string          `json:"position" doc:"For Cqrs-After." example:"order/3@1024"`
	Data          json.RawMessage `json:"data" doc:"The event itself; null where this version of the server cannot read it."`
	Problem       *Problem        `json:"problem,omitempty" doc:"Why data is null."`
}

// EventRef names an event that a command appended.
type EventRef struct {
	Type     string `json:"type" example:"order.v1.OrderPlaced"`
	Sequence int64  `json:"sequence" doc:"Version of the stream after it."`
}

// Accepted is the answer to an accepted command.
type Accepted struct {
	CommandID string          `json:"commandId"`
	Outcome   string          `json:"outcome" enum:"accepted"`
	Version   int64           `json:"version" doc:"Version of the aggregate after it."`
	Position  string          `json:"position,omitempty" doc:"For Cqrs-After." example:"order/3@1024"`
	Events    []EventRef      `json:"events" doc:"Empty where there was nothing to do." nullable:"false"`
	State     json.RawMessage `json:"state" doc:"State of the aggregate after it."`
	Behind    []string        `json:"behind,omitempty" doc:"Those of Cqrs-Wait-For that have not acknowledged in time." enum:"sql,search,history"`
	// Status is there in answers to batches only.
	Status int `json:"status,omitempty" doc:"The HTTP status code, in answers to batches."`
}

// Pending is the answer to a command that is not waited for.
type Pending struct {
	CommandID string `json:"commandId"`
}

// StateAt is a state of the past.
type StateAt struct {
	Version    int64           `json:"version" doc:"Version of the last event in it."`
	RecordedAt string          `json:"recordedAt" format:"date-time" doc:"When that event was appended."`
	State      json.RawMessage `json:"state"`
}

// null is the state of what does not exist.
var null = json.RawMessage("null")

// stateJSON renders an aggregate's own state; null at version 0.
func stateJSON(t *decider.Type, id event.StreamID, v event.Version, state any) (json.RawMessage, error) {
	if v == 0 {
		return null, nil
	}
	var dto any
	switch s := state.(type) {
	case *orderv1.OrderState:
		dto = orderOfState(id, v, s)
	case *customerv1.CustomerState:
		dto = customerOfState(id, v, s)
	default:
		return plainState(t, id, v, state)
	}
	b, err := encode(dto)
	return bytes.TrimSpace(b), err
}

// plainState is what an aggregate gets that no type was written for here: its codec's JSON with ID and version.
func plainState(t *decider.Type, id event.StreamID, v event.Version, state any) (json.RawMessage, error) {
	body, err := t.Codec.JSON(state)
	if err != nil {
		return nil, fmt.Errorf("state of %s/%s: %w", t.Name, id, err)
	}
	return withIdentity(id, v, body), nil
}

// withIdentity puts ID and version before the fields of a state.
func withIdentity(id event.StreamID, v event.Version, body []byte) json.RawMessage {
	out := []byte(`{"id":"` + string(id) + `","version":`) // a stream ID has nothing to escape
	out = strconv.AppendInt(out, int64(v), 10)
	rest := bytes.TrimPrefix(body, []byte("{"))
	if len(rest) > 1 {
		out = append(out, ',')
	}
	return append(out, rest...)
}

func orderOfState(id event.StreamID, v event.Version, s *orderv1.OrderState) Order {
	status := strings.ToLower(strings.TrimPrefix(s.GetStatus().String(), "ORDER_STATUS_"))
	o := Order{ID: string(id), Version: int64(v), Status: status, Customer: s.GetCustomer(), Total: moneyOfState(s.GetTotal()),
		Lines: make([]Line, 0, len(s.GetLines())), Notes: make([]Note, 0, len(s.GetNotes())), CancelReason: s.GetCancelReason(),
		PaidAt: stampOfState(s.GetPaidAt()), ShippedAt: stampOfState(s.GetShippedAt()),
		DeliveredAt: stampOfState(s.GetDeliveredAt()), CancelledAt: stampOfState(s.GetCancelledAt())}
	o.PlacedAt = stamp(s.GetPlacedAt().AsTime())
	for _, l := range s.GetLines() {
		o.Lines = append(o.Lines, Line{SKU: l.GetSku(), Name: l.GetName(), Quantity: int64(l.GetQuantity()), Total: moneyOfState(l.GetTotal())})
	}
	for _, n := range s.GetNotes() {
		o.Notes = append(o.Notes, Note{Text: n.GetText(), NotedAt: stamp(n.GetNotedAt().AsTime()), Author: n.GetAuthor()})
	}
	return o
}

func orderOfRow(r query.Order) Order {
	o := Order{ID: r.ID, Version: int64(r.Version), Status: r.Status, Customer: r.Customer, Total: moneyOfRow(r.Total),
		Lines: make([]Line, 0, len(r.Lines)), Notes: make([]Note, 0, len(r.Notes)), CancelReason: r.CancelReason,
		PlacedAt: stamp(r.PlacedAt), PaidAt: stampOfRow(r.PaidAt), ShippedAt: stampOfRow(r.ShippedAt),
		DeliveredAt: stampOfRow(r.DeliveredAt), CancelledAt: stampOfRow(r.CancelledAt)}
	for _, l := range r.Lines {
		o.Lines = append(o.Lines, Line{SKU: l.SKU, Name: l.Name, Quantity: l.Quantity,
			Total: moneyOfRow(query.Money{Cents: l.TotalCents, Currency: r.Total.Currency})})
	}
	for _, n := range r.Notes {
		o.Notes = append(o.Notes, Note{Text: n.Text, NotedAt: stamp(n.NotedAt), Author: n.Author})
	}
	return o
}

func customerOfState(id event.StreamID, v event.Version, s *customerv1.CustomerState) Customer {
	c := Customer{ID: string(id), Version: int64(v), Orders: int64(s.GetOrders()), Units: s.GetUnits(),
		FirstPurchase: s.GetFirstPurchase().AsTime().Format(time.DateOnly), LastPurchase: s.GetLastPurchase().AsTime().Format(time.DateOnly)}
	for i, m := range s.GetSpent() {
		if i == 0 {
			c.Spent = moneyOfState(m)
		} else {
			c.SpentOther = append(c.SpentOther, moneyOfState(m))
		}
	}
	return c
}

func customerOfRow(r query.Customer) Customer {
	c := Customer{ID: r.ID, Version: int64(r.Version), Orders: r.Orders, Units: r.Units, Spent: moneyOfRow(r.Spent),
		FirstPurchase: r.FirstPurchase.Format(time.DateOnly), LastPurchase: r.LastPurchase.Format(time.DateOnly)}
	for _, m := range r.SpentOther {
		c.SpentOther = append(c.SpentOther, moneyOfRow(m))
	}
	return c
}

func moneyOfRow(m query.Money) Money { return Money{Amount: m.Amount(), Currency: m.Currency} }

// moneyOfState writes an amount as the read models do, whatever number of decimals it was given with.
func moneyOfState(m *typev1.Money) Money {
	amount := m.GetAmount()
	if r, ok := new(big.Rat).SetString(amount); ok && len(amount) < 64 {
		amount = r.FloatString(2)
	}
	return Money{Amount: amount, Currency: m.GetCurrency()}
}

// stamp writes a time with the microseconds that read models keep, so that an order looks the same wherever it comes from.
func stamp(t time.Time) string { return t.UTC().Truncate(time.Microsecond).Format(time.RFC3339Nano) }

func stampOfRow(t *time.Time) *string {
	if t == nil {
		return nil
	}
	s := stamp(*t)
	return &s
}

func stampOfState(t *timestamppb.Timestamp) *string {
	if t == nil {
		return nil
	}
	s := stamp(t.AsTime())
	return &s
}

// OrderList is a page of orders.
type OrderList struct {
	Items  []Order `json:"items" nullable:"false"`
	Cursor string  `json:"cursor,omitempty" doc:"For the next page; absent at the end."`
}

// CustomerList is a page of customers.
type CustomerList struct {
	Items  []Customer `json:"items" nullable:"false"`
	Cursor string     `json:"cursor,omitempty" doc:"For the next page; absent at the end."`
}

// EventList is a page of events.
type EventList struct {
	Items  []Event `json:"items" doc:"Oldest first." nullable:"false"`
	Cursor string  `json:"cursor,omitempty" doc:"For the next page; absent at the end."`
}

// eventOf renders an event. One that cannot be read does not hide the others.
func eventOf(t *decider.Type, e *query.Event) (Event, error) {
	out := Event{ID: e.ID(), Type: e.Type, Sequence: int64(e.Version), Time: stamp(e.Time), RecordedTime: stamp(e.RecordedTime),
		CausationID: e.CausationID, CorrelationID: e.CorrelationID, Principal: e.Principal, Position: e.Position().String(), Data: null}
	if e.Err != nil {
		out.Problem = problem(codeUndecodable, fmt.Sprintf("The event, of type %s, cannot be read by this version of the server.", e.Type))
		return out, nil
	}
	if m, ok := e.Body.(proto.Message); ok {
		if current := string(m.ProtoReflect().Descriptor().FullName()); current != e.Type {
			out.Type, out.Recorded = current, e.Type
		}
	}
	data, err := t.Codec.JSON(e.Body)
	out.Data = data
	return out, err
}

// stateType is the type that stateJSON renders an aggregate's state as; nil where it has none of its own.
func stateType(t *decider.Type) reflect.Type {
	switch t.Initial().(type) {
	case *orderv1.OrderState:
		return reflect.TypeFor[Order]()
	case *customerv1.CustomerState:
		return reflect.TypeFor[Customer]()
	}
	return nil
}
