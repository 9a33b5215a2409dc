package app

import (
	"context"
	"slices"

	"github.com/cqrsflow/cqrsflow/consumers/history"
	"github.com/cqrsflow/cqrsflow/consumers/postgres"
	"github.com/cqrsflow/cqrsflow/consumers/postgres/experiments"
	"github.com/cqrsflow/cqrsflow/consumers/postgres/identity"
	"github.com/cqrsflow/cqrsflow/consumers/postgres/shop"
	"github.com/cqrsflow/cqrsflow/consumers/reactor"
	"github.com/cqrsflow/cqrsflow/consumers/reactor/purchases"
	"github.com/cqrsflow/cqrsflow/consumers/rebuild"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/internal/aggregates"
	"github.com/cqrsflow/cqrsflow/internal/config"
	"github.com/cqrsflow/cqrsflow/internal/lifecycle"
)

// sqlProjections are all projections into Postgres.
func sqlProjections() []postgres.Projection { return append(modelProjections(), history.Projection()) }

// modelProjections are those of the role project-sql.
func modelProjections() []postgres.Projection {
	return append(append(shop.Projections(), identity.Projections()...), experimentsProjection())
}

// experimentsProjection reads experiments, and every aggregate type that can be tried: the open ones.
func experimentsProjection() postgres.Projection {
	var experiment *decider.Type
	var others []string
	for _, t := range aggregates.Open() {
		if t.Name == experiments.Aggregate {
			experiment = t
		} else {
			others = append(others, t.Name)
		}
	}
	return experiments.Projection(experiment, others...)
}

// projection is a projection whose store this process has, whether it projects or only reads.
type projection struct {
	// role is the one that feeds it.
	role  string
	shape int
	store rebuild.Store
	// runner is the configuration of its runners, but for version and sink.
	runner runner.Config
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
	for _, s := range sqlProjections() {
		versions, err := store.Versions(s.Model)
		if err != nil {
			return err
		}
		c, err := s.Config(p.runnerConfig())
		if err != nil {
			return err
		}
		role := config.RoleProjectSQL
		if c.Name == (history.Model{}).Name() {
			role = config.RoleHistory
		}
		p.projections = append(p.projections, projection{role: role, shape: s.Model.Shape(), store: versions, runner: c})
	}
	return nil
}

// startProjections starts those that a role feeds.
func (p *process) startProjections(role string) error {
	for i := range p.projections {
		x := &p.projections[i]
		if x.role != role {
			continue
		}
		d, err := rebuild.New(rebuild.Config{Runner: x.runner, Shape: x.shape, Store: x.store, Admin: p.admin})
		if err != nil {
			return err
		}
		p.drivers = append(p.drivers, d)
		p.metrics.watch(d)
		p.group.Go(lifecycle.Checkpoint, "projection "+d.Name(), d.Run)
		p.ops.Register(role+"/"+d.Name(), d.Ready)
	}
	return nil
}

// only leaves one aggregate type.
func only(types map[string]*decider.Type, name string) map[string]*decider.Type {
	return map[string]*decider.Type{name: types[name]}
}

// runnerConfig is what all projections share.
func (p *process) runnerConfig() runner.Config {
	return runner.Config{Prefix: p.cfg.General.Prefix, Client: p.kafka, Aggregates: p.byName(), Logger: p.log,
		SessionTimeout: p.cfg.Processor.SessionTimeout, OnBatch: p.metrics.onBatch, Tracer: p.tracer}
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
		Sign:     p.signReactions(),
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
