package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/experiment"
	"github.com/cqrsflow/cqrsflow/experiment/results"
)

// experimentCmd is about experiments on live traffic. What changes one is published as any command is; what is known of it is
// asked of the HTTP API.
type experimentCmd struct {
	Define     experimentDefineCmd     `cmd:"" help:"Give an experiment that does not run a plan."`
	Start      experimentStartCmd      `cmd:"" help:"Begin to assign units by the plan, which does not change any more."`
	Stop       experimentStopCmd       `cmd:"" help:"Stop assigning units: the control serves everybody."`
	Decide     experimentDecideCmd     `cmd:"" help:"Record what follows from a stopped experiment."`
	List       experimentListCmd       `cmd:"" help:"List experiments, the latest first."`
	Results    experimentResultsCmd    `cmd:"" help:"Show what an experiment has shown so far: the verdict, and what it rests on."`
	Assignment experimentAssignmentCmd `cmd:"" help:"Show which variant a unit sees."`
	Size       experimentSizeCmd       `cmd:"" help:"Compute how many units find an effect, or which effect so many units find."`
	Simulate   experimentSimulateCmd   `cmd:"" help:"Let simulated customers come to the shop, and respond to what their variant shows."`
}

func newExperimentCmd() experimentCmd {
	change := func() experimentChange {
		return experimentChange{Settings: newSettings("General", "Kafka", "Principals")}
	}
	ask := func() experimentAsk { return experimentAsk{Settings: newSettings("General", "Client")} }
	return experimentCmd{Define: experimentDefineCmd{experimentChange: change()}, Start: experimentStartCmd{change()}, Stop: experimentStopCmd{experimentChange: change()},
		Decide: experimentDecideCmd{experimentChange: change()}, List: experimentListCmd{experimentAsk: ask()}, Results: experimentResultsCmd{experimentAsk: ask()},
		Assignment: experimentAssignmentCmd{experimentAsk: ask()}, Simulate: experimentSimulateCmd{experimentAsk: ask()}}
}

// experimentChange are the flags of commands that change an experiment.
type experimentChange struct {
	outputFlags
	Experiment string   `arg:"" help:"The experiment's ID."`
	Settings   settings `embed:""`
}

// send publishes a command of the experiment.
func (c *experimentChange) send(e *environment, command string, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	p := publishCmd{outputFlags: c.outputFlags, Stream: "experiment/" + c.Experiment, Command: command, Body: string(text), ExpectedVersion: int64(event.AnyVersion),
		Wait: 10 * time.Second, Settings: c.Settings}
	return p.Run(e)
}

type experimentDefineCmd struct {
	experimentChange
	Plan string `arg:"" help:"File with the plan as JSON; - is standard input. docs/experiments.md explains it."`
}

func (c *experimentDefineCmd) Run(e *environment) error {
	in := e.stdin
	if c.Plan != "-" {
		f, err := os.Open(c.Plan)
		if err != nil {
			return usageError{err}
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, 1<<20))
	if err != nil {
		return fmt.Errorf("read the plan: %w", err)
	}
	if !json.Valid(text) {
		return usageError{fmt.Errorf("%s is no JSON", c.Plan)}
	}
	return c.send(e, "define", map[string]json.RawMessage{"plan": text})
}

type experimentStartCmd struct{ experimentChange }

func (c *experimentStartCmd) Run(e *environment) error { return c.send(e, "start", struct{}{}) }

type experimentStopCmd struct {
	experimentChange
	Reason string `help:"Why."`
}

func (c *experimentStopCmd) Run(e *environment) error {
	return c.send(e, "stop", map[string]string{"reason": c.Reason})
}

type experimentDecideCmd struct {
	experimentChange
	Variant string `arg:"" help:"The variant that was chosen; the control where nothing is to change."`
	Reason  string `help:"Why."`
}

func (c *experimentDecideCmd) Run(e *environment) error {
	return c.send(e, "decide", map[string]string{"variant": c.Variant, "reason": c.Reason})
}

// experimentAsk are the flags of commands that ask.
type experimentAsk struct {
	outputFlags
	Settings settings `embed:""`
}

// api finds the HTTP API.
func (c *experimentAsk) api(e *environment, what string) (client, error) {
	s, err := c.Settings.find(e, "experiment "+what, "server")
	if err != nil {
		return client{}, err
	}
	return client{base: s.Client.Server, setting: "server", token: s.Client.Token}, nil
}

// experimentPath is where the API has something of an experiment.
func experimentPath(id, what string) (string, error) {
	if err := event.CheckStreamID(event.StreamID(id)); err != nil {
		return "", usageError{fmt.Errorf("the experiment's ID: %w", err)}
	}
	return "/v1/experiments/" + url.PathEscape(id) + what, nil
}

type experimentListCmd struct {
	experimentAsk
	Status string `enum:",defined,running,stopped,decided" default:"" help:"Those of this status: defined, running, stopped, decided."`
}

// listed is an experiment in a list.
type listed struct {
	ID string `json:"id"`
	experiment.State
}

func (c *experimentListCmd) Run(e *environment) error {
	api, err := c.api(e, "list")
	if err != nil {
		return err
	}
	all := []listed{}
	query := url.Values{"limit": {"200"}}
	if c.Status != "" {
		query.Set("status", c.Status)
	}
	for {
		var page struct {
			Items  []listed `json:"items"`
			Cursor string   `json:"cursor"`
		}
		if err := api.call(e.ctx, http.MethodGet, "/v1/experiments", query, nil, &page); err != nil {
			return err
		}
		all = append(all, page.Items...)
		if page.Cursor == "" {
			break
		}
		query.Set("cursor", page.Cursor)
	}
	return c.print(e, all, func(w io.Writer) {
		fmt.Fprintln(w, "EXPERIMENT\tSTATUS\tPLAN\tTRIES\tUNIT\tVARIANTS\tSTARTED")
		for _, x := range all {
			var variants []string
			for _, v := range x.Plan.Variants {
				variants = append(variants, fmt.Sprintf("%s %d %%", v.Name, v.Weight/100))
			}
			started := ""
			if x.StartedAt != nil {
				started = x.StartedAt.UTC().Format(time.RFC3339)
			}
			fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\t%s\n", x.ID, x.Status, x.PlanNumber, x.Plan.Aggregate, x.Plan.Unit, strings.Join(variants, ", "), started)
		}
	})
}

type experimentResultsCmd struct {
	experimentAsk
	Experiment string `arg:"" help:"The experiment's ID."`
	Plan       int    `help:"The number of an earlier plan; 0 is the one that it has now."`
	HTML       string `name:"html" type:"path" placeholder:"FILE" help:"Write the results as one HTML page, too."`
}

func (c *experimentResultsCmd) Run(e *environment) error {
	api, err := c.api(e, "results")
	if err != nil {
		return err
	}
	r, err := askResults(e, api, c.Experiment, c.Plan, nil)
	if err != nil {
		return err
	}
	if c.HTML != "" {
		if err := writeWhole(c.HTML, r.HTML); err != nil {
			return err
		}
	}
	if c.JSON {
		return c.print(e, r, nil)
	}
	return r.Table(e.stdout)
}

// askResults asks for results that include at least what is at those positions.
func askResults(e *environment, api client, id string, plan int, after []event.Position) (*results.Report, error) {
	path, err := experimentPath(id, "/results")
	if err != nil {
		return nil, err
	}
	query, header := url.Values{}, http.Header{"Prefer": {"wait=60"}}
	if plan > 0 {
		query.Set("plan", fmt.Sprint(plan))
	}
	if len(after) > 0 {
		header.Set("Cqrs-After", event.FormatPositions(after))
	}
	var r results.Report
	return &r, api.call(e.ctx, http.MethodGet, path, query, header, &r)
}

type experimentAssignmentCmd struct {
	experimentAsk
	Experiment string `arg:"" help:"The experiment's ID."`
	Unit       string `arg:"" help:"The unit: the ID of a customer, a stream or a user, as the plan says."`
}

func (c *experimentAssignmentCmd) Run(e *environment) error {
	api, err := c.api(e, "assignment")
	if err != nil {
		return err
	}
	path, err := experimentPath(c.Experiment, "/assignment")
	if err != nil {
		return err
	}
	var shown experiment.Shown
	if err := api.call(e.ctx, http.MethodGet, path, url.Values{"unit": {c.Unit}}, nil, &shown); err != nil {
		return err
	}
	return c.print(e, shown, func(w io.Writer) {
		note := ""
		if !shown.Assigned {
			note = "\tnot assigned: the control serves it"
		}
		fmt.Fprintf(w, "%s%s\n", shown.Variant, note)
	})
}

// writeWhole writes a file, whole or not at all.
func writeWhole(path string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".page-*.html")
	if err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	err = errors.Join(write(f), f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}
