package api

import (
	"bytes"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/event/principal"
	"github.com/cqrsflow/cqrsflow/experiment"
	"github.com/cqrsflow/cqrsflow/experiment/results"
	"github.com/cqrsflow/cqrsflow/query"
)

// ExperimentList is a page of experiments.
type ExperimentList struct {
	Items  []json.RawMessage `json:"items" doc:"The latest first." nullable:"false"`
	Cursor string            `json:"cursor,omitempty" doc:"For the next page; absent at the end."`
}

var experimentStatuses = []string{experiment.Defined, experiment.Running, experiment.Stopped, experiment.Decided}

var (
	experimentParams = []param{choice("status", "Experiments of this status.", experimentStatuses...), limitParam, cursorParam}
	resultParams     = []param{number("plan", "The number of an earlier plan; absent, the one that it has now.", 1, 0, 0),
		withDefault(choice("format", "JSON, or one page of HTML.", "json", "html"), "json")}
	assignmentParams = []param{text("unit", "The unit: the ID of a customer, a stream or a user, as the plan says.")}
)

func (a *API) listExperiments(c *call) error {
	f := query.ExperimentFilter{Status: c.params.oneOf("status", experimentStatuses...), Limit: c.params.limit(), Cursor: c.params.text("cursor")}
	if err := c.params.err(); err != nil {
		return err
	}
	if err := a.all(c, "experiments.read"); err != nil {
		return err
	}
	ctx, cancel, err := a.caughtUp(c, query.ExperimentsModel)
	if err != nil {
		return err
	}
	defer cancel()
	rows, err := a.cfg.Experiments.List(ctx, f)
	if err != nil {
		return err
	}
	list := ExperimentList{Items: make([]json.RawMessage, 0, len(rows.Items)), Cursor: rows.Cursor}
	for _, r := range rows.Items {
		list.Items = append(list.Items, experimentOfRow(r))
		c.stale(r.Parked)
	}
	return c.writeTagged("", list)
}

func (a *API) getExperiment(c *call) error {
	if err := a.all(c, "experiments.read"); err != nil {
		return err
	}
	ctx, cancel, err := a.caughtUp(c, query.ExperimentsModel)
	if err != nil {
		return err
	}
	defer cancel()
	r, err := a.cfg.Experiments.Get(ctx, c.stream)
	if err != nil {
		return a.absent(ctx, c, query.ExperimentsModel.Name, "experiment", err)
	}
	c.stale(r.Parked)
	return c.writeTagged(versionTag(r.Version), experimentOfRow(r))
}

// experimentOfRow is the state as plainState renders it.
func experimentOfRow(r query.Experiment) json.RawMessage {
	return withIdentity(event.StreamID(r.ID), r.Version, r.Document)
}

func (a *API) getResults(c *call) error {
	plan, format := c.params.version("plan", 1), c.params.oneOf("format", "json", "html")
	if err := c.params.err(); err != nil {
		return err
	}
	if err := a.all(c, "experiments.read"); err != nil {
		return err
	}
	ctx, cancel, err := a.caughtUp(c, query.ExperimentsModel)
	if err != nil {
		return err
	}
	defer cancel()
	r, err := a.cfg.Experiments.Results(ctx, c.stream, int(min(plan, 1<<31-1)))
	if err != nil {
		return a.absent(ctx, c, query.ExperimentsModel.Name, "experiment", err)
	}
	if format != "html" {
		return c.writeTagged("", r)
	}
	var page bytes.Buffer
	if err := r.HTML(&page); err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "text/html; charset=utf-8")
	c.w.WriteHeader(http.StatusOK)
	_, _ = c.w.Write(page.Bytes()) // a caller who has gone is no news
	return nil
}

func (a *API) getAssignment(c *call) error {
	unit := c.params.stream("unit")
	if err := c.params.err(); err != nil {
		return err
	}
	if unit == "" {
		return malformed("unit", "it is missing")
	}
	if p := principal.FromContext(c.r.Context()); p.Kind != principal.User || p.ID != unit { // what they see themselves they may know
		if err := a.all(c, "experiments.read"); err != nil {
			return err
		}
	}
	shown, err := a.cfg.Assigner.Variant(c.stream, unit)
	if err != nil {
		return err
	}
	return c.writeTagged("", shown)
}

// experimentType is the registered aggregate type; nil where it is not.
func (d *document) experimentType() *decider.Type { return d.api.named("experiment") }

func (d *document) experimentState() *huma.Schema {
	if t := d.experimentType(); t != nil {
		return d.state(t)
	}
	return &huma.Schema{}
}

func describeExperiments(d *document, rt *route) {
	list := d.extend("experiment.List", dtoOf[ExperimentList](d), "items", &huma.Schema{Type: huma.TypeArray, Items: d.experimentState()})
	d.queryOp(rt, rt.path, "listExperiments", "experiments", "List experiments", "", list, nil)
}

func describeExperiment(d *document, rt *route) {
	d.queryOp(rt, rt.path, "getExperiment", "experiments", "Get an experiment", "Its ETag is its version.", d.experimentState(), []*huma.Param{idParam}, codeNotFound)
}

func describeResults(d *document, rt *route) {
	d.queryOp(rt, rt.path, "experimentResults", "experiments", "What an experiment has shown so far",
		"The verdict by the plan, and what it rests on. It is `blocked`, with the reasons, where the numbers cannot be trusted.", dtoOf[results.Report](d), []*huma.Param{idParam}, codeNotFound)
	ok := d.operations[len(d.operations)-1].Responses["200"]
	ok.Content["text/html"] = &huma.MediaType{Schema: &huma.Schema{Type: huma.TypeString}}
}

func describeAssignment(d *document, rt *route) {
	d.queryOp(rt, rt.path, "experimentAssignment", "experiments", "Which variant a unit sees",
		"It is computed from the plan, the same everywhere, and asking changes nothing: what a unit is shown is measured once it sends a command.",
		dtoOf[experiment.Shown](d), []*huma.Param{idParam}, codeNotFound)
	op := d.operations[len(d.operations)-1]
	// It waits for no read model, and the unit is required.
	op.Parameters = slices.DeleteFunc(op.Parameters, func(p *huma.Param) bool { return p.Name == "Cqrs-After" || p.Name == "Prefer" })
	for _, p := range op.Parameters {
		p.Required = p.Required || p.Name == "unit"
	}
}
