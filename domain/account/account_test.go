package account_test

import (
	"flag"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/decider/decidertest"
	"github.com/cqrsflow/cqrsflow/domain/account"
	"github.com/cqrsflow/cqrsflow/event"
	benchv1 "github.com/cqrsflow/cqrsflow/schemas/bench/v1"
)

var update = flag.Bool("update", false, "write golden files")

type command = decider.Command[*benchv1.Deposit]

func deposit(version event.Version, amount int64, padding string) command {
	return command{Command: event.Command{Version: version}, Body: &benchv1.Deposit{Amount: amount, Padding: []byte(padding)}}
}

func TestDeposit(t *testing.T) {
	decidertest.Given(t, account.Decider).
		When(deposit(0, 5, "xyz")).Then(&benchv1.Deposited{Amount: 5, Version: 1, Padding: []byte("xyz")}).
		When(deposit(1, 0, "xyz")).Then(&benchv1.Deposited{Amount: 0, Version: 2, Padding: []byte("xyz")}).
		ThenState(&benchv1.AccountState{Balance: 5, Padding: make([]byte, account.StateSize)})
	full := decidertest.Given(t, account.Decider, &benchv1.Deposited{Amount: math.MaxInt64})
	full.When(deposit(1, 0, "")).Then(&benchv1.Deposited{Version: 2, Padding: []byte{}})
	full.When(deposit(1, 1, "")).ThenRejected(account.CodeAmountTooLarge)
	full.When(deposit(1, -1, "")).ThenFails(event.ErrInvalid)
}

func TestLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var commands []command
		var sum int64
		for i, amount := range rapid.SliceOfN(rapid.Int64Range(0, 1<<40), 0, 8).Draw(t, "amounts") {
			commands = append(commands, deposit(event.Version(i), amount, "x"))
			sum += amount
		}
		if s := account.Decider.Fold(decidertest.Laws(t, account.Decider, commands...)...); s.GetBalance() != sum {
			t.Fatalf("the balance is %d, not %d", s.GetBalance(), sum)
		}
	})
}

func TestGoldenFolds(t *testing.T) {
	decidertest.GoldenFolds(t, "testdata/folds.json", *update, account.Fingerprint, account.Decider, map[string][]*benchv1.Deposited{
		"deposits": {{Amount: 5, Version: 1, Padding: []byte("xyz")}, {Amount: 7, Version: 2}, {}},
	})
}

func BenchmarkDecideAndEvolve(b *testing.B) {
	c, s := deposit(0, 1, "x"), account.Decider.Initial()
	b.ReportAllocs()
	for b.Loop() {
		events, _ := account.Decide(c, s)
		account.Evolve(s, events[0])
	}
}
