// Package subscribe lets any Go program follow the events of aggregates: a consumer group of its own
// that hands events to a function, in the order of each stream, at least once.
//
// What keeps a read model that must count every event once belongs into a runner.Sink instead: it can
// store its checkpoint with its changes. Programs in other languages need nothing of this: events are
// CloudEvents in binary mode, to be read with isolation level read_committed.
package subscribe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/backoff"
	"github.com/cqrsflow/cqrsflow/schemas/record"
	"github.com/cqrsflow/cqrsflow/topology"
)

// Event is an event as a subscriber gets it.
type Event struct {
	event.Recorded
	// Err says why Body is nil: event.ErrUnknownType or event.ErrUndecodable. What is to become of such
	// an event is the subscriber's to decide.
	Err error
}

// Config says what to follow and what to do. Group, Client, Aggregates and Handle are required.
type Config struct {
	// Group is the name of the consumer group. Members of one group share the partitions.
	Group string
	// Prefix starts the names of topics; empty means topology.DefaultPrefix.
	Prefix string
	// Client are options of the Kafka client: seed brokers, TLS, SASL.
	Client []kgo.Opt
	// Aggregates are the registrations of the aggregate types to follow.
	Aggregates []*decider.Type
	// Wants are the event types to hand over; none means all.
	Wants []string
	// FromEnd starts a group that has never committed at the log's end, not at its start.
	FromEnd bool
	// Handle gets batches of events, in order within each stream. Where it fails, the batch comes again
	// after a pause; where the program ends before Handle returns, the batch comes again after the
	// start. It must not keep the slice. ctx ends with Run's.
	Handle func(ctx context.Context, events []Event) error
	// BatchRecords (default 1,000) bounds a batch.
	BatchRecords int
	// RetryMin (default 100 ms) and RetryMax (default 10 s) bound the pause after a failure.
	RetryMin, RetryMax time.Duration
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

func (c *Config) validate() error {
	bad := func(field, bound string) error {
		return fmt.Errorf("%w: subscription %q: %s must be %s", event.ErrConfig, c.Group, field, bound)
	}
	switch {
	case c.Group == "":
		return bad("Group", "the name of a consumer group")
	case len(c.Aggregates) == 0:
		return bad("Aggregates", "the aggregate types to follow")
	case c.Handle == nil:
		return bad("Handle", "set")
	case c.BatchRecords < 0:
		return bad("BatchRecords", "1 or more")
	}
	c.BatchRecords = cmp.Or(c.BatchRecords, 1000)
	c.RetryMin = cmp.Or(c.RetryMin, 100*time.Millisecond)
	c.RetryMax = cmp.Or(c.RetryMax, 10*time.Second)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return nil
}

// Run follows events until ctx ends, and returns nil then. Errors wrap event.ErrConfig.
func Run(ctx context.Context, cfg Config) error {
	if err := cfg.validate(); err != nil {
		return err
	}
	s := subscriber{cfg: cfg, types: map[string]*decider.Type{}, wants: map[string]bool{}}
	var topics []string
	for _, t := range cfg.Aggregates {
		topic := topology.TopicsOf(cfg.Prefix, t.Name).Events
		topics = append(topics, topic)
		s.types[topic] = t
	}
	for _, typ := range cfg.Wants {
		s.wants[typ] = true
	}
	start := kgo.NewOffset().AtStart()
	if cfg.FromEnd {
		start = kgo.NewOffset().AtEnd()
	}
	cl, err := kgo.NewClient(append(append([]kgo.Opt{}, cfg.Client...),
		kgo.ConsumerGroup(cfg.Group),
		kgo.ConsumeTopics(topics...),
		kgo.ConsumeStartOffset(start),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // so that lag becomes 0
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(), // nobody else gets a partition while its batch is handled
	)...)
	if err != nil {
		return fmt.Errorf("%w: subscription %s: Kafka client: %w", event.ErrConfig, cfg.Group, err)
	}
	defer cl.CloseAllowingRebalance()
	s.cl = cl
	for attempt := 0; ctx.Err() == nil; {
		err := s.once(ctx)
		cl.AllowRebalance()
		if err == nil {
			attempt = 0
			continue
		}
		if ctx.Err() != nil {
			break
		}
		cfg.Logger.Warn("events could not be handled; they come again", "group", cfg.Group, "attempt", attempt+1, "error", err)
		_ = backoff.Wait(ctx, cfg.RetryMin, cfg.RetryMax, attempt) // the loop sees the end of ctx
		attempt++
	}
	return nil
}

type subscriber struct {
	cfg    Config
	cl     *kgo.Client
	types  map[string]*decider.Type // by topic
	wants  map[string]bool
	names  record.Names
	events []Event
}

// once polls a batch, has it handled, and commits it.
func (s *subscriber) once(ctx context.Context) error {
	fetches := s.cl.PollRecords(ctx, s.cfg.BatchRecords)
	if ctx.Err() != nil || fetches.IsClientClosed() {
		return ctx.Err()
	}
	var failed error
	fetches.EachError(func(topic string, p int32, err error) {
		failed = errors.Join(failed, fmt.Errorf("read %s/%d: %w", topic, p, err))
	})
	clear(s.events)
	s.events = s.events[:0]
	fetches.EachRecord(s.add)
	if len(s.events) > 0 {
		if err := s.cfg.Handle(ctx, s.events); err != nil {
			s.rewind(fetches)
			return err
		}
	}
	// Its own time, not ctx's: what has been handled is committed even where the program is ending.
	done, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := s.cl.CommitUncommittedOffsets(done); err != nil {
		return errors.Join(failed, fmt.Errorf("commit offsets: %w", err))
	}
	return failed
}

// rewind goes back to before the batch, as the poll has moved on. What was committed does not say where that
// is: of a group that began at the end nothing may be committed yet.
func (s *subscriber) rewind(fetches kgo.Fetches) {
	back := map[string]map[int32]kgo.EpochOffset{}
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if len(p.Records) == 0 {
			return
		}
		if back[p.Topic] == nil {
			back[p.Topic] = map[int32]kgo.EpochOffset{}
		}
		back[p.Topic][p.Partition] = kgo.EpochOffset{Epoch: -1, Offset: p.Records[0].Offset}
	})
	s.cl.SetOffsets(back)
}

func (s *subscriber) add(rec *kgo.Record) {
	if rec.Attrs.IsControl() {
		return
	}
	t := s.types[rec.Topic]
	var e Event
	if err := record.ParseEvent(rec, t.Name, &s.names, &e.Envelope); err != nil {
		s.cfg.Logger.Warn("record skipped: cqrsflow did not write it", "group", s.cfg.Group, "error", err)
		return
	}
	if len(s.wants) > 0 && !s.wants[e.Type] {
		return
	}
	if e.Body, e.Err = t.Codec.DecodeEvent(&e.Envelope); e.Err != nil {
		e.Body = nil
	}
	s.events = append(s.events, e)
}
