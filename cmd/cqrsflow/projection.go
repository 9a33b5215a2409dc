package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/cqrsflow/cqrsflow/consumers/rebuild"
	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/aggregates"
	"github.com/cqrsflow/cqrsflow/internal/app"
	"github.com/cqrsflow/cqrsflow/internal/config"
	"github.com/cqrsflow/cqrsflow/internal/progress"
	"github.com/cqrsflow/cqrsflow/internal/verify"
)

type projectionCmd struct {
	List    projectionListCmd   `cmd:"" help:"Show the versions of each projection, and how far they are."`
	Verify  projectionVerifyCmd `cmd:"" help:"Fold every stream of the log anew and compare; exit code 1 on drift."`
	Rebuild rebuildCmd          `cmd:"" help:"Build a read model anew from the log, without downtime; wait until readers see it."`
	Cancel  projectionCancelCmd `cmd:"" help:"Give up a rebuild that has not been completed."`
	Drop    projectionDropCmd   `cmd:"" help:"Remove a version that a rebuild has retired."`
}

func newProjectionCmd() projectionCmd {
	return projectionCmd{
		List:    projectionListCmd{opsFlags{Settings: newSettings("General", "Client")}},
		Verify:  projectionVerifyCmd{Settings: newSettings("General", "Client", "Kafka", "Postgres")},
		Rebuild: newRebuildCmd(),
		Cancel:  projectionCancelCmd{opsFlags: opsFlags{Settings: newSettings("General", "Client")}},
		Drop:    projectionDropCmd{opsFlags: opsFlags{Settings: newSettings("General", "Client")}},
	}
}

type projectionListCmd struct {
	opsFlags
}

func (c *projectionListCmd) Run(e *environment) error {
	api, err := c.ops(e, "projection list")
	if err != nil {
		return err
	}
	list, err := projectionVersions(e.ctx, api)
	if err != nil {
		return err
	}
	return c.print(e, list, func(w io.Writer) {
		fmt.Fprintln(w, "PROJECTION\tVERSION\tSTATE\tGROUP\tGROUP IS\tMEMBERS\tDONE\tLAG")
		for _, v := range list {
			state := string(v.State)
			if v.State == rebuild.Building {
				state = fmt.Sprintf("%s, %d %%", v.State, percent(v))
			}
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%d\t%d of %d\t%d\n", v.Projection, v.Version, state, v.Group, v.GroupState, v.Members, v.Done, v.Total, v.Lag)
		}
	})
}

func percent(v app.ProjectionVersion) int64 { return v.Done * 100 / max(v.Total, 1) }

func projectionVersions(ctx context.Context, api client) (list []app.ProjectionVersion, err error) {
	return list, api.call(ctx, http.MethodGet, "/projections", nil, nil, &list)
}

type projectionCancelCmd struct {
	opsFlags
	Projection string `arg:"" help:"The projection."`
}

func (c *projectionCancelCmd) Run(e *environment) error {
	api, err := c.ops(e, "projection cancel")
	if err != nil {
		return err
	}
	return c.ask(e, api, "/projections/cancel", app.VersionRequest{Projection: c.Projection}, "%s: version %d is given up; readers see the one that they have seen\n")
}

type projectionDropCmd struct {
	opsFlags
	Projection string `arg:"" help:"The projection."`
	Version    int    `required:"" help:"The version to remove; it must be retired."`
}

func (c *projectionDropCmd) Run(e *environment) error {
	api, err := c.ops(e, "projection drop")
	if err != nil {
		return err
	}
	return c.ask(e, api, "/projections/drop", app.VersionRequest{Projection: c.Projection, Version: c.Version}, "%s: version %d is removed\n")
}

func (f *opsFlags) ask(e *environment, api client, path string, r app.VersionRequest, done string) error {
	var result app.VersionResult
	if err := api.post(e.ctx, path, r, &result); err != nil {
		return err
	}
	return f.print(e, result, func(w io.Writer) { fmt.Fprintf(w, done, result.Projection, result.Version) })
}

type projectionVerifyCmd struct {
	outputFlags
	Projections []string `arg:"" optional:"" name:"projection" help:"Those only: orders, customers, daily_sales, orders_search, history."`
	Heal        bool     `help:"Have streams that differ made anew by the workers of their partitions, and verify again."`
	Settings    settings `embed:""`
}

// check is what verifies a projection, and the settings of the servers that it asks besides Kafka.
type check struct {
	name string
	keys []string
	run  func(ctx context.Context, l verify.Log, s *config.Settings) ([]*verify.Report, error)
}

var checks = []check{
	byAPI("orders", "order", verify.Orders),
	byAPI("customers", "customer", verify.Customers),
	byAPI("daily_sales", "order", verify.DailySales),
	byAPI("experiments", "experiment", verify.Experiments),
	byAPI("orders_search", "order", verify.Search),
	{"history", []string{"postgres.url"}, verifyHistory},
}

func (c *projectionVerifyCmd) Run(e *environment) error {
	keys := []string{"kafka.brokers"}
	var chosen []check
	var names []string
	for _, k := range checks {
		names = append(names, k.name)
		if len(c.Projections) == 0 || slices.Contains(c.Projections, k.name) {
			chosen, keys = append(chosen, k), append(keys, k.keys...)
		}
	}
	for _, p := range c.Projections {
		if !slices.Contains(names, p) {
			return usageError{fmt.Errorf("there is no projection %q; there are %s", p, strings.Join(names, ", "))}
		}
	}
	if c.Heal {
		keys = append(keys, "ops.url", "token")
	}
	s, err := c.Settings.find(e, "projection verify", keys...)
	if err != nil {
		return err
	}
	h := healer{ops: client{base: s.Client.OpsURL, setting: "ops.url", token: s.Client.Token}, stderr: e.stderr}
	reports := []*verify.Report{}
	for _, k := range chosen {
		found, err := k.verify(e, s)
		if err == nil && c.Heal && drift(found) > 0 {
			found, err = h.heal(e, s, k, found)
		}
		if err != nil {
			return fmt.Errorf("verify %s: %w", k.name, err)
		}
		reports = append(reports, found...)
	}
	return c.report(e, reports)
}

// verify runs the check, with a bar.
func (k check) verify(e *environment, s *config.Settings) ([]*verify.Report, error) {
	bar := progress.New(e.stderr).Bar(k.name, 0)
	defer bar.Abandon()
	l, err := logOf(s, bar.Set)
	if err != nil {
		return nil, err
	}
	found, err := k.run(e.ctx, l, s)
	if err == nil {
		bar.Done()
	}
	return found, err
}

func drift(reports []*verify.Report) (n int) {
	for _, r := range reports {
		n += r.Drift
	}
	return n
}

// report prints reports; drift is a failure.
func (o outputFlags) report(e *environment, reports []*verify.Report) error {
	err := o.print(e, reports, func(w io.Writer) {
		fmt.Fprintln(w, "PROJECTION\tEVENTS\tCOMPARED\tNEWER\tHEALED\tDRIFT")
		for _, r := range reports {
			fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%d\n", r.Projection, r.Events, r.Compared, r.Newer, len(r.Healed), r.Drift)
		}
	})
	for _, r := range reports {
		if o.JSON {
			break
		}
		for i, id := range r.Healed {
			if i == verify.MaxListed {
				fmt.Fprintf(e.stdout, "%s: … and %d more were healed\n", r.Projection, len(r.Healed)-i)
				break
			}
			fmt.Fprintf(e.stdout, "%s: %s was healed\n", r.Projection, id)
		}
		for _, d := range r.Differences {
			fmt.Fprintf(e.stdout, "%s: %s\n", r.Projection, d)
		}
		if more := r.Drift - len(r.Differences); more > 0 {
			fmt.Fprintf(e.stdout, "%s: … and %d more\n", r.Projection, more)
		}
		for _, advice := range r.Advice {
			fmt.Fprintf(e.stdout, "%s: %s\n", r.Projection, advice)
		}
	}
	if err == nil && drift(reports) > 0 {
		return failed{}
	}
	return err
}

func logOf(s *config.Settings, show func(done, total int64)) (verify.Log, error) {
	opts, err := s.Kafka.Options()
	return verify.Log{Kafka: opts, Prefix: s.General.Prefix, Progress: show}, err
}

// pool connects to Postgres for a command that needs few connections.
func pool(ctx context.Context, s *config.Settings) (*pgxpool.Pool, error) {
	p, err := pgxpool.New(ctx, s.Postgres.URL)
	if err == nil {
		err = p.Ping(ctx)
	}
	if err != nil {
		if p != nil {
			p.Close()
		}
		return nil, fmt.Errorf("%w: PostgreSQL: %w; where it is says the setting %s", event.ErrUnavailable, err, config.Name("postgres.url"))
	}
	return p, nil
}

func verifyHistory(ctx context.Context, l verify.Log, s *config.Settings) (out []*verify.Report, err error) {
	p, err := pool(ctx, s)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	for _, t := range aggregates.All() {
		r, err := verify.History(ctx, l, p, t)
		if err != nil {
			return nil, err
		}
		r.Projection += " of " + t.Name
		out = append(out, r)
	}
	return out, nil
}

type modelCheck func(ctx context.Context, l verify.Log, get verify.Get, t *decider.Type) (*verify.Report, error)

// byAPI verifies a read model through the HTTP API.
func byAPI(name, aggregate string, compare modelCheck) check {
	return check{name, []string{"server"}, func(ctx context.Context, l verify.Log, s *config.Settings) ([]*verify.Report, error) {
		t, ok := aggregates.Lookup(aggregate)
		if !ok {
			return nil, errors.New("there is no aggregate type " + aggregate)
		}
		api := client{base: s.Client.Server, setting: "server", token: s.Client.Token}
		r, err := compare(ctx, l, func(ctx context.Context, path string, q url.Values, h http.Header, out any) error {
			return api.call(ctx, http.MethodGet, path, q, h, out)
		}, t)
		return []*verify.Report{r}, err
	}}
}
