package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"

	"github.com/cqrsflow/cqrsflow/consumers/postgres"
	"github.com/cqrsflow/cqrsflow/consumers/reactor"
	"github.com/cqrsflow/cqrsflow/consumers/rebuild"
	"github.com/cqrsflow/cqrsflow/consumers/revocation"
	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/event/principal"
	"github.com/cqrsflow/cqrsflow/internal/aggregates"
	"github.com/cqrsflow/cqrsflow/internal/config"
	"github.com/cqrsflow/cqrsflow/internal/lifecycle"
	"github.com/cqrsflow/cqrsflow/producer"
	"github.com/cqrsflow/cqrsflow/services/identity"
	"github.com/cqrsflow/cqrsflow/services/identity/token"
	"github.com/cqrsflow/cqrsflow/services/ops"
	"github.com/cqrsflow/cqrsflow/services/policy"
	"github.com/cqrsflow/cqrsflow/topology"
)

// process is what the roles of one process share.
type process struct {
	cfg   *config.Settings
	log   *slog.Logger
	group *lifecycle.Group
	ops   *ops.Server
	kafka []kgo.Opt
	types []*decider.Type

	metrics *metrics
	// tracer makes spans; nil where they go nowhere.
	tracer trace.Tracer
	// store and search are opened when the first role needs them.
	store  *postgres.Store
	search *searchStore
	// projections are those whose store is open, drivers those that this process feeds.
	projections []projection
	drivers     []*rebuild.Driver
	// client is the one that looks at topics; admin asks through it about topics and groups.
	client *kgo.Client
	admin  *kadm.Client
	// reactors run in the role react; the role query has them for what they have parked.
	reactors []*reactor.Reactor
	// publisher is there where a role or an import publishes.
	publisher *producer.Publisher
	// identity is there in the role identity.
	identity *identity.Service
	// dev makes the choices of dev: its own topics, an embedded index, an asynchronous commit.
	dev bool
	// keys prove who asks; nil without any. policies say who may do what; nil where they are off.
	keys     *principal.Keyring
	policies *policy.Engine
	// tokenKeys sign access tokens, in the role identity.
	tokenKeys *token.Folder
	// revocations know who does not count any more; nil where no role asks.
	revocations *revocation.Feed
	// topicIDs are the topics' IDs as they are recorded.
	topicIDs map[string][16]byte
}

func newProcess(cfg *config.Settings, log *slog.Logger, dev bool) (*process, error) {
	opts, err := cfg.Kafka.Options()
	if err != nil {
		return nil, err
	}
	p := &process{cfg: cfg, log: log, kafka: append(opts, kgo.WithLogger(kafkaLog{log})), types: aggregates.All(), dev: dev,
		group: lifecycle.New(lifecycle.Config{Logger: log}),
		ops:   ops.New(ops.Config{Logger: log, Token: cfg.Client.Token})}
	p.metrics = newMetrics(p.ops.Registry())
	if err := p.openTraces(); err != nil {
		return nil, err
	}
	return p, p.readPolicies()
}

// listen opens a port; key is the setting that says which.
func listen(addr, key string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%w: address %s is in use: stop what listens there, or choose another with %s", event.ErrConfig, addr, config.Name(key))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: listen on %s, as %s says: %w", event.ErrConfig, addr, config.Name(key), err)
	}
	return l, nil
}

// serveOps starts the operations port.
func (p *process) serveOps(l net.Listener) {
	p.group.Go(lifecycle.Last, "operations port", func(ctx context.Context) error { return p.ops.Serve(ctx, l) })
}

// checkTopics is what every role begins with. dev makes its topics itself, and starts where they have lost
// data, too: nobody could accept the loss while its Kafka is down. What contradicts the log stops by itself.
func (p *process) checkTopics(ctx context.Context) error {
	client := p.client
	if client == nil { // this may be another try
		var err error
		if client, err = kgo.NewClient(p.kafka...); err != nil {
			return err
		}
		p.group.OnClose("Kafka connections", func() error { client.Close(); return nil })
		p.client, p.admin = client, kadm.NewClient(client)
	}
	t := topology.New(client, TopologyConfig(p.cfg), p.names())
	if p.dev {
		plan, err := t.Plan(ctx)
		if err == nil {
			err = t.Apply(ctx, plan)
		}
		if err != nil {
			return err
		}
	}
	_, err := t.Check(ctx)
	if p.dev && errors.Is(err, event.ErrCorrupt) {
		p.log.Error("starting all the same", "error", err)
		err = nil
	}
	if err == nil {
		p.topicIDs, err = t.Recorded(ctx)
	}
	return err
}

func (p *process) names() []string {
	names := make([]string, len(p.types))
	for i, t := range p.types {
		names[i] = t.Name
	}
	return names
}

// start starts roles. Whatever happens, the group must be waited for.
func (p *process) start(ctx context.Context, roles []string, http *publicPort) error {
	has := func(role string) bool { return slices.Contains(roles, role) }
	// Those that meet a server first leave nothing behind where they fail, and can be tried again.
	steps := []struct {
		needed bool
		start  func(context.Context) error
	}{
		{true, p.checkTopics},
		{has(config.RoleProjectSQL) || has(config.RoleHistory) || has(config.RoleQuery) || has(config.RoleIdentity), p.openStore},
		{has(config.RoleProjectSearch) || has(config.RoleQuery), p.openSearch},
		{true, p.startPolicies},
		{has(config.RoleIdentity) || (has(config.RoleQuery) || has(config.RoleGateway)) && p.cfg.Identity.TokenKeys != "", p.openKeys},
		{has(config.RoleCommand) && p.keys != nil || has(config.RoleQuery) || has(config.RoleGateway), p.startRevocations},
		{has(config.RoleCommand), p.startProcessor},
		{has(config.RoleProjectSQL), func(context.Context) error { return p.startProjections(config.RoleProjectSQL) }},
		{has(config.RoleHistory), func(context.Context) error { return p.startProjections(config.RoleHistory) }},
		{has(config.RoleProjectSearch), func(context.Context) error { return p.startProjections(config.RoleProjectSearch) }},
		{has(config.RoleReact) || has(config.RoleQuery), p.openReactors},
		{has(config.RoleReact), p.startReactors},
		{has(config.RoleQuery) || has(config.RoleIdentity), p.startPublisher},
		{has(config.RoleQuery), func(ctx context.Context) error { return p.startAPI(ctx, http) }},
		{has(config.RoleIdentity), func(ctx context.Context) error { return p.startIdentity(ctx, http) }},
		{has(config.RoleGateway), func(ctx context.Context) error { return p.startGateway(ctx, http) }},
		{http != nil, func(context.Context) error { return p.startHTTP(http) }},
	}
	for _, s := range steps {
		if !s.needed {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := p.await(ctx, s.start); err != nil {
			return err
		}
	}
	p.handleParked()
	p.handleVersions()
	p.ops.Started()
	return nil
}

// startProcessor is the role command.
func (p *process) startProcessor(context.Context) error {
	c := &p.cfg.Processor
	cfg := producer.Config{
		Kafka: p.kafka, Prefix: p.cfg.General.Prefix, Types: p.types, TopicIDs: p.topicIDs, Dir: filepath.Join(p.cfg.General.Data, commandDir),
		Group: c.Group, Instance: c.Instance, Static: c.Static, SessionTimeout: c.SessionTimeout, TransactionTimeout: c.TransactionTimeout,
		Workers: c.Workers, BatchRecords: c.BatchRecords, SnapshotEvery: c.SnapshotInterval, EventBytes: int(c.EventBytes),
		RoundEvents: c.RoundEvents, RoundAge: c.RoundAge, CacheBytes: int(c.CacheBytes), StoreCacheBytes: int64(c.StoreCacheBytes),
		Authorize: p.authorizer(), Principals: p.keys, UnprovenAnonymous: p.cfg.Principals.Unproven == "anonymous",
		Compression: p.cfg.Kafka.Compression, Tracer: p.tracer, Logger: p.log, Hooks: p.metrics.hooks(),
	}
	begin := func(context.Context) error { return nil }
	if p.keys != nil {
		cfg.Revocations, begin = p.revocations, p.revocations.Await
	}
	proc, err := producer.NewProcessor(cfg)
	if err != nil {
		return err
	}
	p.group.Go(lifecycle.Drain, "command processor", func(ctx context.Context) error {
		_ = begin(ctx) // what waits on the topics is not denied because nobody knows yet who still counts; Run sees the end of ctx
		return proc.Run(ctx)
	})
	p.ops.Register(config.RoleCommand, func() (bool, string) { return processorReady(proc.Status()) })
	return nil
}

// processorReady: every worker has its share, and every partition of it serves.
func processorReady(parts []producer.Partition, joined bool) (bool, string) {
	if !joined {
		return false, "waiting for the group to assign partitions"
	}
	for _, part := range parts {
		if part.State != "serving" {
			why := fmt.Sprintf("%s/%d is %s", part.Aggregate, part.Number, part.State)
			if part.Err != nil {
				why += ": " + part.Err.Error()
			}
			return false, why
		}
	}
	return true, fmt.Sprintf("%d partitions", len(parts))
}

// startPublisher makes what publishes commands; it is there once outcomes are being read.
func (p *process) startPublisher(ctx context.Context) error {
	if p.publisher != nil {
		return nil
	}
	pub, err := producer.NewPublisher(ctx, producer.PublisherConfig{Kafka: p.kafka, Prefix: p.cfg.General.Prefix, Aggregates: p.names(), Tracer: p.tracer, Logger: p.log})
	if err != nil {
		return err
	}
	p.publisher = pub
	p.group.Go(lifecycle.Drain, "publisher", pub.Run)
	p.ops.Register("publisher", func() (bool, string) {
		select {
		case <-pub.Ready():
			return true, ""
		default:
			return false, "outcomes are not being read yet"
		}
	})
	return nil
}
