package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/decider"
	domain "github.com/cqrsflow/cqrsflow/domain/experiment"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/event/principal"
	"github.com/cqrsflow/cqrsflow/experiment"
	"github.com/cqrsflow/cqrsflow/experiment/assign"
	"github.com/cqrsflow/cqrsflow/experiment/results"
	"github.com/cqrsflow/cqrsflow/experiment/stats"
	"github.com/cqrsflow/cqrsflow/query"
	experimentcodec "github.com/cqrsflow/cqrsflow/schemas/experiment"
)

// trials are experiments, and an assigner of the aggregate type order by one kind of unit.
type trials struct {
	rows   map[event.StreamID]query.Experiment
	filter query.ExperimentFilter
	report *results.Report
	plan   int
	kind   string
}

func (x *trials) Get(_ context.Context, id event.StreamID) (query.Experiment, error) {
	if r, ok := x.rows[id]; ok {
		return r, nil
	}
	return query.Experiment{}, event.ErrNotFound
}

func (x *trials) List(_ context.Context, f query.ExperimentFilter) (query.Page[query.Experiment], error) {
	x.filter = f
	var p query.Page[query.Experiment]
	for _, r := range x.rows {
		p.Items = append(p.Items, r)
	}
	return p, nil
}

func (x *trials) Results(_ context.Context, id event.StreamID, plan int) (*results.Report, error) {
	if x.plan = plan; x.rows[id].ID == "" {
		return nil, event.ErrNotFound
	}
	return x.report, nil
}

func (x *trials) Tries(aggregate string) bool { return aggregate == "order" }

func (x *trials) Assign(_ string, unit func(string) string) string {
	if u := unit(x.kind); u != "" {
		return "ship/1=v2@" + u
	}
	return ""
}

func (x *trials) Variant(id event.StreamID, unit string) (experiment.Shown, error) {
	if x.rows[id].ID == "" {
		return experiment.Shown{}, event.ErrNotFound
	}
	return experiment.Shown{Variant: "v2", Assigned: true, Experiment: string(id), PlanNumber: 1, Status: "running"}, nil
}

// withTrials is a fixture with one experiment, ship.
func withTrials(t *testing.T) (*fixture, *trials) {
	t.Helper()
	typ, err := decider.NewType(domain.Spec(experimentcodec.Codec))
	if err != nil {
		t.Fatal(err)
	}
	at := start
	x := &trials{kind: experiment.Customer, rows: map[event.StreamID]query.Experiment{"ship": {ID: "ship", Version: 2, Document: []byte(`{"status":"running","planNumber":1}`)}},
		report: &results.Report{Experiment: "ship", Status: "running", PlanNumber: 1, StartedAt: &at, Verdict: stats.Blocked, Reasons: []stats.Reason{{Code: "crossover", Detail: "3 <units>"}},
			Plan: experiment.Plan{Unit: "customer", Variants: []assign.Variant{{Name: "v1", Weight: 5000}, {Name: "v2", Weight: 5000}}}}}
	f := newFixture(t, func(c *Config) {
		c.Aggregates, c.Experiments, c.Assigner = append(c.Aggregates, typ), x, x
	})
	f.processor.types[typ.Name] = typ
	return f, x
}

// A command gets the variant of its unit before it is published; where the unit is not known it gets none, and goes its way.
func TestCommandsAreAssigned(t *testing.T) {
	f, x := withTrials(t)
	last := func() string { p := f.processor.mu.published; return p[len(p)-1].Variant }
	f.do(http.MethodPost, "/v1/orders/o1/place", placeBody).want(200)
	if got := last(); got != "ship/1=v2@c1" {
		t.Errorf("the customer of the order is not its unit: %q", got)
	}
	f.do(http.MethodPost, "/v1/orders/o1/place", placeBody, "Cqrs-Unit", "somebody").want(409)
	if got := last(); got != "ship/1=v2@c1" {
		t.Errorf("the caller's unit counts for more than the body: %q", got)
	}
	f.do(http.MethodPost, "/v1/orders/o1/annotate", `{"text":"x"}`).want(200)
	if got := last(); got != "" {
		t.Errorf("nobody is assigned %q", got)
	}
	f.do(http.MethodPost, "/v1/orders/o1/pay", "", "Cqrs-Unit", "c1").want(200)
	if got := last(); got != "ship/1=v2@c1" {
		t.Errorf("the caller's unit is not taken: %q", got)
	}
	f.do(http.MethodPost, "/v1/accounts/a1/deposit", `{"amount":5}`, "Cqrs-Unit", "c1").want(200)
	if got := last(); got != "" {
		t.Errorf("a type that is not tried is assigned %q", got)
	}
	if p := f.do(http.MethodPost, "/v1/orders/o1/ship", "", "Cqrs-Unit", "no body").want(400).problem(); p.Errors[0].Field != "Cqrs-Unit" {
		t.Error(p)
	}

	x.kind = experiment.Stream
	f.do(http.MethodPost, "/v1/orders/o1/annotate", `{"text":"x"}`).want(200)
	if got := last(); got != "ship/1=v2@o1" {
		t.Errorf("the stream is not the unit: %q", got)
	}
	x.kind = experiment.User
	f.do(http.MethodPost, "/v1/orders/o1/annotate", `{"text":"x"}`, "Cqrs-Unit", "c1").want(200)
	if got := last(); got != "" {
		t.Errorf("nobody is assigned %q", got)
	}
	r := httptest.NewRequest(http.MethodPost, "/v1/orders/o1/annotate", strings.NewReader(`{"text":"x"}`))
	r.Header.Set("Content-Type", "application/json")
	f.send(r.WithContext(principal.NewContext(r.Context(), principal.Principal{Kind: principal.User, ID: "u-1"}))).want(200)
	if got := last(); got != "ship/1=v2@u-1" {
		t.Errorf("who asks is not the unit: %q", got)
	}
}

func TestBatchesAreAssigned(t *testing.T) {
	f, _ := withTrials(t)
	lines := `{"aggregate":"order","id":"o1","command":"place","data":` + strings.ReplaceAll(placeBody, "\n", "") + `}
{"aggregate":"order","id":"o1","command":"pay","unit":"c1"}
{"aggregate":"order","id":"o1","command":"ship","unit":"no body"}
`
	r := f.do(http.MethodPost, "/v1/commands", lines, "Content-Type", "application/x-ndjson").want(200)
	if answers := strings.Split(strings.TrimSpace(r.body), "\n"); len(answers) != 3 || !strings.Contains(answers[2], `"field":"unit"`) {
		t.Error(r.body)
	}
	var got []string
	for _, c := range f.processor.mu.published {
		got = append(got, c.Variant)
	}
	if len(got) != 2 || got[0] != "ship/1=v2@c1" || got[1] != "ship/1=v2@c1" {
		t.Errorf("the lines are assigned %q", got)
	}
	f.do(http.MethodPost, "/v1/commands", lines, "Content-Type", "application/x-ndjson", "Cqrs-Unit", "c1").want(400)
}

func TestExperiments(t *testing.T) {
	f, x := withTrials(t)
	f.models["experiments"].through = []event.Position{{Aggregate: "experiment", Partition: 3, Offset: 7}}
	r := f.do(http.MethodGet, "/v1/experiments?status=running", "").want(200)
	if x.filter.Status != "running" || r.header.Get("Cqrs-Position") != "experiment/3@7" || !strings.Contains(r.body, `{"id":"ship","version":2,"status":"running","planNumber":1}`) {
		t.Errorf("%+v: %s", x.filter, r.body)
	}
	f.do(http.MethodGet, "/v1/experiments?status=finished", "").want(400)
	if r := f.do(http.MethodGet, "/v1/experiments/ship", "").want(200); r.header.Get("ETag") != `"2"` {
		t.Error(r.header)
	}
	f.do(http.MethodGet, "/v1/experiments/none", "").want(404)
	f.do(http.MethodGet, "/v1/experiments/none/results", "").want(404)
	f.do(http.MethodGet, "/v1/experiments/none/assignment?unit=ada", "").want(404)
	f.do(http.MethodGet, "/v1/experiments/ship/assignment", "").want(400)
	r = f.do(http.MethodGet, "/v1/experiments/ship/assignment?unit=ada", "").want(200)
	if got := r.json(); got["variant"] != "v2" || got["assigned"] != true {
		t.Error(got)
	}
	if got := f.do(http.MethodGet, "/v1/experiments/ship/results?plan=3", "").want(200).json(); x.plan != 3 || got["verdict"] != "blocked" {
		t.Error(got, x.plan)
	}
	f.do(http.MethodGet, "/v1/experiments/ship/results?format=pdf", "").want(400)
	page := f.do(http.MethodGet, "/v1/experiments/ship/results?format=html", "").want(200)
	if page.header.Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(page.header.Get("Content-Security-Policy"), "default-src 'none'") ||
		!strings.Contains(page.body, "3 &lt;units&gt;") || strings.Contains(page.body, "<script") {
		t.Error(page.header, page.body)
	}
}

// The commands come with the aggregate type; a whole life over HTTP, and each refusal with its code.
func TestExperimentCommands(t *testing.T) {
	f, _ := withTrials(t)
	plan := `{"plan":{"unit":"customer","units":400,"aggregate":"order","variants":[{"name":"v1","weight":5000},{"name":"v2","weight":5000}],` +
		`"primary":{"name":"rating","kind":"mean"}}}`
	f.do(http.MethodPost, "/v1/experiments/e/start", "").want(409)
	f.do(http.MethodPost, "/v1/experiments/e/define", strings.Replace(plan, "5000", "4000", 1)).want(409)
	f.do(http.MethodPost, "/v1/experiments/e/define", strings.Replace(plan, "customer", "browser", 1)).want(422)
	f.do(http.MethodPost, "/v1/experiments/e/define", strings.Replace(plan, "units", "unitz", 1)).want(400)
	f.do(http.MethodPost, "/v1/experiments/e/define", plan).want(200)
	f.do(http.MethodPost, "/v1/experiments/e/start", "").want(200)
	f.do(http.MethodPost, "/v1/experiments/e/outcomes", `{"unit":"ada","metric":"rating","value":4.5}`).want(200)
	if p := f.do(http.MethodPost, "/v1/experiments/e/outcomes", `{"unit":"ada","metric":"smiles","value":4.5}`).want(409).problem(); p.Code != "metric_unknown" {
		t.Error(p)
	}
	f.do(http.MethodPost, "/v1/experiments/e/stop", `{"reason":"enough"}`).want(200)
	r := f.do(http.MethodPost, "/v1/experiments/e/decide", `{"variant":"v2"}`).want(200)
	state, _ := r.json()["state"].(map[string]any)
	if state["status"] != "decided" || state["id"] != "e" || state["outcomes"] != 1.0 {
		t.Error(r.body)
	}
	text, err := json.Marshal(state)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := experiment.ParseState(text); err != nil || s.Plan.Units != 400 || s.Decision.Variant != "v2" || s.StartedAt == nil || s.StartedAt.After(time.Now()) {
		t.Errorf("%+v, %v", s, err)
	}
}

// What is documented of experiments resolves, and is all there.
func TestExperimentsAreDocumented(t *testing.T) {
	f, _ := withTrials(t)
	if err := f.api.document(); err != nil {
		t.Fatal(err)
	}
	doc := f.do(http.MethodGet, "/openapi.json", "").json()
	schemas := doc["components"].(map[string]any)["schemas"].(map[string]any)
	for _, ref := range refs(doc) {
		if name, ok := strings.CutPrefix(ref, schemaPrefix); !ok || schemas[name] == nil {
			t.Errorf("the reference %s leads nowhere", ref)
		}
	}
	paths := doc["paths"].(map[string]any)
	for _, want := range []string{"/v1/experiments", "/v1/experiments/{id}", "/v1/experiments/{id}/results", "/v1/experiments/{id}/assignment", "/v1/experiments/{id}/define",
		"/v1/experiments/{id}/start", "/v1/experiments/{id}/stop", "/v1/experiments/{id}/decide", "/v1/experiments/{id}/outcomes"} {
		if item, ok := paths[want].(map[string]any); !ok {
			t.Errorf("%s is missing", want)
		} else {
			for _, op := range item {
				checkParameters(t, want, op.(map[string]any))
			}
		}
	}
	f.do(http.MethodGet, "/docs", "").want(200)
}
