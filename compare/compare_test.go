package compare_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/compare"
	"github.com/cqrsflow/cqrsflow/domain/order"
	"github.com/cqrsflow/cqrsflow/event"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
	"github.com/cqrsflow/cqrsflow/schemas/record"
)

// The default comparison: what differs is counted, shown, and turned into numbers; the rest agrees, and the control
// decides as it did live. It is the same however many states fit into memory and however many partitions run at a time.
func TestTwoVersionsOfThePrice(t *testing.T) {
	l := newLab(t, 3)
	typ := orders(t, nil)
	l.history(typ, 60)
	for name, change := range map[string]func(*compare.Config){
		"as it is":    func(*compare.Config) {},
		"one by one":  func(c *compare.Config) { c.Workers = 1 },
		"no memory":   func(c *compare.Config) { compare.StateBytesForTest(c, 1) },
		"its own way": func(c *compare.Config) { c.Diverge = true },
		"own way, no memory": func(c *compare.Config) {
			c.Diverge = true
			compare.StateBytesForTest(c, 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := l.run(typ, change)
			if r.Control != "v1" || r.Candidate != "v2" || r.Commands != 180 || r.Agree != 150 || r.Differ != 30 || r.Range.Streams != 60 {
				t.Errorf("%+v", r)
			}
			if !r.Deterministic || r.Determinism.Checked != 180 || r.Determinism.Differ != 0 {
				t.Errorf("determinism %+v", r.Determinism)
			}
			if len(r.Differences) != 1 {
				t.Fatalf("differences %+v", r.Differences)
			}
			d := r.Differences[0]
			if d.Kind != compare.KindEvents || d.Command != "order.v1.PayOrder" || d.Count != 30 || d.Share != 30.0/180 || len(d.Examples) != 3 {
				t.Errorf("difference %+v", d)
			}
			if data := string(d.Examples[0].Candidate.Events[0].Data); !strings.Contains(data, `"shipping":{"amount":"2.99"`) {
				t.Errorf("example %s", data)
			}
			for i, want := range []struct {
				name               string
				control, candidate float64
			}{{"revenue", 1470, 1470 + 30*2.99}, {"orders", 60, 60}, {"rejection_rate", 1.0 / 3, 1.0 / 3}} {
				m := r.Metrics[i]
				if m.Name != want.name || math.Abs(m.Control-want.control) > 1e-6 || math.Abs(m.Candidate-want.candidate) > 1e-6 || m.Streams != 60 || m.Note != "" {
					t.Errorf("metric %+v, want %+v", m, want)
				}
			}
			revenue := r.Metrics[0]
			// Half of the streams pay 2.99 more: 1.495 each, give or take t(59)·s/√60 = 2.001·1.5076/7.746.
			if low, high := revenue.Difference.Low, revenue.Difference.High; math.Abs(low-66.33) > 0.01 || math.Abs(high-113.07) > 0.01 {
				t.Errorf("revenue differs by %v to %v", low, high)
			}
			if revenue.Relative == nil || math.Abs(revenue.Relative.Value-89.7/1470) > 1e-9 {
				t.Errorf("relative %+v", revenue.Relative)
			}
			if s := r.Speed; s == nil || s.Samples != 180 || s.Note != "" || s.Control.P50Ns <= 0 || s.Control.Allocations < 1 || !(s.Ratio.Low <= s.Ratio.Value && s.Ratio.Value <= s.Ratio.High) {
				t.Errorf("speed %+v", s)
			}
		})
	}
}

// A range is bounded by when commands were decided; what was before makes the states. Streams are drawn, the same each time.
func TestPartOfHistory(t *testing.T) {
	l := newLab(t, 2)
	typ := orders(t, nil)
	var noon, evening time.Time
	l.serve(typ, func(l live) {
		hour := func(h int) time.Time {
			at := time.Date(1997, 1, 1, h, 0, 0, 0, time.UTC)
			l.at.Store(&at)
			return at
		}
		hour(8)
		for i := range 20 {
			l.do("", fmt.Sprint("o-", i), place("11.77"))
		}
		noon = hour(12)
		for i := range 20 {
			l.do("", fmt.Sprint("o-", i), &orderv1.PayOrder{})
		}
		evening = hour(18)
		for i := range 20 {
			l.do("", fmt.Sprint("o-", i), &orderv1.ShipOrder{})
		}
	})
	for name, tc := range map[string]struct {
		from, to         time.Time
		commands, differ int64
	}{
		"all":     {commands: 60, differ: 20},
		"from":    {from: noon, commands: 40, differ: 20},
		"to":      {to: noon, commands: 20},
		"between": {from: noon, to: evening, commands: 20, differ: 20},
		"after":   {from: evening.Add(time.Microsecond)},
	} {
		t.Run(name, func(t *testing.T) {
			r := l.run(typ, func(c *compare.Config) { c.From, c.To = tc.from, tc.to })
			if r.Commands != tc.commands || r.Differ != tc.differ || !r.Deterministic || r.Range.Covered != 1 {
				t.Errorf("%d commands, %d differ, deterministic %v, %+v", r.Commands, r.Differ, r.Deterministic, r.Range)
			}
		})
	}
	var drawn [2][]string
	for i := range drawn {
		r := l.run(typ, func(c *compare.Config) { c.Streams, c.Examples = 7, 20 })
		if r.Commands != 21 || r.Range.Streams != 7 || r.Differ != 7 || !r.Deterministic {
			t.Errorf("%d commands of %d streams, %d differ", r.Commands, r.Range.Streams, r.Differ)
		}
		for _, e := range r.Differences[0].Examples {
			drawn[i] = append(drawn[i], string(e.Stream))
		}
	}
	if !slices.Equal(drawn[0], drawn[1]) {
		t.Errorf("drawn %v, then %v", drawn[0], drawn[1])
	}
}

// What the processor answered without deciding is left out, and said.
func TestWhatWasNotDecided(t *testing.T) {
	l := newLab(t, 1)
	typ := orders(t, nil)
	l.serve(typ, func(l live) {
		l.do("place", "o-1", place("11.77"))
		l.do("place", "o-1", place("11.77")) // a repeat
		l.do("", "o-1", &orderv1.AddLine{})  // invalid
		c := event.Command{Stream: "o-1", Type: "order.v1.PayOrder", ExpectedVersion: 7}
		if o, err := l.pub.Do(l.context(), c, order.Name, record.Protobuf, nil); err != nil || o.Kind != event.Conflict {
			t.Fatal(o, err)
		}
		l.do("", "o-1", &orderv1.CancelOrder{})
		l.do("", "o-1", &orderv1.CancelOrder{}) // nothing to do
	})
	r := l.run(typ)
	if want := map[string]int64{"repeated": 1, "invalid": 1, "conflict": 1}; r.Commands != 3 || !maps.Equal(r.Skipped, want) || !r.Deterministic {
		t.Errorf("%d commands, skipped %v, deterministic %v", r.Commands, r.Skipped, r.Deterministic)
	}
}

// Commands expire, events do not: states are right all the same, and the report says what is not covered.
func TestExpiredCommands(t *testing.T) {
	l := newLab(t, 1)
	typ := orders(t, nil)
	l.history(typ, 10)
	cl, err := kgo.NewClient(l.kafka...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if _, err := kadm.NewClient(cl).DeleteRecords(l.context(), kadm.OffsetsFromRecords(kgo.Record{Topic: topics.Commands, Offset: 12})); err != nil {
		t.Fatal(err)
	}
	r := l.run(typ) // 3 commands an order: all of four, and the first of the fifth, are gone
	if r.Commands != 17 || !r.Deterministic || r.Range.Expired != 9 || r.Range.Covered != 11.0/20 || r.Range.Since == nil {
		t.Errorf("%d commands, %+v, deterministic %v", r.Commands, r.Range, r.Deterministic)
	}
	var text strings.Builder
	if err := r.Table(&text); err != nil || !strings.Contains(text.String(), "55.00 % of what changed something in the range is still there; 9 commands have expired") {
		t.Error(text.String())
	}
}

// It runs beside production: no record, no group, no topic more than before.
func TestItOnlyReads(t *testing.T) {
	l := newLab(t, 2)
	typ := orders(t, nil)
	l.history(typ, 5)
	cl, err := kgo.NewClient(l.kafka...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	look := func() (out []string) {
		ends, err := adm.ListEndOffsets(l.context())
		if err != nil {
			t.Fatal(err)
		}
		ends.Each(func(o kadm.ListedOffset) { out = append(out, fmt.Sprint(o.Topic, o.Partition, o.Offset)) })
		groups, err := adm.ListGroups(l.context())
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, groups.Groups()...)
		slices.Sort(out)
		return out
	}
	before := look()
	l.run(typ, func(c *compare.Config) { c.Streams = 3 })
	if after := look(); !slices.Equal(before, after) {
		t.Errorf("before %v, after %v", before, after)
	}
}

func TestBadConfig(t *testing.T) {
	typ := orders(t, nil)
	kafka := []kgo.Opt{kgo.SeedBrokers("127.0.0.1:1")}
	for want, change := range map[string]func(*compare.Config){
		`order has no variant "v9"; it has v1, v2`: func(c *compare.Config) { c.Candidate = "v9" },
		"is empty: From must be before To":         func(c *compare.Config) { c.From = time.Now(); c.To = c.From },
		"Streams is -1":                            func(c *compare.Config) { c.Streams = -1 },
		"Budget is 1ns":                            func(c *compare.Config) { c.Budget = 1 },
		"Examples is 101":                          func(c *compare.Config) { c.Examples = 101 },
		"it needs Kafka":                           func(c *compare.Config) { c.Kafka = nil },
	} {
		cfg := compare.Config{Kafka: kafka, Type: typ}
		change(&cfg)
		if _, err := compare.Run(context.Background(), cfg); !errors.Is(err, event.ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}
