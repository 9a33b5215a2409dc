package decidertest

import (
	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
)

// Laws runs a history of commands, such as a generator of properties makes, and checks what holds for
// every decider: Decide and Evolve are pure, no state changes after it was made, replaying the events
// gives the state that deciding them led to, from the start and from every state on the way. Every
// command is accepted or rejected; any other error breaks a law. It returns the events.
func Laws[C, E, S any](t TB, d decider.Decider[C, E, S], commands ...C) []E {
	t.Helper()
	s := Given(t, d)
	for _, c := range commands {
		events, err := decide(t, d, c, s.trail.last())
		if _, rejected := decider.AsRejection(err); err != nil && !rejected {
			t.Fatalf("a command was neither accepted nor rejected: %v", err)
		}
		s.extend(events)
	}
	s.fork()
	s.trail.check(t)
	for i, from := range s.trail.states {
		if diff := diff(s.trail.last(), d.FoldFrom(from.state, s.events[i:]...)); diff != "" {
			t.Fatalf("replaying from version %d gives another state (-decided +replayed):\n%s", event.Version(i), diff)
		}
	}
	if diff := diff(s.trail.last(), d.Fold(s.events...)); diff != "" {
		t.Fatalf("replaying from the start gives another state (-decided +replayed):\n%s", diff)
	}
	s.trail.check(t)
	return s.events
}

// fork applies another event to each state than the one that followed: states that share memory with
// their successors overwrite them. (An experiment does the same with two deciders.)
func (s *Scenario[C, E, S]) fork() {
	s.t.Helper()
	n := len(s.events)
	stride := 1 + n*n/forks
	for i := range s.trail.states {
		for j := i % stride; j < n; j += stride {
			evolve(s.t, s.decider, s.trail.states[i].state, s.events[j])
		}
	}
}

// forks is about how many other futures are tried.
const forks = 10_000
