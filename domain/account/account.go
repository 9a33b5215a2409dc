// Package account is the smallest aggregate that does something: an account that one can pay into. The
// benchmarks measure everything around a decider with it, so it costs next to nothing itself.
package account

import (
	"fmt"
	"math"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	benchv1 "github.com/cqrsflow/cqrsflow/schemas/bench/v1"
)

// Name is the aggregate type.
const Name = "account"

// Fingerprint numbers the meaning of Evolve. Raise it whenever Evolve makes another state of the same events.
const Fingerprint = 1

// StateSize is the size of a state's padding in bytes: about what a state of an everyday aggregate needs.
const StateSize = 100

// CodeAmountTooLarge rejects a deposit that would take the balance beyond 63 bits.
const CodeAmountTooLarge = "amount_too_large"

// Decider is the aggregate. States and events share their padding: nobody writes to it.
var Decider = decider.Decider[decider.Command[*benchv1.Deposit], *benchv1.Deposited, *benchv1.AccountState]{
	Initial: func() *benchv1.AccountState { return &benchv1.AccountState{Padding: padding[:]} },
	Decide:  Decide,
	Evolve:  Evolve,
}

var padding [StateSize]byte

// Spec registers the aggregate. It has no public command: it is for benchmarks.
func Spec(codec decider.Codec) decider.Spec[*benchv1.Deposit, *benchv1.Deposited, *benchv1.AccountState] {
	return decider.Spec[*benchv1.Deposit, *benchv1.Deposited, *benchv1.AccountState]{
		Name: Name, Plural: "accounts", Fingerprint: Fingerprint, Decider: Decider, Codec: codec,
		// The same twice: what comparing costs, whatever is compared.
		Variants: []decider.Variant[*benchv1.Deposit, *benchv1.Deposited, *benchv1.AccountState]{{Name: "v2", Decide: Decide}},
		Commands: []decider.CommandType{{Type: "bench.v1.Deposit", Name: "deposit", Summary: "Pay into an account."}},
		Events:   []string{"bench.v1.Deposited"},
	}
}

// Decide accepts every deposit that fits.
func Decide(cmd decider.Command[*benchv1.Deposit], s *benchv1.AccountState) ([]*benchv1.Deposited, error) {
	amount := cmd.Body.GetAmount()
	switch {
	case amount < 0:
		return nil, fmt.Errorf("%w: the amount is %d; it must not be negative", event.ErrInvalid, amount)
	case amount > math.MaxInt64-s.GetBalance():
		return nil, event.Reject(CodeAmountTooLarge, "the balance is %d; %d more is too much", s.GetBalance(), amount)
	}
	return []*benchv1.Deposited{{Amount: amount, Version: int64(cmd.Version) + 1, Padding: cmd.Body.GetPadding()}}, nil
}

// Evolve returns a new state.
func Evolve(s *benchv1.AccountState, e *benchv1.Deposited) *benchv1.AccountState {
	return &benchv1.AccountState{Balance: s.GetBalance() + e.GetAmount(), Padding: s.GetPadding()}
}
