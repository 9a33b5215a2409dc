// Package decidertest tests deciders: scenarios (given, when, then), laws that hold for every history, and
// golden folds. All of them check purity on the way: nothing that went into a function was changed by it,
// and asked twice it answers the same.
package decidertest

import (
	"errors"
	"reflect"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
)

// TB is what is needed of testing.TB; rapid.T has it too.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Scenario is a decider with a history. Make it with Given; it can be used for several Whens.
type Scenario[C, E, S any] struct {
	t       TB
	decider decider.Decider[C, E, S]
	events  []E
	// trail is every state on the way, the initial one first.
	trail trail[S]
}

// Given starts a scenario: the events that have happened, oldest first; none for an aggregate that does not exist.
func Given[C, E, S any](t TB, d decider.Decider[C, E, S], events ...E) *Scenario[C, E, S] {
	t.Helper()
	s := &Scenario[C, E, S]{t: t, decider: d}
	s.trail.add(d.Initial())
	if diff := diff(d.Initial(), d.Initial()); diff != "" {
		t.Fatalf("Initial returns different states (-first +second):\n%s", diff)
	}
	s.extend(events)
	s.trail.check(t)
	return s
}

func (s *Scenario[C, E, S]) extend(events []E) {
	s.t.Helper()
	for _, e := range events {
		s.trail.add(evolve(s.t, s.decider, s.trail.last(), e))
		s.events = append(s.events, e)
	}
}

// When decides a command on the state of the history.
func (s *Scenario[C, E, S]) When(command C) *Decision[C, E, S] {
	s.t.Helper()
	events, err := decide(s.t, s.decider, command, s.trail.last())
	s.trail.check(s.t)
	return &Decision[C, E, S]{scenario: s, events: events, err: err}
}

// State is the state of the history.
func (s *Scenario[C, E, S]) State() S { return s.trail.last() }

// ThenState checks the state of the history.
func (s *Scenario[C, E, S]) ThenState(want S) {
	s.t.Helper()
	if diff := diff(want, s.trail.last()); diff != "" {
		s.t.Errorf("the state is another one (-want +got):\n%s", diff)
	}
}

// Decision is what became of a command.
type Decision[C, E, S any] struct {
	scenario *Scenario[C, E, S]
	events   []E
	err      error
}

// Then checks that exactly these events happened, and returns the scenario that they lead to.
func (d *Decision[C, E, S]) Then(want ...E) *Scenario[C, E, S] {
	t := d.scenario.t
	t.Helper()
	if d.err != nil {
		t.Fatalf("the command was not accepted: %v", d.err)
	}
	if diff := diff(want, d.events); diff != "" && len(want)+len(d.events) > 0 {
		t.Errorf("other events happened (-want +got):\n%s", diff)
	}
	next := &Scenario[C, E, S]{t: t, decider: d.scenario.decider}
	next.events = append(next.events, d.scenario.events...)
	next.trail.states = append(next.trail.states, d.scenario.trail.states...)
	next.extend(d.events)
	next.trail.check(t)
	return next
}

// ThenNothing checks that the command was accepted and nothing happened.
func (d *Decision[C, E, S]) ThenNothing() {
	d.scenario.t.Helper()
	d.Then()
}

// ThenRejected checks that the domain rejected the command with that code and said why.
func (d *Decision[C, E, S]) ThenRejected(code string) {
	t := d.scenario.t
	t.Helper()
	var rejection *event.Rejection
	switch {
	case d.err == nil:
		t.Errorf("the command was accepted, with %d events; it should have been rejected with %s", len(d.events), code)
	case !errors.As(d.err, &rejection):
		t.Errorf("the command failed with %v; it should have been rejected with %s", d.err, code)
	case rejection.Code != code:
		t.Errorf("the command was rejected with %s (%s), not with %s", rejection.Code, rejection.Message, code)
	case rejection.Message == "":
		t.Errorf("the rejection %s has no message", code)
	}
}

// ThenFails checks that the command failed with an error that is no rejection and wraps want.
func (d *Decision[C, E, S]) ThenFails(want error) {
	t := d.scenario.t
	t.Helper()
	if _, rejected := decider.AsRejection(d.err); rejected || !errors.Is(d.err, want) {
		t.Errorf("the command led to %v, not to the error %v", d.err, want)
	}
}

// diff is empty where a and b are equal. Protobuf messages are compared as such.
func diff(a, b any) string {
	return cmp.Diff(a, b, protocmp.Transform(), cmp.Exporter(func(reflect.Type) bool { return true }))
}
