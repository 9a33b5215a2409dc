package experiments_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/consumers/internal/logtest"
	"github.com/cqrsflow/cqrsflow/consumers/internal/pgtest"
	"github.com/cqrsflow/cqrsflow/consumers/postgres"
	"github.com/cqrsflow/cqrsflow/consumers/postgres/experiments"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/experiment/assign"
	"github.com/cqrsflow/cqrsflow/experiment/results"
	"github.com/cqrsflow/cqrsflow/experiment/stats"
	"github.com/cqrsflow/cqrsflow/query"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	experimentv1 "github.com/cqrsflow/cqrsflow/schemas/experiment/v1"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// side is a database that follows a log of orders and experiments.
type side struct {
	t     *testing.T
	log   *logtest.Log
	store *postgres.Store
	query *query.Experiments
}

func projection(t *testing.T) postgres.Projection {
	return experiments.Projection(logtest.Types(t, "experiment")["experiment"], "order")
}

func newSide(t *testing.T) *side {
	t.Helper()
	url := pgtest.URL(t)
	if err := postgres.Migrate(t.Context(), url, projection(t).Model); err != nil {
		t.Fatal(err)
	}
	store, err := postgres.Open(t.Context(), postgres.Config{URL: url, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return &side{t, logtest.New(t, 3, "experiment", "order"), store, query.NewExperiments(store.Pool())}
}

// follow runs the read model until it has read all of the log.
func (s *side) follow() {
	s.t.Helper()
	r, err := s.store.Runner(projection(s.t), 1, runner.Config{Client: s.log.Client(), Aggregates: logtest.Types(s.t, "experiment", "order"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	end := make(chan error, 1)
	go func() { end <- r.Run(ctx) }()
	logtest.Until(s.t, "the projection is ready", func() bool { ok, _ := r.Ready(); return ok })
	cancel()
	if err := <-end; err != nil {
		s.t.Error(err)
	}
}

func (s *side) results(id string, plan int) *results.Report {
	s.t.Helper()
	r, err := s.query.Results(s.t.Context(), event.StreamID(id), plan)
	if err != nil {
		s.t.Fatal(err)
	}
	return r
}

// plan is of orders by customer, after a change.
func plan(change func(*experimentv1.Plan)) *experimentv1.Plan {
	p := &experimentv1.Plan{Aggregate: "order", Unit: "customer", Units: 400, Method: "sequential",
		Variants:   []*experimentv1.Variant{{Name: "v1", Weight: 5000}, {Name: "v2", Weight: 5000}},
		Primary:    &experimentv1.Metric{Name: "revenue", Kind: "mean", Event: "order.v1.OrderPaid", Field: "total.amount"},
		Guardrails: []*experimentv1.Metric{{Name: "buyers", Kind: "conversion", Event: "order.v1.OrderPaid"}}}
	if change != nil {
		change(p)
	}
	return p
}

// begin defines an experiment's plan with that number, and starts it.
func (s *side) begin(id string, number int32, p *experimentv1.Plan) {
	s.log.Append(s.t, "experiment", logtest.One(id, &experimentv1.ExperimentDefined{PlanNumber: number, Plan: p}, &experimentv1.ExperimentStarted{PlanNumber: number, StartedAt: logtest.At(0)}))
}

// given is the variant that a unit is given.
func (s *side) given(salt, unit string) string {
	s.t.Helper()
	a, err := assign.New(assign.Plan{Salt: salt, Coverage: assign.Parts, Variants: []assign.Variant{{Name: "v1", Weight: 5000}, {Name: "v2", Weight: 5000}}})
	if err != nil {
		s.t.Fatal(err)
	}
	v, _ := a.Variant(unit)
	return v
}

// buys makes orders, one transaction for all, of so much by variant; a negative amount is not paid.
func (s *side) buys(salt string, units int, amount func(unit int, variant string) string) {
	s.t.Helper()
	var commands []logtest.Command
	for i := range units {
		unit := fmt.Sprint("customer-", i)
		variant := s.given(salt, unit)
		as := event.Assignment{Experiment: salt, Variant: variant, Unit: unit}.String()
		order := fmt.Sprint(salt[:4], "-order-", i)
		commands = append(commands, logtest.Command{Stream: order, Variant: as, Events: []proto.Message{&orderv1.OrderPlaced{Customer: unit, Total: usd("20.00")}}})
		if a := amount(i, variant); a != "" {
			commands = append(commands, logtest.Command{Stream: order, Variant: as, Events: []proto.Message{&orderv1.OrderPaid{Customer: unit, Total: usd(a), Units: 2}}})
		}
	}
	s.log.Append(s.t, "order", commands...)
}

func usd(amount string) *typev1.Money { return &typev1.Money{Amount: amount, Currency: "USD"} }

func codes(r *results.Report) (out []string) {
	for _, x := range r.Reasons {
		out = append(out, x.Code)
	}
	return out
}

// What the variants decided is added up for each unit, exactly, and judged.
func TestResults(t *testing.T) {
	s := newSide(t)
	s.begin("ship", 1, plan(nil))
	spread := []string{"9.10", "10.20", "11.30"}
	s.buys("ship/1", 400, func(i int, variant string) string {
		switch {
		case i%4 == 0:
			return "" // placed, and not paid
		case variant == "v2":
			return "1" + spread[i%3]
		}
		return spread[i%3]
	})
	s.follow()
	r := s.results("ship", 0)
	if r.Verdict != stats.Better || r.Variant != "v2" || r.Seen != 400 || r.Crossed != 0 {
		t.Errorf("%s %s, %d seen, %d crossed: %v", r.Verdict, r.Variant, r.Seen, r.Crossed, r.Reasons)
	}
	var want [2]stats.Moments
	var wantBuyers [2]int64
	for i := range 400 {
		variant := map[string]int{"v1": 0, "v2": 1}[s.given("ship/1", fmt.Sprint("customer-", i))]
		var u stats.Unit
		if i%4 != 0 {
			text := spread[i%3]
			if variant == 1 {
				text = "1" + text
			}
			var err error
			if u.Value, err = strconv.ParseFloat(text, 64); err != nil {
				t.Fatal(err)
			}
			wantBuyers[variant]++
		}
		want[variant].Add(u)
	}
	for i, m := range r.Measured[:2] {
		if m.Units != want[i].N || !near(m.Mean, want[i].Mean[0]) {
			t.Errorf("revenue of %s is %+v, want %d units and a mean of %v", m.Variant, m, want[i].N, want[i].Mean[0])
		}
	}
	for i, m := range r.Measured[2:] {
		if !near(m.Mean, float64(wantBuyers[i])/float64(want[i].N)) {
			t.Errorf("buyers of %s are %+v, want %d of %d", m.Variant, m, wantBuyers[i], want[i].N)
		}
	}
}

func near(a, b float64) bool { return a-b < 1e-9 && b-a < 1e-9 }

// Whatever is wrong with the numbers blocks the verdict, and is said. Each line breaks one thing.
func TestVerdictIsBlocked(t *testing.T) {
	pays := func(i int, _ string) string { return []string{"9.10", "10.20", "11.30"}[i%3] }
	for want, arrange := range map[string]func(s *side){
		stats.TooFewUnits: func(s *side) { s.buys("ship/1", 90, pays) },
		stats.Crossover: func(s *side) {
			s.buys("ship/1", 400, pays)
			other := map[string]string{"v1": "v2", "v2": "v1"}[s.given("ship/1", "customer-7")]
			s.log.Append(s.t, "order", logtest.Command{Stream: "again", Variant: "ship/1=" + other + "@customer-7", Events: []proto.Message{&orderv1.OrderPlaced{Total: usd("1.00")}}})
		},
		stats.SampleRatioMismatch: func(s *side) { // half of the second variant's units are lost
			var commands []logtest.Command
			for i := range 600 {
				unit := fmt.Sprint("customer-", i)
				if v := s.given("ship/1", unit); v == "v1" || i%2 == 0 {
					commands = append(commands, logtest.Command{Stream: unit, Variant: "ship/1=" + v + "@" + unit, Events: []proto.Message{&orderv1.OrderPaid{Total: usd(pays(i, v))}}})
				}
			}
			s.log.Append(s.t, "order", commands...)
		},
		stats.MetricMissing: func(s *side) { // nobody pays under the second variant
			s.buys("ship/1", 400, func(i int, variant string) string {
				if variant == "v2" {
					return ""
				}
				return pays(i, variant)
			})
		},
	} {
		t.Run(want, func(t *testing.T) {
			s := newSide(t)
			s.begin("ship", 1, plan(nil))
			arrange(s)
			s.follow()
			r := s.results("ship", 0)
			if r.Verdict != stats.Blocked || len(r.Reasons) == 0 {
				t.Fatalf("%s: %v", r.Verdict, r.Reasons)
			}
			for _, code := range codes(r) {
				if code != want {
					t.Errorf("blocked for %s, too: %v", code, r.Reasons)
				}
			}
		})
	}
}

// Outcomes are posted for units that events have shown; what was before serves CUPED; a plan does not see what another one measured.
func TestPostedOutcomesAndPlans(t *testing.T) {
	s := newSide(t)
	rated := func(p *experimentv1.Plan) {
		p.Primary = &experimentv1.Metric{Name: "rating", Kind: "mean", Cuped: true}
		p.Guardrails = []*experimentv1.Metric{{Name: "per_item", Kind: "ratio", Event: "order.v1.OrderPaid", Field: "total.amount", PerEvent: "order.v1.OrderPaid", PerField: "units"}}
	}
	s.begin("rate", 1, plan(rated))
	pays := func(i int, _ string) string { return []string{"9.10", "10.20", "11.30"}[i%3] }
	s.buys("rate/1", 300, pays)
	var posts []proto.Message
	for i := range 300 {
		unit := fmt.Sprint("customer-", i)
		posts = append(posts, &experimentv1.OutcomeRecorded{PlanNumber: 1, Unit: unit, Metric: "rating", Value: float64(i % 5), Before: true},
			&experimentv1.OutcomeRecorded{PlanNumber: 1, Unit: unit, Metric: "rating", Value: float64(i%5) + 0.1*float64(i%3)})
	}
	posts = append(posts, &experimentv1.OutcomeRecorded{PlanNumber: 1, Unit: "stranger", Metric: "rating", Value: 1e9})
	s.log.Append(t, "experiment", logtest.One("rate", posts...))
	s.follow()
	r := s.results("rate", 0)
	if r.Verdict != stats.Running || r.Seen != 300 {
		t.Fatalf("%s, %d seen: %v", r.Verdict, r.Seen, r.Reasons)
	}
	if v := r.Metrics[0].Variants[0]; v.Theta < 0.9 || v.Theta > 1.1 || v.Treatment.Mean > 5 {
		t.Errorf("nothing was adjusted by what was before, or a stranger counts: %+v", v)
	}
	if m := r.Measured[2]; m.Metric != "per_item" || m.Mean < 5 || m.Mean > 5.2 {
		t.Errorf("the ratio is %+v", m)
	}

	s.log.Append(t, "experiment", logtest.One("rate", &experimentv1.ExperimentStopped{PlanNumber: 1}))
	s.begin("rate", 2, plan(rated))
	s.follow()
	if r := s.results("rate", 0); r.PlanNumber != 2 || r.Seen != 0 || r.Verdict != stats.Blocked {
		t.Errorf("the second plan begins with %d units of plan %d, %s", r.Seen, r.PlanNumber, r.Verdict)
	}
	if r := s.results("rate", 1); r.PlanNumber != 1 || r.Seen != 300 || r.Status != "stopped" {
		t.Errorf("of the first plan %d units are left, it is %s", r.Seen, r.Status)
	}
	if _, err := s.query.Results(t.Context(), "rate", 3); !errors.Is(err, event.ErrNotFound) {
		t.Error(err)
	}
}

// A run-in under one variant has no verdict; what it has measured is what the next plan knows of units before.
func TestRunInServesTheNextPlan(t *testing.T) {
	s := newSide(t)
	s.begin("ship", 1, plan(func(p *experimentv1.Plan) { p.Variants = []*experimentv1.Variant{{Name: "v1", Weight: 10000}} }))
	var before, now []logtest.Command
	for i := range 300 {
		unit := fmt.Sprint("customer-", i)
		v := s.given("ship/2", unit)
		paid := func(cents int) []proto.Message {
			return []proto.Message{&orderv1.OrderPaid{Total: usd(fmt.Sprintf("%d.%02d", cents/100, cents%100))}}
		}
		before = append(before, logtest.Command{Stream: "b" + unit, Variant: "ship/1=v1@" + unit, Events: paid(1000 * (1 + i%7))})
		now = append(now, logtest.Command{Stream: "n" + unit, Variant: "ship/2=" + v + "@" + unit, Events: paid(1000*(1+i%7) + 100*(i%3))})
	}
	s.log.Append(t, "order", before...)
	s.follow()
	if r := s.results("ship", 1); r.Verdict != stats.Running || !cmp.Equal(codes(r), []string{results.RunIn}) || r.Seen != 300 || r.Measured[0].Units != 300 {
		t.Errorf("the run-in says %s: %v, %+v", r.Verdict, r.Reasons, r.Measured)
	}
	s.begin("ship", 2, plan(func(p *experimentv1.Plan) { p.BeforePlan, p.Primary.Cuped = 1, true }))
	s.log.Append(t, "order", now...)
	s.follow()
	if v := s.results("ship", 2).Metrics[0].Variants[0]; v.Theta < 0.9 || v.Theta > 1.1 || v.Control.Variance > 2 {
		t.Errorf("the second plan does not know of the first: %+v", v)
	}
}

// Where nothing is decided by the variants, a posted outcome is how a unit is seen.
func TestOutcomesShowUnits(t *testing.T) {
	s := newSide(t)
	s.begin("page", 1, plan(func(p *experimentv1.Plan) {
		p.Aggregate, p.Guardrails = "", nil
		p.Primary = &experimentv1.Metric{Name: "clicks", Kind: "mean", CapQuantile: 0.9}
	}))
	var posts []proto.Message
	for i := range 300 {
		posts = append(posts, &experimentv1.OutcomeRecorded{PlanNumber: 1, Unit: fmt.Sprint("visitor-", i), Metric: "clicks", Value: float64(i % 4)})
	}
	posts = append(posts, &experimentv1.OutcomeRecorded{PlanNumber: 1, Unit: "visitor-3", Metric: "clicks", Value: 1e6},
		&experimentv1.OutcomeRecorded{PlanNumber: 1, Unit: "visitor-999", Metric: "clicks", Value: 1, Before: true})
	s.log.Append(t, "experiment", logtest.One("page", posts...))
	s.follow()
	r := s.results("page", 0)
	if r.Seen != 300 || r.Verdict != stats.Running || r.Measured[0].Mean > 3 || r.Measured[1].Mean > 3 {
		t.Errorf("%d seen, %s, %v: %+v", r.Seen, r.Verdict, r.Reasons, r.Measured)
	}
}

// What names no plan of an experiment, or nobody, is nobody's: nothing can be made to fail with a header.
func TestOddAssignmentsAreNobodys(t *testing.T) {
	s := newSide(t)
	s.begin("ship", 1, plan(nil))
	var commands []logtest.Command
	for i, v := range []string{"ship=v1@ada", "ship/0=v1@ada", "ship/x=v1@ada", "ship/1=v1", "ship/1=v1@no body", "/1=v1@ada", "ship/99999999999=v1@ada", "nonsense"} {
		commands = append(commands, logtest.Command{Stream: fmt.Sprint("odd-", i), Variant: v, Events: []proto.Message{&orderv1.OrderPaid{Total: usd("1.00")}}})
	}
	commands = append(commands, logtest.Command{Stream: "other", Variant: "elsewhere/1=v1@ada", Events: []proto.Message{&orderv1.OrderPaid{Total: usd("not a number")}}})
	s.log.Append(t, "order", commands...)
	s.follow()
	if r := s.results("ship", 0); r.Seen != 0 {
		t.Errorf("%d units were seen", r.Seen)
	}
	list, err := s.query.List(t.Context(), query.ExperimentFilter{Limit: 10, Status: "running"})
	if err != nil || len(list.Items) != 1 || list.Items[0].ID != "ship" || list.Items[0].Version != 2 {
		t.Errorf("%+v, %v", list, err)
	}
}
