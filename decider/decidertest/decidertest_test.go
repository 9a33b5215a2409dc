package decidertest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
)

// list is a toy: commands and events append a number. What is in it decides nothing, so that it can be
// broken in every way.
type list struct {
	items []int
	meta  *int
}

type toy = decider.Decider[*int, *int, *list]

func sound() toy {
	return toy{
		Initial: func() *list { return &list{meta: new(int)} },
		Decide: func(c *int, s *list) ([]*int, error) {
			switch {
			case *c < 0:
				return nil, event.Reject("negative", "%d is negative", *c)
			case *c == 0:
				return nil, nil
			}
			n := *c
			return []*int{&n}, nil
		},
		Evolve: func(s *list, e *int) *list {
			return &list{items: append(append([]int(nil), s.items...), *e), meta: s.meta}
		},
	}
}

// recorder is a TB that keeps what failed.
type recorder struct{ failures []string }

func (r *recorder) Helper() {}
func (r *recorder) Errorf(format string, args ...any) {
	r.failures = append(r.failures, fmt.Sprintf(format, args...))
}
func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	runtime.Goexit()
}

// failures runs f with a TB of its own and returns what failed.
func failures(f func(TB)) string {
	r := &recorder{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(r)
	}()
	<-done
	return strings.Join(r.failures, "\n")
}

func p(n int) *int { return &n }

func TestScenarioThatHolds(t *testing.T) {
	s := Given(t, sound(), p(1), p(2))
	s.ThenState(&list{items: []int{1, 2}, meta: p(0)})
	s.When(p(-1)).ThenRejected("negative")
	s.When(p(0)).ThenNothing()
	s.When(p(3)).Then(p(3)).When(p(4)).Then(p(4)).ThenState(&list{items: []int{1, 2, 3, 4}, meta: p(0)})
	s.ThenState(&list{items: []int{1, 2}, meta: p(0)})
	if got := s.State().items; len(got) != 2 {
		t.Errorf("State() has %v", got)
	}
	if events := Laws(t, sound(), p(1), p(-1), p(0), p(2)); len(events) != 2 {
		t.Errorf("Laws returned %d events", len(events))
	}
}

func TestScenarioThatDoesNotHold(t *testing.T) {
	fails := errors.New("broken")
	broken := sound()
	broken.Decide = func(*int, *list) ([]*int, error) { return nil, fails }
	silent := sound()
	silent.Decide = func(*int, *list) ([]*int, error) { return nil, event.Reject("negative", "") }
	for name, tc := range map[string]struct {
		do   func(TB)
		want string
	}{
		"other event":          {func(t TB) { Given(t, sound()).When(p(1)).Then(p(2)) }, "other events happened"},
		"too many events":      {func(t TB) { Given(t, sound()).When(p(1)).ThenNothing() }, "other events happened"},
		"no event":             {func(t TB) { Given(t, sound()).When(p(0)).Then(p(1)) }, "other events happened"},
		"rejected, not then":   {func(t TB) { Given(t, sound()).When(p(-1)).Then(p(1)) }, "the command was not accepted: negative"},
		"accepted":             {func(t TB) { Given(t, sound()).When(p(1)).ThenRejected("negative") }, "the command was accepted, with 1 events"},
		"other code":           {func(t TB) { Given(t, sound()).When(p(-1)).ThenRejected("positive") }, "with negative (-1 is negative), not with positive"},
		"no message":           {func(t TB) { Given(t, silent).When(p(-1)).ThenRejected("negative") }, "has no message"},
		"failed, not rejected": {func(t TB) { Given(t, broken).When(p(1)).ThenRejected("negative") }, "the command failed with broken"},
		"did not fail":         {func(t TB) { Given(t, sound()).When(p(1)).ThenFails(fails) }, "not to the error broken"},
		"other state":          {func(t TB) { Given(t, sound(), p(1)).ThenState(&list{meta: p(0)}) }, "the state is another one"},
		"laws: it fails":       {func(t TB) { Laws(t, broken, p(1)) }, "neither accepted nor rejected: broken"},
	} {
		if got := failures(tc.do); !strings.Contains(got, tc.want) {
			t.Errorf("%s: it said %q, want %q", name, got, tc.want)
		}
	}
	if got := failures(func(t TB) { Given(t, broken).When(p(1)).ThenFails(fails) }); got != "" {
		t.Errorf("ThenFails: %s", got)
	}
}

// Each impurity must be found, by a scenario or by the laws.
func TestImpurityIsFound(t *testing.T) {
	calls := 0
	for name, tc := range map[string]struct {
		spoil func(*toy)
		want  string
	}{
		"Decide changes the state": {func(d *toy) {
			d.Decide = func(c *int, s *list) ([]*int, error) { *s.meta++; return nil, nil }
		}, "Decide changed the state"},
		"Decide changes the command": {func(d *toy) {
			d.Decide = func(c *int, s *list) ([]*int, error) { *c++; return nil, nil }
		}, "Decide changed the command"},
		"Decide depends on something else": {func(d *toy) {
			d.Decide = func(c *int, s *list) ([]*int, error) { calls++; return []*int{p(calls)}, nil }
		}, "the second time other events happened"},
		"Decide rejects at random": {func(d *toy) {
			d.Decide = func(c *int, s *list) ([]*int, error) {
				calls++
				return nil, event.Reject("odd", "%d", calls)
			}
		}, "Decide is not pure: first"},
		"Decide rejects and accepts": {func(d *toy) {
			d.Decide = func(c *int, s *list) ([]*int, error) { return []*int{c}, event.Reject("odd", "odd") }
		}, "one or the other"},
		"Evolve changes the state": {func(d *toy) {
			d.Evolve = func(s *list, e *int) *list { s.items = append(s.items, *e); return s }
		}, "changed the state that it got"},
		"Evolve changes something deep in the state": {func(d *toy) {
			d.Evolve = func(s *list, e *int) *list { *s.meta += *e; return &list{items: s.items, meta: s.meta} }
		}, "changed the state that it got"},
		"Evolve changes the event": {func(d *toy) {
			d.Evolve = func(s *list, e *int) *list { *e++; return &list{meta: p(0)} }
		}, "Evolve changed the event"},
		"Evolve depends on something else": {func(d *toy) {
			d.Evolve = func(s *list, e *int) *list { calls++; return &list{items: []int{calls}} }
		}, "is not pure"},
		"states share an array": {func(d *toy) {
			d.Evolve = func(s *list, e *int) *list {
				if s.items == nil {
					s = &list{items: make([]int, 0, 8), meta: s.meta}
				}
				return &list{items: append(s.items, *e), meta: s.meta}
			}
		}, "was changed by what came after"},
		"Initial differs": {func(d *toy) {
			d.Initial = func() *list { calls++; return &list{meta: p(calls)} }
		}, "Initial returns different states"},
	} {
		d := sound()
		tc.spoil(&d)
		if got := failures(func(t TB) { Laws(t, d, p(1), p(2), p(3)) }); !strings.Contains(got, tc.want) {
			t.Errorf("%s: the laws said %q, want %q", name, got, tc.want)
		}
	}
}

func TestGoldenFolds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "testdata", "folds.json")
	history := map[string][]*int{"one": {p(1)}, "two": {p(1), p(2)}}
	run := func(d toy, update bool, fingerprint uint32, histories map[string][]*int) string {
		return failures(func(t TB) { GoldenFolds(t, path, update, fingerprint, d, histories) })
	}
	expect := func(what, got, want string) {
		t.Helper()
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: it said %q, want %q", what, got, want)
		}
	}
	changed := sound()
	changed.Evolve = func(s *list, e *int) *list { return &list{items: []int{*e}, meta: s.meta} }

	expect("no file", run(sound(), false, 1, history), "Run this test with -update")
	expect("first update", run(sound(), true, 1, history), "")
	expect("nothing changed", run(sound(), false, 1, history), "")
	expect("Evolve changed", run(changed, false, 1, history), "other states of these histories than before: two. Raise the aggregate's Fingerprint from 1 to 2")
	before, _ := os.ReadFile(path)
	expect("Evolve changed, update", run(changed, true, 1, history), "Raise the aggregate's Fingerprint")
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Error("update wrote what the fingerprint does not allow")
	}
	expect("raised", run(changed, false, 2, history), "Run this test with -update")
	expect("raised, update", run(changed, true, 2, history), "")
	expect("raised, updated", run(changed, false, 2, history), "")
	expect("went back", run(sound(), false, 1, history), "it never goes back")
	history["three"] = []*int{p(3)}
	expect("a new history", run(changed, false, 2, history), "[three]")
	expect("a new history, update", run(changed, true, 2, history), "")
	delete(history, "one")
	expect("a history less", run(changed, false, 2, history), "[one]")
}
