package compare_test

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/compare"
	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/domain/order"
	"github.com/cqrsflow/cqrsflow/event"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

func candidateOf(name string) func(*compare.Config) {
	return func(c *compare.Config) { c.Candidate = name }
}

// onPay is the default, but for payments.
func onPay(f decide) decide {
	return func(c decider.Command[proto.Message], s *orderv1.OrderState) ([]proto.Message, error) {
		if _, ok := c.Body.(*orderv1.PayOrder); ok {
			return f(c, s)
		}
		return order.Decide(c, s)
	}
}

// Whatever a version does, the comparison ends, and says what it did.
func TestBadVersions(t *testing.T) {
	l := newLab(t, 2)
	release := make(chan struct{}) // so that no goroutine outlives the test
	t.Cleanup(func() { close(release) })
	var asked atomic.Int64
	typ := orders(t, map[string]decide{
		"strict": onPay(func(decider.Command[proto.Message], *orderv1.OrderState) ([]proto.Message, error) {
			return nil, event.Reject("closed", "we are closed")
		}),
		"lenient": onPay(func(c decider.Command[proto.Message], s *orderv1.OrderState) ([]proto.Message, error) {
			if events, err := order.Decide(c, s); err == nil {
				return events, nil
			}
			return nil, nil
		}),
		"renamed": onPay(func(c decider.Command[proto.Message], s *orderv1.OrderState) ([]proto.Message, error) {
			events, err := order.Decide(c, s)
			if err != nil {
				err = event.Reject("paid_before", "no")
			}
			return events, err
		}),
		"panics": onPay(func(decider.Command[proto.Message], *orderv1.OrderState) ([]proto.Message, error) {
			panic("out of paper")
		}),
		"broken": onPay(func(decider.Command[proto.Message], *orderv1.OrderState) ([]proto.Message, error) {
			return nil, fmt.Errorf("no such thing")
		}),
		"alien": onPay(func(decider.Command[proto.Message], *orderv1.OrderState) ([]proto.Message, error) {
			return []proto.Message{&orderv1.PayOrder{}}, nil // no event of orders
		}),
		"fickle": onPay(func(c decider.Command[proto.Message], s *orderv1.OrderState) ([]proto.Message, error) {
			events, err := order.Decide(c, s)
			if err == nil && asked.Add(1)%2 == 0 { // as the order of a map would have it, but each time
				events[0].(*orderv1.OrderPaid).Units++
			}
			return events, err
		}),
		"loops": onPay(func(c decider.Command[proto.Message], s *orderv1.OrderState) ([]proto.Message, error) {
			if c.Stream == "o-7" {
				<-release
			}
			return order.Decide(c, s)
		}),
	})
	const n = 40
	l.history(typ, n)

	kinds := func(r *compare.Report) (out []string) {
		for _, d := range r.Differences {
			out = append(out, fmt.Sprintf("%s %s/%s %d", d.Kind, d.Control, d.Candidate, d.Count))
		}
		slices.Sort(out)
		return out
	}
	const paid, again = "order.v1.OrderPaid", order.CodeAlreadyPaid
	for name, want := range map[string][]string{
		"strict":  {"accepted_rejected " + paid + "/closed 40", "code " + again + "/closed 40"},
		"lenient": {"rejected_accepted " + again + "/nothing 40"},
		"renamed": {"code " + again + "/paid_before 40"},
		"panics":  {"panic " + paid + "/panic 40", "panic " + again + "/panic 40"},
		"broken":  {"accepted_rejected " + paid + "/internal 40", "code " + again + "/internal 40"},
		"alien":   {"accepted_rejected " + paid + "/internal 40", "code " + again + "/internal 40"},
	} {
		t.Run(name, func(t *testing.T) {
			r := l.run(typ, candidateOf(name))
			if got := kinds(r); !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
			if r.Commands != 3*n || r.Agree+r.Differ != 3*n || !r.Deterministic || r.Versions[1].Nondeterministic != 0 {
				t.Errorf("%+v", r)
			}
			if wantPanics := map[bool]int64{true: 2 * n}[name == "panics"]; r.Versions[1].Panics != wantPanics {
				t.Errorf("%d panics, want %d", r.Versions[1].Panics, wantPanics)
			}
		})
	}
	t.Run("panic is shown", func(t *testing.T) {
		r := l.run(typ, candidateOf("panics"))
		if e := r.Versions[1].Examples["panic"]; e == nil || e.Candidate.Outcome != "panicked" || e.Candidate.Message != "out of paper" {
			t.Errorf("%+v", e)
		}
	})
	t.Run("fickle", func(t *testing.T) {
		r := l.run(typ, candidateOf("fickle"))
		if r.Versions[1].Nondeterministic == 0 || r.Versions[1].Examples["nondeterministic"] == nil || !r.Deterministic {
			t.Errorf("%+v, the control deterministic: %v", r.Versions[1], r.Deterministic)
		}
		// As the control it is the first thing to be said.
		r = l.run(typ, func(c *compare.Config) { c.Control, c.Candidate = "fickle", "v1" })
		var text strings.Builder
		if err := r.Table(&text); err != nil || r.Deterministic || !strings.Contains(text.String(), "fickle is NOT deterministic") {
			t.Errorf("deterministic: %v\n%s", r.Deterministic, text.String())
		}
	})
	t.Run("loops", func(t *testing.T) {
		r := l.run(typ, candidateOf("loops"), func(c *compare.Config) { c.Workers = 1 })
		v := r.Versions[1]
		if v.Stuck != 1 || v.Examples["stuck"] == nil || v.Examples["stuck"].Stream != "o-7" || r.Speed != nil {
			t.Errorf("%+v, speed %v", v, r.Speed)
		}
		if left := r.Skipped["version_left_behind"]; r.Commands+left != 3*n || r.Differ != 1 {
			t.Errorf("%d compared, %d left, %d differ", r.Commands, left, r.Differ)
		}
		r.Judge(compare.Thresholds{Diff: new(1.0)})
		if r.Verdict.Passed {
			t.Error("what was not compared has passed")
		}
	})
	t.Run("the control loops", func(t *testing.T) {
		r := l.run(typ, func(c *compare.Config) {
			c.Control, c.Candidate, c.Workers = "loops", "v1", 1
		})
		if r.Versions[0].Stuck != 1 || r.Versions[1].Stuck != 0 {
			t.Errorf("%+v", r.Versions)
		}
	})
}

// A control that decides otherwise than it did live is found, though each of its decisions comes out the same twice.
func TestAControlThatHasChanged(t *testing.T) {
	l := newLab(t, 1)
	l.history(orders(t, nil), 5)
	typ := ordersDecided(t, onPay(func(c decider.Command[proto.Message], s *orderv1.OrderState) ([]proto.Message, error) {
		events, err := order.Decide(c, s)
		if err == nil && c.Stream == "o-3" {
			events[0].(*orderv1.OrderPaid).Units++
		}
		return events, err
	}))
	r := l.run(typ)
	if r.Deterministic || r.Determinism.Checked != 15 || r.Determinism.Differ != 1 || len(r.Determinism.Examples) != 1 {
		t.Fatalf("%+v", r.Determinism)
	}
	e := r.Determinism.Examples[0]
	if e.Stream != "o-3" || strings.Contains(string(e.Control.Events[0].Data), `"units":2`) || !strings.Contains(string(e.Candidate.Events[0].Data), `"units":2`) {
		t.Errorf("%+v", e)
	}
	// As nothing was made live by v2, there is nothing to hold it against.
	if r := l.run(typ, func(c *compare.Config) { c.Control, c.Candidate = "v2", "v1" }); !r.Deterministic || r.Determinism.Checked != 0 {
		t.Errorf("%+v", r.Determinism)
	}
}
