// Package decider is what a team writes of an aggregate: three pure functions, and a registration
// that gives them to the engines. The shape is Jérémie Chassaing's "Functional Event Sourcing Decider".
package decider

import "github.com/cqrsflow/cqrsflow/event"

// Decider is an aggregate: C are its commands, E its events, S its state.
type Decider[C, E, S any] struct {
	// Initial is the state before any event. It returns a fresh value for every fold.
	Initial func() S
	// Decide says what happens: the events to append, none for "nothing to do" (a success), or an
	// error made by event.Reject. It is pure: no clock, no random, no I/O, and it never changes the
	// state; time and identifiers come with the command.
	Decide func(C, S) ([]E, error)
	// Evolve applies an event to a state and returns the next one. It is pure and total: it never
	// changes the state that it got, and never fails, as bad bytes failed earlier, in the codec.
	Evolve func(S, E) S
}

// Fold replays events, oldest first, onto the initial state.
func (d Decider[C, E, S]) Fold(events ...E) S {
	return d.FoldFrom(d.Initial(), events...)
}

// FoldFrom replays events, oldest first, onto a state.
func (d Decider[C, E, S]) FoldFrom(state S, events ...E) S {
	for _, e := range events {
		state = d.Evolve(state, e)
	}
	return state
}

// Command is a command as Decide sees it: its body D and what is known about it.
type Command[D any] struct {
	event.Command
	Body D
}
