package assignments_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/cqrsflow/cqrsflow/consumers/assignments"
	"github.com/cqrsflow/cqrsflow/consumers/internal/logtest"
	"github.com/cqrsflow/cqrsflow/event"
	experimentv1 "github.com/cqrsflow/cqrsflow/schemas/experiment/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func plan(change func(*experimentv1.Plan)) *experimentv1.Plan {
	p := &experimentv1.Plan{Aggregate: "order", Unit: "customer", Units: 400, Primary: &experimentv1.Metric{Name: "orders", Kind: "mean"},
		Variants: []*experimentv1.Variant{{Name: "v1", Weight: 5000}, {Name: "v2", Weight: 5000}}}
	if change != nil {
		change(p)
	}
	return p
}

// follow runs a follower until it is ready; it ends with the test, or before.
func follow(t *testing.T, l *logtest.Log, log *slog.Logger) (f *assignments.Follower, stop func()) {
	t.Helper()
	f, err := assignments.New(assignments.Config{Kafka: l.Client(), Experiment: logtest.Types(t, "experiment")["experiment"], Tried: logtest.Types(t, "order"), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	logtest.Until(t, "the follower is ready", func() bool { ok, _ := f.Ready(); return ok })
	return f, stop
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// of is a unit whatever its kind.
func of(unit string) func(string) string { return func(string) string { return unit } }

// all are the assignments of some units.
func all(f *assignments.Follower) (out []string) {
	for i := range 50 {
		out = append(out, f.Assign("order", of(fmt.Sprint("customer-", i))))
	}
	return out
}

// An experiment assigns from its start to its stop; a follower that begins later, as in another process or after a restart, assigns
// the same.
func TestStickyAcrossFollowers(t *testing.T) {
	l := logtest.New(t, 3, "experiment")
	first, stop := follow(t, l, quiet())
	if first.Tries("order") || first.Assign("order", of("ada")) != "" {
		t.Error("something is assigned before there is an experiment")
	}
	l.Append(t, "experiment", logtest.One("ship", &experimentv1.ExperimentDefined{PlanNumber: 1, Plan: plan(nil)}))
	l.Append(t, "experiment", logtest.One("ship", &experimentv1.ExperimentStarted{PlanNumber: 1, StartedAt: logtest.At(1)}))
	logtest.Until(t, "the start is known", func() bool { return first.Tries("order") })
	before := strings.Join(all(first), " ")
	for _, v := range []string{"ship/1=v1@customer-", "ship/1=v2@customer-"} {
		if !strings.Contains(before, v) {
			t.Errorf("nobody has %s: %s", v, before)
		}
	}
	stop()
	second, _ := follow(t, l, quiet())
	if after := strings.Join(all(second), " "); after != before {
		t.Errorf("after a restart units have other variants\n%s\n%s", before, after)
	}
	if second.Tries("customer") || second.Assign("order", of("")) != "" {
		t.Error("another type is tried, or nobody is assigned")
	}
	l.Append(t, "experiment", logtest.One("ship", &experimentv1.ExperimentStopped{PlanNumber: 1}))
	logtest.Until(t, "the end is known", func() bool { return !second.Tries("order") })
	l.Append(t, "experiment", logtest.One("ship", &experimentv1.ExperimentDefined{PlanNumber: 2, Plan: plan(nil)}, &experimentv1.ExperimentStarted{PlanNumber: 2, StartedAt: logtest.At(9)}))
	logtest.Until(t, "the next plan is known", func() bool { return second.Tries("order") })
	if next := strings.ReplaceAll(strings.Join(all(second), " "), "ship/2", "ship/1"); next == before {
		t.Error("the next plan divides units as the last one did")
	}
}

// A command has one variant: the experiment that was started first has it, and another one only the units that the first does not
// cover. What is shown to a unit is what it gets.
func TestOneExperimentACommand(t *testing.T) {
	l := logtest.New(t, 3, "experiment")
	half := int32(5000)
	l.Append(t, "experiment",
		logtest.One("late", &experimentv1.ExperimentDefined{PlanNumber: 1, Plan: plan(nil)}, &experimentv1.ExperimentStarted{PlanNumber: 1, StartedAt: logtest.At(9)}),
		logtest.One("soon", &experimentv1.ExperimentDefined{PlanNumber: 1, Plan: plan(func(p *experimentv1.Plan) { p.Coverage = &half })}, &experimentv1.ExperimentStarted{PlanNumber: 1, StartedAt: logtest.At(5)}),
		logtest.One("draft", &experimentv1.ExperimentDefined{PlanNumber: 1, Plan: plan(nil)}))
	f, _ := follow(t, l, quiet())
	counts := map[string]int{}
	for i := range 400 {
		unit := fmt.Sprint("customer-", i)
		a, ok := event.ParseAssignment(f.Assign("order", of(unit)))
		if !ok || a.Unit != unit {
			t.Fatalf("%s is not assigned: %+v", unit, a)
		}
		counts[a.Experiment]++
		for _, id := range []event.StreamID{"soon", "late"} {
			shown, err := f.Variant(id, unit)
			if err != nil || shown.Assigned != (string(id)+"/1" == a.Experiment) || shown.Assigned && shown.Variant != a.Variant || !shown.Assigned && shown.Variant != "v1" {
				t.Fatalf("%s gets %+v, and is shown %+v of %s, %v", unit, a, shown, id, err)
			}
		}
	}
	if counts["soon/1"] < 150 || counts["late/1"] < 150 {
		t.Errorf("units are divided as %v", counts)
	}
	if shown, err := f.Variant("draft", "ada"); err != nil || shown.Assigned || shown.Variant != "v1" || shown.Status != "defined" {
		t.Errorf("%+v, %v", shown, err)
	}
	if _, err := f.Variant("none", "ada"); !errors.Is(err, event.ErrNotFound) {
		t.Error(err)
	}
}

// The kinds of units are asked for by name; what nobody can say is not assigned.
func TestUnitsAreAskedFor(t *testing.T) {
	l := logtest.New(t, 3, "experiment")
	l.Append(t, "experiment", logtest.One("ship", &experimentv1.ExperimentDefined{PlanNumber: 1, Plan: plan(func(p *experimentv1.Plan) { p.Unit = "stream" })},
		&experimentv1.ExperimentStarted{PlanNumber: 1, StartedAt: logtest.At(9)}))
	f, _ := follow(t, l, quiet())
	var asked []string
	got := f.Assign("order", func(kind string) string { asked = append(asked, kind); return "o-1" })
	if fmt.Sprint(asked) != "[stream]" || !strings.HasSuffix(got, "@o-1") {
		t.Errorf("asked for %v, got %q", asked, got)
	}
}

// A plan with a variant that nobody registered is told of; an experiment that cannot be read stops assigning, and no other does.
func TestFaultsAreTold(t *testing.T) {
	l := logtest.New(t, 1, "experiment")
	var mu sync.Mutex
	var b bytes.Buffer
	log := slog.New(slog.NewTextHandler(writer(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return b.Write(p)
	}), nil))
	said := func() string {
		mu.Lock()
		defer mu.Unlock()
		return b.String()
	}
	l.Append(t, "experiment", logtest.One("ship", &experimentv1.ExperimentDefined{PlanNumber: 1, Plan: plan(func(p *experimentv1.Plan) { p.Variants[1].Name = "v9" })},
		&experimentv1.ExperimentStarted{PlanNumber: 1, StartedAt: logtest.At(1)}))
	f, _ := follow(t, l, log)
	if !strings.Contains(said(), "not registered") || !strings.Contains(said(), "v9") {
		t.Errorf("nobody was told:\n%s", said())
	}
	l.Append(t, "experiment", logtest.Raw("ship", "experiment.v1.ExperimentStopped", []byte("\xff\xff")),
		logtest.One("fine", &experimentv1.ExperimentDefined{PlanNumber: 1, Plan: plan(nil)}, &experimentv1.ExperimentStarted{PlanNumber: 1, StartedAt: logtest.At(2)}))
	logtest.Until(t, "the other one is known", func() bool { return strings.HasPrefix(f.Assign("order", of("ada")), "fine/1=") })
	if !strings.Contains(said(), "counts as stopped") {
		t.Errorf("nobody was told:\n%s", said())
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

func TestConfigIsChecked(t *testing.T) {
	if _, err := assignments.New(assignments.Config{}); !errors.Is(err, event.ErrConfig) {
		t.Error(err)
	}
}
