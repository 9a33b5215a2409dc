package compare

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/topology"
)

// logs are the partitions of the three topics, as they were when the comparison began.
type logs struct {
	commands, outcomes, events map[int32]span
	// accepted are the losses of the log that an operator has accepted.
	accepted topology.Acceptances
}

// Run compares two variants on what the log holds as of the call. It writes nothing to Kafka, joins no group, and memory
// stays within Config's bounds whatever the log's size. A version that panics, never ends or is not deterministic is in the
// report; it is no error. Errors: event.ErrConfig, event.ErrUnavailable, event.ErrNotFound where the topics are
// missing, event.ErrCorrupt where they contradict each other, or the context's.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	l, err := open(ctx, &cfg)
	if err != nil {
		return nil, err
	}
	var total, done atomic.Int64
	for _, spans := range []map[int32]span{l.commands, l.outcomes, l.events} {
		for _, s := range spans {
			total.Add(max(0, s.to-s.from))
		}
	}
	read := func(n int64) {
		if now := done.Add(n); now/1024 != (now-n)/1024 {
			cfg.Progress(now, total.Load())
		}
	}
	var chosen map[event.StreamID]bool
	if cfg.Streams > 0 {
		for _, s := range l.outcomes {
			total.Add(max(0, s.to-s.from))
		}
		if chosen, err = choose(ctx, &cfg, l.outcomes, read); err != nil {
			return nil, err
		}
	}
	var variants [2]decider.Deciding
	var out [2]atomic.Bool
	for i, name := range []string{cfg.Control, cfg.Candidate} {
		variants[i], _ = cfg.Type.Variant(name)
	}
	samples := newReservoir(cfg.Samples)
	partitions := slices.Sorted(maps.Keys(l.commands))
	tallies := make([]*tally, len(partitions))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(cfg.Workers)
	for i, p := range partitions {
		tallies[i] = newTally(len(cfg.Metrics))
		g.Go(func() error {
			r := &replay{cfg: &cfg, partition: p, chosen: chosen, tally: tallies[i], samples: samples, served: cfg.Type.Variants()[0],
				states: newStates(cfg.Type, len(cfg.Metrics), cfg.StateBytes/int64(cfg.Workers))}
			return r.partitionOf(gctx, l, variants, &out, read)
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	all := newTally(len(cfg.Metrics))
	for _, t := range tallies { // in the order of partitions, so that examples are the same ones each time
		all.merge(t, cfg.Examples)
	}
	rep := newReport(&cfg, all)
	if !out[control].Load() && !out[candidate].Load() {
		rep.Speed = measure(ctx, &cfg, variants, samples.samples)
	}
	cfg.Progress(total.Load(), total.Load())
	return rep, ctx.Err()
}

// partitionOf opens what a partition's replay needs, and runs it.
func (r *replay) partitionOf(ctx context.Context, l *logs, variants [2]decider.Deciding, out *[2]atomic.Bool, read func(int64)) (err error) {
	r.join = &join{aggregate: r.cfg.Type.Name}
	if a := l.accepted.Of(r.cfg.Type.Name, r.partition); a != nil && a.Commands != nil {
		r.join.lost = a.Commands.Events
	}
	for _, t := range []struct {
		tail  **tail
		spans map[int32]span
	}{{&r.join.commands, l.commands}, {&r.join.outcomes, l.outcomes}, {&r.join.events, l.events}} {
		if *t.tail, err = newTail(r.cfg.Kafka, t.spans[r.partition], read); err != nil {
			return err
		}
		defer (*t.tail).close()
	}
	for i := range r.subjects {
		r.subjects[i] = newSubject(i, variants[i], r.cfg, &out[i])
		defer r.subjects[i].close()
	}
	defer func() { err = errors.Join(err, r.states.close()) }()
	return r.run(ctx)
}

// open finds the topics' partitions. Outcomes come first: whatever has one by then has its events when those are asked for,
// but for a transaction that is just being committed (see recorded.open).
func open(ctx context.Context, cfg *Config) (*logs, error) {
	cl, err := kgo.NewClient(cfg.Kafka...)
	if err != nil {
		return nil, fmt.Errorf("%w: compare: %w", event.ErrConfig, err)
	}
	defer cl.Close()
	adm, topics, l := kadm.NewClient(cl), topology.TopicsOf(cfg.Prefix, cfg.Type.Name), &logs{}
	for _, t := range []struct {
		into  *map[int32]span
		topic string
	}{{&l.outcomes, topics.Outcomes}, {&l.events, topics.Events}, {&l.commands, topics.Commands}} {
		if *t.into, err = bounds(ctx, adm, t.topic); err != nil {
			return nil, err
		}
	}
	if l.accepted, err = topology.Accepted(ctx, cl, cfg.Kafka, cfg.Prefix); err != nil {
		return nil, err
	}
	if len(l.commands) != len(l.events) || len(l.commands) != len(l.outcomes) {
		return nil, fmt.Errorf("%w: %s, %s and %s have %d, %d and %d partitions: all topics of an aggregate type must have the same number", event.ErrCorrupt,
			topics.Commands, topics.Events, topics.Outcomes, len(l.commands), len(l.events), len(l.outcomes))
	}
	l.leaveLost(cfg.Type.Name)
	return l, nil
}

// leaveLost leaves out commands whose loss was accepted, and what became of them: their offsets mean others by now. Their events
// are read all the same, as the states of those that are left rest on them.
func (l *logs) leaveLost(aggregate string) {
	for n := range l.commands {
		a := l.accepted.Of(aggregate, n)
		if a == nil || a.Commands == nil {
			continue
		}
		commands, outcomes := l.commands[n], l.outcomes[n]
		commands.from, outcomes.from = max(commands.from, a.Commands.Next), max(outcomes.from, a.Commands.Outcomes)
		l.commands[n], l.outcomes[n] = commands, outcomes
	}
}
