package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cqrsflow/cqrsflow/experiment"
	"github.com/cqrsflow/cqrsflow/experiment/results"
	"github.com/cqrsflow/cqrsflow/experiment/stats"
)

const tutorialPlan = "../../docs/tutorial/free-shipping.json"

// A live experiment, from its plan to what follows, as docs/tutorial/experiment.md walks through it: customers respond to a fee for
// shipping, dev is stopped and started again meanwhile, and the verdict is the right one; of customers who will not have it, too.
func TestExperiment(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	d := startDev(t, dir)
	d.await("Ctrl-C stops")
	d.client(1, "experiment", "start", "shipping")
	d.client(0, "experiment", "define", "shipping", tutorialPlan)
	d.client(0, "experiment", "start", "shipping")
	d.client(1, "experiment", "define", "shipping", tutorialPlan) // it runs: its plan does not change

	r := simulate(t, d, "--customers", "3000")
	if r.Verdict != stats.Running || len(r.Reasons) != 1 || r.Reasons[0].Code != stats.BeforeHorizon || r.Seen != 3000 || r.Crossed != 0 {
		t.Errorf("half way: %s, %d seen, %d crossed: %v", r.Verdict, r.Seen, r.Crossed, r.Reasons)
	}
	before := assigned(t, d)
	d.stop()
	if code := d.wait(); code != 0 {
		t.Fatalf("dev ended with %d\n%s", code, d.stderr)
	}

	d = startDev(t, dir)
	d.await("Ctrl-C stops")
	if after := assigned(t, d); after != before {
		t.Errorf("after a restart customers see other variants:\n%s\n%s", before, after)
	}
	// The customers of before come first, and change nothing.
	r = simulate(t, d, "--customers", "6000")
	if r.Verdict != stats.Better || r.Variant != "v2" || r.Seen != 6000 || r.Crossed != 0 {
		t.Errorf("at the end: %s %s, %d seen, %d crossed: %v", r.Verdict, r.Variant, r.Seen, r.Crossed, r.Reasons)
	}
	if out := d.client(0, "experiment", "results", "shipping"); !strings.Contains(out, "better: v2 is better than the control") {
		t.Errorf("results: %s", out)
	}
	page := filepath.Join(t.TempDir(), "results.html")
	d.client(0, "experiment", "results", "shipping", "--html", page)
	if text, err := os.ReadFile(page); err != nil || !strings.Contains(string(text), "v2 is better") {
		t.Errorf("the page: %v\n%s", err, text)
	}
	metrics, err := http.Get(d.file().Ops + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(metrics.Body)
	_ = metrics.Body.Close()
	if err != nil || !strings.Contains(string(text), `cqrsflow_command_variants_total{aggregate="order",result="used"}`) || strings.Contains(string(text), `result="unknown"`) {
		t.Errorf("the metrics do not say which variants decided (%v)", err)
	}

	d.client(0, "experiment", "stop", "shipping", "--reason", "the planned customers came")
	d.client(0, "experiment", "decide", "shipping", "v2")
	var list []listed
	if err := json.Unmarshal([]byte(d.client(0, "experiment", "list", "--json", "--status", "decided")), &list); err != nil || len(list) != 1 || list[0].Decision.Variant != "v2" {
		t.Errorf("the list: %+v, %v", list, err)
	}

	// Other customers, under the next plan, would rather leave than pay: most of the second variant's do.
	d.client(0, "experiment", "define", "shipping", tutorialPlan)
	d.client(0, "experiment", "start", "shipping")
	r = simulate(t, d, "--seed", "2", "--customers", "6000", "--top-up", "0", "--leave", "0.9")
	if r.Verdict != stats.Worse && r.Verdict != stats.Harmful || r.PlanNumber != 2 {
		t.Errorf("of those who leave: %s by plan %d: %v", r.Verdict, r.PlanNumber, r.Reasons)
	}
	if out := d.client(0, "experiment", "results", "shipping", "--plan", "1"); !strings.Contains(out, "better: v2") {
		t.Errorf("the first plan's results changed: %s", out)
	}
	// The read model is made of the log alone: made again, it says the same.
	earlier := d.client(0, "experiment", "results", "shipping", "--json")
	d.client(0, "rebuild", "experiments")
	if again := d.client(0, "experiment", "results", "shipping", "--json"); again != earlier {
		t.Errorf("after a rebuild the results are\n%s\nthey were\n%s", again, earlier)
	}
	// A comparison knows which variant decided: the control repeats what it decided itself.
	if out := d.client(0, "compare", "order", "--streams", "2000"); !strings.Contains(out, "v1 is deterministic") {
		t.Errorf("compare: %s", out)
	}
	d.client(0, "projection", "verify")
}

func simulate(t *testing.T, d *running, flags ...string) *results.Report {
	t.Helper()
	var s simulated
	out := d.client(0, append([]string{"experiment", "simulate", "shipping", "--json"}, flags...)...)
	if err := json.Unmarshal([]byte(out), &s); err != nil || s.Results == nil {
		t.Fatalf("%v: %s", err, out)
	}
	return s.Results
}

// assigned are the variants of some customers.
func assigned(t *testing.T, d *running) string {
	t.Helper()
	var out strings.Builder
	for _, unit := range []string{"ada", "bea", "cleo", "dora", "eve", "fay", "gil", "hal", "ida", "jo"} {
		var shown experiment.Shown
		d.get("/v1/experiments/shipping/assignment?unit="+unit, &shown)
		if !shown.Assigned {
			t.Errorf("%s is not assigned: %+v", unit, shown)
		}
		out.WriteString(shown.Variant + " ")
	}
	if got := out.String(); !strings.Contains(got, "v1") || !strings.Contains(got, "v2") {
		t.Errorf("all see the same: %s", got)
	}
	return out.String()
}

func TestExperimentUsage(t *testing.T) {
	for _, tc := range []struct {
		want string
		args []string
	}{
		{"no such file", []string{"define", "shipping", "nowhere.json"}},
		{"is no JSON", []string{"define", "shipping", "-"}},
		{"share from 0 to 1", []string{"simulate", "shipping", "--leave", "2"}},
		{"at least 1", []string{"simulate", "shipping", "--customers", "0"}},
		{"give --effect", []string{"size", "--mean", "1", "--deviation", "1"}},
		{"give --effect", []string{"size", "--mean", "1", "--deviation", "1", "--effect", "0.1", "--units", "5"}},
		{"deviation is 0", []string{"size", "--mean", "1", "--effect", "0.1"}},
	} {
		if code, out, errs := cqrsflow(t, "", nil, append([]string{"experiment"}, tc.args...)...); code != exitUsage || !strings.Contains(errs, tc.want) {
			t.Errorf("%v: %d, %s%s; want %q", tc.args, code, out, errs, tc.want)
		}
	}
	// What the example of the statistics computes, too.
	if code, out, _ := cqrsflow(t, "", nil, "experiment", "size", "--mean", "0.3", "--conversion", "--effect", "0.1"); code != 0 || !strings.HasPrefix(out, "8011 units") {
		t.Errorf("size: %d, %s", code, out)
	}
	if code, out, _ := cqrsflow(t, "", nil, "experiment", "size", "--mean", "0.3", "--conversion", "--units", "8011", "--json"); code != 0 || !strings.Contains(out, `"effect": 0.09`) && !strings.Contains(out, `"effect": 0.1`) {
		t.Errorf("size: %d, %s", code, out)
	}
}
