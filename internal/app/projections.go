package app

import (
	"context"
	"slices"

	"github.com/cqrsflow/cqrsflow/consumers/history"
	"github.com/cqrsflow/cqrsflow/consumers/postgres"
	"github.com/cqrsflow/cqrsflow/consumers/postgres/identity"
	"github.com/cqrsflow/cqrsflow/consumers/postgres/shop"
	"github.com/cqrsflow/cqrsflow/consumers/reactor"
	"github.com/cqrsflow/cqrsflow/consumers/reactor/purchases"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/internal/config"
	"github.com/cqrsflow/cqrsflow/internal/lifecycle"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
)

// sqlProjections are all projections into Postgres.
func sqlProjections() []postgres.Projection { return append(modelProjections(), history.Projection()) }

// modelProjections are those of the role project-sql.
func modelProjections() []postgres.Projection {
	return append(shop.Projections(), identity.Projections()...)
}

// openStore connects to Postgres and brings its tables up to date, which several processes may do at once.
func (p *process) openStore(ctx context.Context) error {
	url := p.cfg.Postgres.URL
	if err := postgres.Migrate(ctx, url, postgres.Models(sqlProjections()...)...); err != nil {
		return err
	}
	store, err := postgres.Open(ctx, postgres.Config{URL: url, MaxConns: int32(p.cfg.Postgres.MaxConns), AsyncCommit: p.dev, Logger: p.log})
	if err != nil {
		return err
	}
	p.store = store
	p.group.OnClose("PostgreSQL connections", func() error { store.Close(); return nil })
	p.group.Go(lifecycle.Last, "checkpoint notifications", store.Run)
	return nil
}

func (p *process) startSQL(context.Context) error {
	return p.startStore(config.RoleProjectSQL, modelProjections()...)
}

func (p *process) startHistory(context.Context) error {
	return p.startStore(config.RoleHistory, history.Projection())
}

func (p *process) startStore(role string, projections ...postgres.Projection) error {
	for _, projection := range projections {
		r, err := p.store.Runner(projection, p.runnerConfig())
		if err != nil {
			return err
		}
		p.project(role, projection.Model.Name(), r)
	}
	return nil
}

// startSearch is the role project-search.
func (p *process) startSearch(context.Context) error {
	c := p.runnerConfig()
	c.Name, c.Version, c.Sink = searchindex.Name, searchindex.Version, p.search.sink
	c.Aggregates = map[string]*decider.Type{searchindex.Aggregate: c.Aggregates[searchindex.Aggregate]}
	r, err := runner.New(c)
	if err != nil {
		return err
	}
	p.project(config.RoleProjectSearch, c.Name, r)
	return nil
}

// runnerConfig is what all projections share.
func (p *process) runnerConfig() runner.Config {
	return runner.Config{Prefix: p.cfg.General.Prefix, Client: p.kafka, Aggregates: p.byName(), Logger: p.log,
		SessionTimeout: p.cfg.Processor.SessionTimeout, OnBatch: p.metrics.onBatch}
}

// project runs a projection.
func (p *process) project(role, name string, r *runner.Runner) {
	p.runners = append(p.runners, r)
	p.metrics.watch(r)
	p.group.Go(lifecycle.Checkpoint, "projection "+name, r.Run)
	p.ops.Register(role+"/"+name, r.Ready)
}

func (p *process) byName() map[string]*decider.Type {
	types := make(map[string]*decider.Type, len(p.types))
	for _, t := range p.types {
		types[t.Name] = t
	}
	return types
}

// openReactors makes the reactors. They run in the role react only; what they have parked is in Kafka, where the role
// query reaches it as well.
func (p *process) openReactors(context.Context) error {
	client := append(slices.Clip(p.kafka), p.cfg.Kafka.ProducerCompression())
	r, err := reactor.New(purchases.Configure(reactor.Config{Prefix: p.cfg.General.Prefix, Client: client, Instance: p.cfg.Processor.Instance,
		Aggregates: p.byName(), From: reactor.From(p.cfg.Roles.From), SessionTimeout: p.cfg.Processor.SessionTimeout,
		OnParked: func(n int) { p.metrics.onParked(purchases.Name, n) }, Logger: p.log}))
	if err != nil {
		return err
	}
	p.reactors = append(p.reactors, r)
	return nil
}

// startReactors is the role react.
func (p *process) startReactors(context.Context) error {
	for _, r := range p.reactors {
		p.group.Go(lifecycle.Drain, "reactor "+r.Name(), r.Run)
		p.metrics.watchReactor(r)
		p.ops.Register(config.RoleReact+"/"+r.Name(), r.Ready)
	}
	return nil
}
