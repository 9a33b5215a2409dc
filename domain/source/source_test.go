package source_test

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/decider/decidertest"
	"github.com/cqrsflow/cqrsflow/domain/source"
	"github.com/cqrsflow/cqrsflow/event"
	sourcev1 "github.com/cqrsflow/cqrsflow/schemas/source/v1"
)

var update = flag.Bool("update", false, "write golden files")

type command = decider.Command[proto.Message]

var epoch = time.Date(1997, 1, 1, 0, 0, 0, 0, time.UTC)

// at is the n-th second.
func at(n int) *timestamppb.Timestamp {
	return timestamppb.New(epoch.Add(time.Duration(n) * time.Second))
}

// cmd is a command that is recorded in the n-th second. When it says it happened is of no account.
func cmd(n int, body proto.Message) command {
	return command{Command: event.Command{Stream: "hmac-of-address", Time: epoch.AddDate(5, 0, 0), RecordedTime: at(n).AsTime()}, Body: body}
}

func begin(attempt string) *sourcev1.BeginAttempt { return &sourcev1.BeginAttempt{Attempt: attempt} }

func complete(attempt, result string) *sourcev1.CompleteAttempt {
	return &sourcev1.CompleteAttempt{Attempt: attempt, Result: result}
}

func begun(n int, attempt string) *sourcev1.AttemptBegun {
	return &sourcev1.AttemptBegun{Attempt: attempt, BegunAt: at(n), ExpiresAt: at(n + 60)}
}

// failures are so many in second n.
func failures(times, n int) []proto.Message {
	var events []proto.Message
	for i := range times {
		attempt := fmt.Sprint("f", i)
		events = append(events, begun(n, attempt), &sourcev1.AttemptFailed{Attempt: attempt, FailedAt: at(n)})
	}
	return events
}

func given(t *testing.T, events ...proto.Message) *decidertest.Scenario[command, proto.Message, *sourcev1.SourceState] {
	t.Helper()
	return decidertest.Given(t, source.Decider, events...)
}

func TestAttempts(t *testing.T) {
	open := given(t).When(cmd(1, begin("a"))).Then(begun(1, "a"))
	open.When(cmd(2, begin("a"))).ThenRejected(source.CodeAttemptExists)
	open.When(cmd(2, complete("b", "failed"))).ThenRejected(source.CodeAttemptNotFound)
	open.When(cmd(61, complete("a", "failed"))).ThenRejected(source.CodeAttemptExpired)
	open.When(cmd(60, complete("a", "succeeded"))).Then(&sourcev1.AttemptSucceeded{Attempt: "a", SucceededAt: at(60)}).
		When(cmd(60, complete("a", "failed"))).ThenRejected(source.CodeAttemptNotFound)
	open.When(cmd(2, complete("a", "failed"))).Then(&sourcev1.AttemptFailed{Attempt: "a", FailedAt: at(2)}).
		ThenState(&sourcev1.SourceState{Failures: 1, CountedAt: at(2)})
	open.When(cmd(61, begin("b"))).Then(&sourcev1.AttemptExpired{Attempt: "a", NoticedAt: at(61)}, begun(61, "b")).
		ThenState(&sourcev1.SourceState{Failures: 1, Open: []*sourcev1.OpenAttempt{{Attempt: "b", ExpiresAt: at(121)}}, CountedAt: at(61)})
	open.When(cmd(2, begun(2, "b"))).ThenFails(event.ErrUnknownType)
}

// Delays begin with the 20th failure in a row, double up to a quarter of an hour, and there is no ceiling; success ends them.
func TestSourceDelaysGrow(t *testing.T) {
	given(t, failures(19, 1)...).When(cmd(1, begin("a"))).Then(begun(1, "a"))
	for n, wait := range map[int]int{20: 1, 21: 2, 25: 32, 29: 512, 30: 900, 500: 900} {
		s := given(t, failures(n, 1)...)
		if got := s.State().GetRetryAt().AsTime(); got != at(1+wait).AsTime() {
			t.Errorf("after %d failures the state says %v", n, got)
		}
		s.When(cmd(wait, begin("a"))).ThenRejected(source.CodeTooManyAttempts)
		_, err := source.Decide(cmd(1, begin("a")), s.State())
		if r, _ := decider.AsRejection(err); r == nil || !strings.HasSuffix(r.Message, fmt.Sprintf("try again in %d s", wait)) {
			t.Errorf("after %d failures the message is %v", n, err)
		}
		s.When(cmd(1+wait, begin("a"))).Then(begun(1+wait, "a")).
			When(cmd(2+wait, complete("a", "succeeded"))).Then(&sourcev1.AttemptSucceeded{Attempt: "a", SucceededAt: at(2 + wait)}).
			When(cmd(2+wait, begin("b"))).Then(begun(2+wait, "b"))
	}
}

// Of 500 guesses at once, at as many accounts, 20 are let through.
func TestParallelGuessesFromOneSource(t *testing.T) {
	s, let := source.Decider.Initial(), 0
	for i := range 500 {
		events, err := source.Decide(cmd(1, begin(fmt.Sprint(i))), s)
		if err == nil {
			let++
		} else if r, ok := decider.AsRejection(err); !ok || r.Code != source.CodeTooManyAttempts {
			t.Fatal(err)
		}
		s = source.Decider.FoldFrom(s, events...)
	}
	if let != source.Attempts.From {
		t.Errorf("%d were let through, want %d", let, source.Attempts.From)
	}
}

// What was withdrawn, because nothing could be verified, is not counted: an outage keeps nobody out.
func TestWithdrawnAttemptsDoNotCount(t *testing.T) {
	s := given(t, failures(19, 1)...)
	s.When(cmd(2, begin("a"))).Then(begun(2, "a")).
		When(cmd(2, begin("b"))).ThenRejected(source.CodeTooManyAttempts)
	s.When(cmd(2, begin("a"))).Then(begun(2, "a")).
		When(cmd(3, complete("a", "withdrawn"))).Then(&sourcev1.AttemptWithdrawn{Attempt: "a", WithdrawnAt: at(3)}).
		When(cmd(3, begin("b"))).Then(begun(3, "b"))
}

// An address gets another user: a day without attempts makes it as good as new.
func TestFailuresAreForgotten(t *testing.T) {
	s := given(t, append(failures(40, 1), begun(1, "open"))...)
	s.When(cmd(86_400, begin("a"))).Then(&sourcev1.AttemptExpired{Attempt: "open", NoticedAt: at(86_400)}, begun(86_400, "a")).
		When(cmd(86_401, begin("b"))).ThenRejected(source.CodeTooManyAttempts)
	s.When(cmd(86_401, begin("a"))).Then(&sourcev1.AttemptExpired{Attempt: "open", NoticedAt: at(86_401)},
		&sourcev1.FailuresForgotten{Failures: 41, ForgottenAt: at(86_401)}, begun(86_401, "a")).
		ThenState(&sourcev1.SourceState{Open: []*sourcev1.OpenAttempt{{Attempt: "a", ExpiresAt: at(86_461)}}, CountedAt: at(86_401)})
}

// The laws of every decider, and that an attempt ends once at most.
func TestLaws(t *testing.T) {
	happened := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		var life []command
		now := 0
		for range rapid.IntRange(1, 15).Draw(t, "commands") {
			now += rapid.SampledFrom([]int{0, 0, 1, 70, 90_000}).Draw(t, "pass")
			attempt := fmt.Sprint(rapid.IntRange(0, 9).Draw(t, "attempt"))
			for _, body := range rapid.SampledFrom([][]proto.Message{
				{begin(attempt), complete(attempt, "succeeded")}, {begin(attempt), complete(attempt, "failed")}, {begin(attempt)}, {complete(attempt, "failed")},
				{begin(attempt), complete(attempt, "withdrawn")},
			}).Draw(t, "commands") {
				life = append(life, cmd(now, body))
			}
		}
		open := map[string]bool{}
		for _, e := range decidertest.Laws(t, source.Decider, life...) {
			happened[string(e.ProtoReflect().Descriptor().Name())]++
			switch e := e.(type) {
			case *sourcev1.AttemptBegun:
				open[e.GetAttempt()] = true
			case interface{ GetAttempt() string }:
				if !open[e.GetAttempt()] {
					t.Fatalf("%T of %s, which is not open", e, e.GetAttempt())
				}
				delete(open, e.GetAttempt())
			}
		}
	})
	t.Logf("events: %v", happened)
	for _, typ := range source.Spec(nil).Events {
		if happened[typ[len("source.v1."):]] == 0 {
			t.Errorf("%s never happened: the generator tests less than it should", typ)
		}
	}
}

func TestGoldenFolds(t *testing.T) {
	decidertest.GoldenFolds(t, "testdata/folds.json", *update, source.Fingerprint, source.Decider, map[string][]proto.Message{
		"delayed":   append(failures(22, 1), begun(10, "a"), &sourcev1.AttemptExpired{Attempt: "a", NoticedAt: at(80)}, begun(80, "b"), &sourcev1.AttemptSucceeded{Attempt: "b", SucceededAt: at(81)}),
		"empty":     {&sourcev1.AttemptBegun{}, &sourcev1.AttemptFailed{}, &sourcev1.AttemptSucceeded{}, &sourcev1.AttemptExpired{}, &sourcev1.FailuresForgotten{}},
		"withdrawn": append(failures(22, 1), begun(10, "a"), &sourcev1.AttemptWithdrawn{Attempt: "a", WithdrawnAt: at(11)}),
		"forgotten": append(failures(3, 1), &sourcev1.FailuresForgotten{Failures: 3, ForgottenAt: at(90_000)}),
	})
}

// Whatever is registered is handled, and no command is public.
func TestExhaustive(t *testing.T) {
	spec := source.Spec(nil)
	if len(spec.Commands) != 2 || len(spec.Events) != 6 {
		t.Errorf("another command or event is registered: test it here. %v %v", spec.Commands, spec.Events)
	}
	for _, c := range spec.Commands {
		if c.Public {
			t.Errorf("%s is public", c.Type)
		}
	}
	before := source.Decider.Fold(failures(2, 1)...)
	if after := source.Evolve(before, begin("a")); !proto.Equal(before, after) {
		t.Error("something that is no event changed the state")
	}
}
