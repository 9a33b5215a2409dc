package query_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/aggregates"
	"github.com/cqrsflow/cqrsflow/query"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

func TestEvents(t *testing.T) {
	s, pool := side(t)
	h := query.NewHistory(pool, aggregates.All()...)
	s.Command("order", "o1", place("c1", "1.00"), day(0))
	for i := range 4 {
		s.Command("order", "o1", &orderv1.AnnotateOrder{Text: strings.Repeat("x", i+1)}, day(i))
	}
	s.Command("customer", "o1", purchase("o1", 1, usd("1"), day(0)), day(0)) // another aggregate's stream of the same name
	var versions []event.Version
	for after := event.Version(0); ; {
		events, more, err := h.Events(t.Context(), "order", "o1", after, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			if e.Err != nil || e.Body == nil || e.Aggregate != "order" || e.Stream != "o1" || e.CausationID == "" || !e.LastOfCommand || e.Time.Location() != time.UTC {
				t.Errorf("event %+v", e)
			}
			after = e.Version
			versions = append(versions, e.Version)
		}
		if !more {
			break
		}
	}
	if diff := cmp.Diff([]event.Version{1, 2, 3, 4, 5}, versions); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if events, more, err := h.Events(t.Context(), "order", "o1", 5, 2); len(events) != 0 || more || err != nil {
		t.Errorf("after the last: %v, %v, %v", events, more, err)
	}
	for _, after := range []event.Version{0, 7} {
		if _, _, err := h.Events(t.Context(), "order", "o2", after, 2); !errors.Is(err, event.ErrNotFound) {
			t.Errorf("an absent stream, after %d: %v", after, err)
		}
	}
	if _, _, err := h.Events(t.Context(), "thing", "o1", 0, 2); !errors.Is(err, event.ErrUnknownType) {
		t.Errorf("an unknown aggregate: %v", err)
	}

	s.Exec(`UPDATE history_v1.events SET type = 'order.v9.OrderForgotten' WHERE aggregate = 'order' AND version = 2`)
	s.Exec(`UPDATE history_v1.events SET data = '\xff' WHERE aggregate = 'order' AND version = 3`)
	events, _, err := h.Events(t.Context(), "order", "o1", 0, 9)
	if err != nil || len(events) != 5 || events[0].Err != nil || !errors.Is(events[1].Err, event.ErrUnknownType) || !errors.Is(events[2].Err, event.ErrUndecodable) {
		t.Errorf("events that cannot be read: %v %v", events, err)
	}
	var unread *query.EventError
	if _, err := h.State(t.Context(), "order", "o1", query.At{}); !errors.As(err, &unread) || unread.Version != 2 || unread.Type != "order.v9.OrderForgotten" || !errors.Is(err, event.ErrUnknownType) {
		t.Errorf("the state: %v", err)
	}
	if _, err := h.State(t.Context(), "order", "o1", query.At{Version: 1}); err != nil {
		t.Errorf("the state before them: %v", err)
	}
	s.Exec(`DELETE FROM history_v1.events WHERE aggregate = 'order' AND version = 2`)
	if _, err := h.State(t.Context(), "order", "o1", query.At{}); !errors.Is(err, event.ErrCorrupt) {
		t.Errorf("a gap: %v", err)
	}
}

// TestStateAsOf has a stream whose events became known in another order than they happened in:
//
//	version   1 placed   2 note "late"   3 note "early"   4 paid
//	happened  day 0      day 4           day 2            day 6
//	recorded  day 10     day 11          day 12           day 13
func TestStateAsOf(t *testing.T) {
	s, pool := side(t)
	h := query.NewHistory(pool, aggregates.All()...)
	step := func(body any, happened, recorded int) {
		var events []event.Recorded
		switch b := body.(type) {
		case *orderv1.PlaceOrder:
			events, _ = s.Decide("order", "o1", b, day(happened), day(recorded))
		case *orderv1.AnnotateOrder:
			events, _ = s.Decide("order", "o1", b, day(happened), day(recorded))
		case *orderv1.PayOrder:
			events, _ = s.Decide("order", "o1", b, day(happened), day(recorded))
		}
		s.Apply("history", events...)
	}
	step(place("c1", "1.00"), 0, 10)
	step(&orderv1.AnnotateOrder{Text: "late"}, 4, 11)
	step(&orderv1.AnnotateOrder{Text: "early"}, 2, 12)
	step(&orderv1.PayOrder{}, 6, 13)
	for _, tc := range []struct {
		name    string
		at      query.At
		version event.Version
		status  string
		notes   string
		err     error
	}{
		{"now", query.At{}, 4, "PAID", "late early", nil},
		{"version 1", query.At{Version: 1}, 1, "PLACED", "", nil},
		{"version 3", query.At{Version: 3}, 3, "PLACED", "late early", nil},
		{"version 5", query.At{Version: 5}, 0, "", "", query.ErrNotYet},
		{"recorded, before", query.At{RecordedAt: day(10).Add(-1000)}, 0, "", "", query.ErrNotYet},
		{"recorded, at once", query.At{RecordedAt: day(10)}, 1, "PLACED", "", nil},
		{"recorded, between", query.At{RecordedAt: day(12).Add(-1000)}, 2, "PLACED", "late", nil},
		{"recorded, after", query.At{RecordedAt: day(99)}, 4, "PAID", "late early", nil},
		{"effective, before", query.At{EffectiveAt: day(-1)}, 0, "", "", query.ErrNotYet},
		{"effective, day 0", query.At{EffectiveAt: day(0)}, 1, "PLACED", "", nil},
		{"effective, day 3", query.At{EffectiveAt: day(3)}, 3, "PLACED", "early", nil},
		{"effective, day 5", query.At{EffectiveAt: day(5)}, 3, "PLACED", "late early", nil},
		{"effective, day 6", query.At{EffectiveAt: day(6)}, 4, "PAID", "late early", nil},
	} {
		got, err := h.State(t.Context(), "order", "o1", tc.at)
		if !errors.Is(err, tc.err) {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if tc.err != nil {
			continue
		}
		state := got.State.(*orderv1.OrderState)
		var notes []string
		for _, n := range state.GetNotes() {
			notes = append(notes, n.GetText())
		}
		if got.Version != tc.version || state.GetStatus().String() != "ORDER_STATUS_"+tc.status || strings.Join(notes, " ") != tc.notes ||
			!got.RecordedTime.Equal(day(9+int(tc.version))) {
			t.Errorf("%s: version %d, recorded %v, %v, notes %v", tc.name, got.Version, got.RecordedTime, state.GetStatus(), notes)
		}
	}
	if _, err := h.State(t.Context(), "order", "o2", query.At{EffectiveAt: day(1)}); !errors.Is(err, event.ErrNotFound) {
		t.Errorf("an absent stream: %v", err)
	}
}

func TestOutcomes(t *testing.T) {
	s, pool := side(t)
	h := query.NewHistory(pool, aggregates.All()...)
	accepted := s.Command("order", "o1", place("c1", "1.00"), day(0))
	got, err := h.Outcome(t.Context(), "order", "o1", accepted.CommandID)
	want := accepted
	want.State = nil
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for _, absent := range []struct{ stream, id string }{{"o1", "x"}, {"o2", accepted.CommandID}} {
		if _, err := h.Outcome(t.Context(), "order", event.StreamID(absent.stream), absent.id); !errors.Is(err, event.ErrNotFound) {
			t.Errorf("%v: %v", absent, err)
		}
	}

	// Attempts with one ID: invalid, then rejected, then accepted, then asked for again.
	attempt := func(offset int64, change func(*event.Outcome)) {
		o := want
		o.CommandID, o.Offset, o.CommandOffset, o.Events, o.Fields = "k", offset, offset, nil, nil
		change(&o)
		s.ApplyOutcome(o)
	}
	attempt(100, func(o *event.Outcome) {
		o.Kind, o.Code, o.Fields = event.Invalid, "invalid_command", []event.FieldError{{Field: "lines[0].sku", Message: "must not be empty"}}
	})
	if got, err := h.Outcome(t.Context(), "order", "o1", "k"); err != nil || got.Kind != event.Invalid || len(got.Fields) != 1 || got.Fields[0].Field != "lines[0].sku" {
		t.Errorf("invalid: %+v, %v", got, err)
	}
	attempt(101, func(o *event.Outcome) { o.Kind, o.Code = event.Rejected, "order_not_paid" })
	if got, err := h.Outcome(t.Context(), "order", "o1", "k"); err != nil || got.Kind != event.Rejected || got.Code != "order_not_paid" {
		t.Errorf("rejected: %+v, %v", got, err)
	}
	attempt(102, func(o *event.Outcome) { o.Events = want.Events })
	attempt(103, func(o *event.Outcome) { o.Replayed = true; o.Events = want.Events })
	attempt(104, func(o *event.Outcome) { o.Kind, o.Code = event.Invalid, "command_id_reused" })
	if got, err := h.Outcome(t.Context(), "order", "o1", "k"); err != nil || got.Kind != event.Accepted || got.Offset != 102 || got.Replayed {
		t.Errorf("accepted: %+v, %v", got, err)
	}
}
