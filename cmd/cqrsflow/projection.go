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
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/aggregates"
	"github.com/cqrsflow/cqrsflow/internal/app"
	"github.com/cqrsflow/cqrsflow/internal/catchup"
	"github.com/cqrsflow/cqrsflow/internal/config"
	"github.com/cqrsflow/cqrsflow/internal/progress"
	"github.com/cqrsflow/cqrsflow/internal/verify"
)

type projectionCmd struct {
	List   projectionListCmd   `cmd:"" help:"Show how far each projection is."`
	Verify projectionVerifyCmd `cmd:"" help:"Fold every stream of the log anew and compare; exit code 1 on drift."`
}

func newProjectionCmd() projectionCmd {
	return projectionCmd{
		List:   projectionListCmd{Settings: newSettings("General", "Kafka")},
		Verify: projectionVerifyCmd{Settings: newSettings("General", "Client", "Kafka", "Postgres")},
	}
}

type projectionListCmd struct {
	outputFlags
	Settings settings `embed:""`
}

func (c *projectionListCmd) Run(e *environment) error {
	s, err := c.Settings.find(e, "projection list", "kafka.brokers")
	if err != nil {
		return err
	}
	client, err := kafka(s)
	if err != nil {
		return err
	}
	defer client.Close()
	lags, err := catchup.Measure(e.ctx, kadm.NewClient(client), app.Projections(s))
	if err != nil {
		return fromKafka(err)
	}
	return c.print(e, lags, func(w io.Writer) {
		fmt.Fprintln(w, "PROJECTION\tGROUP\tSTATE\tMEMBERS\tDONE\tLAG")
		for _, l := range lags {
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d of %d\t%d\n", l.Name, l.ID, l.State, l.Members, l.Done, l.Total, l.Lag)
		}
	})
}

type projectionVerifyCmd struct {
	outputFlags
	Projections []string `arg:"" optional:"" name:"projection" help:"Those only: orders, customers, daily_sales, orders_search, history."`
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
	s, err := c.Settings.find(e, "projection verify", keys...)
	if err != nil {
		return err
	}
	reports := []*verify.Report{}
	for _, k := range chosen {
		bar := progress.New(e.stderr).Bar(k.name, 0)
		l, err := logOf(s, bar.Set)
		if err != nil {
			return err
		}
		found, err := k.run(e.ctx, l, s)
		if err != nil {
			bar.Abandon()
			return fmt.Errorf("verify %s: %w", k.name, err)
		}
		bar.Done()
		reports = append(reports, found...)
	}
	return c.report(e, reports)
}

// report prints reports; drift is a failure.
func (o outputFlags) report(e *environment, reports []*verify.Report) error {
	drift := 0
	err := o.print(e, reports, func(w io.Writer) {
		fmt.Fprintln(w, "PROJECTION\tEVENTS\tCOMPARED\tNEWER\tDRIFT")
		for _, r := range reports {
			fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\n", r.Projection, r.Events, r.Compared, r.Newer, r.Drift)
		}
	})
	for _, r := range reports {
		drift += r.Drift
		if o.JSON {
			continue
		}
		for _, d := range r.Differences {
			fmt.Fprintf(e.stdout, "%s: %s\n", r.Projection, d)
		}
		if more := r.Drift - len(r.Differences); more > 0 {
			fmt.Fprintf(e.stdout, "%s: … and %d more\n", r.Projection, more)
		}
	}
	if err == nil && drift > 0 {
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
		api := client{base: s.Client.Server, setting: "server"}
		r, err := compare(ctx, l, func(ctx context.Context, path string, q url.Values, h http.Header, out any) error {
			return api.call(ctx, http.MethodGet, path, q, h, out)
		}, t)
		return []*verify.Report{r}, err
	}}
}
