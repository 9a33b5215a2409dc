// Package assignments knows, in memory, which experiments run, and so which variant a command gets. It follows the experiments' events
// from the first on. What it answers is a function of the plans and the unit, so it is the same in every process and after every
// restart; a process that has not heard yet that an experiment was started or stopped serves the control, or goes on, for that long.
package assignments

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/backoff"
	"github.com/cqrsflow/cqrsflow/schemas/record"
	"github.com/cqrsflow/cqrsflow/topology"
)

// Config says what to follow. Kafka and Experiment are required.
type Config struct {
	// Kafka are the options that reach the brokers.
	Kafka []kgo.Opt
	// Prefix of topics; empty means topology.DefaultPrefix.
	Prefix string
	// Experiment is the aggregate type of experiments.
	Experiment *decider.Type
	// Tried are the aggregate types whose commands are decided here, by name: a plan that names a variant which none of them has is logged.
	Tried map[string]*decider.Type
	// Logger; slog.Default().
	Logger *slog.Logger
}

// Follower follows experiments and assigns. Make it with New and keep Run going. It is safe for concurrent use.
type Follower struct {
	cfg   Config
	topic string
	// known is what is known now; it is replaced, never changed.
	known atomic.Pointer[known]
	mu    struct {
		sync.Mutex
		ready bool
		why   string
	}

	// What follows belongs to Run.
	streams map[event.StreamID]*followed
	names   record.Names
}

// followed is an experiment on its way. One whose events cannot be followed any more is broken, and runs no more.
type followed struct {
	decider.Snapshot
	broken bool
}

// New checks the configuration. Its error wraps event.ErrConfig.
func New(cfg Config) (*Follower, error) {
	if len(cfg.Kafka) == 0 || cfg.Experiment == nil {
		return nil, fmt.Errorf("%w: assignments: Kafka and Experiment are required", event.ErrConfig)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	f := &Follower{cfg: cfg, topic: topology.TopicsOf(cfg.Prefix, cfg.Experiment.Name).Events, streams: map[event.StreamID]*followed{}}
	f.known.Store(&known{})
	f.say(false, "experiments have not been read yet")
	return f, nil
}

// Ready reports whether all experiments were known that there were at the start; else why not. From then on it stays ready: one that
// cannot reach Kafka goes on with what it knows.
func (f *Follower) Ready() (ready bool, why string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.ready, f.mu.why
}

func (f *Follower) say(ready bool, why string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.ready, f.mu.why = ready, why
}

// Run follows until ctx ends, and returns nil then.
func (f *Follower) Run(ctx context.Context) error {
	cl, err := kgo.NewClient(append(f.cfg.Kafka[:len(f.cfg.Kafka):len(f.cfg.Kafka)],
		kgo.ConsumeTopics(f.topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // a marker is what stands at the end
	)...)
	if err != nil {
		return fmt.Errorf("%w: assignments: Kafka client: %w", event.ErrConfig, err)
	}
	defer cl.Close()
	var left map[int32]int64
	for attempt := 0; ; attempt++ {
		if left, err = f.ends(ctx, kadm.NewClient(cl)); err == nil || ctx.Err() != nil {
			break
		}
		f.say(false, err.Error())
		_ = backoff.Wait(ctx, 100*time.Millisecond, 5*time.Second, attempt) // the loop sees the end of ctx
	}
	for ctx.Err() == nil {
		if len(left) == 0 {
			if ready, _ := f.Ready(); !ready {
				f.say(true, "")
			}
		}
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil || fetches.IsClientClosed() {
			break
		}
		fetches.EachError(func(_ string, p int32, err error) {
			f.cfg.Logger.Warn("experiments cannot be followed at present; the plans that are known serve on", "topic", f.topic, "partition", p, "error", err)
		})
		changed := false
		fetches.EachRecord(func(r *kgo.Record) {
			changed = f.apply(r) || changed
			if end, ok := left[r.Partition]; ok && r.Offset+1 >= end {
				delete(left, r.Partition)
			}
		})
		if changed {
			f.known.Store(f.learn())
		}
	}
	return nil
}

// ends are where the partitions end that have anything.
func (f *Follower) ends(ctx context.Context, admin *kadm.Client) (map[int32]int64, error) {
	starts, err := admin.ListStartOffsets(ctx, f.topic)
	var ends kadm.ListedOffsets
	if err == nil {
		ends, err = admin.ListCommittedOffsets(ctx, f.topic)
	}
	if err == nil {
		err = errors.Join(starts.Error(), ends.Error())
	}
	if err != nil {
		return nil, fmt.Errorf("%w: offsets of %s: %w", event.ErrUnavailable, f.topic, err)
	}
	out := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if start, ok := starts.Lookup(f.topic, o.Partition); ok && start.Offset < o.Offset {
			out[o.Partition] = o.Offset
		}
	})
	return out, nil
}

// outcomeRecorded is the event that changes nothing here, and of which there may be many.
const outcomeRecorded = "experiment.v1.OutcomeRecorded"

// apply folds one record; it reports whether that changed anything that assigning knows.
func (f *Follower) apply(r *kgo.Record) bool {
	if r.Attrs.IsControl() {
		return false
	}
	var e event.Envelope
	if err := record.ParseEvent(r, f.cfg.Experiment.Name, &f.names, &e); err != nil {
		f.cfg.Logger.Warn("record skipped: cqrsflow did not write it", "topic", f.topic, "error", err)
		return false
	}
	s := f.streams[e.Stream]
	if s == nil {
		s = &followed{Snapshot: f.cfg.Experiment.Begin()}
		f.streams[e.Stream] = s
	}
	if s.broken || e.Version <= s.Version {
		return false
	}
	next, err := f.cfg.Experiment.Extend(s.Snapshot, &e)
	if err != nil {
		s.broken = true
		f.cfg.Logger.Error("an experiment cannot be followed: it counts as stopped until a restart", "experiment", string(e.Stream), "error", err)
		return true
	}
	s.Snapshot = next
	return e.Type != outcomeRecorded
}

// learn makes what is known of all experiments.
func (f *Follower) learn() *known {
	k := &known{all: map[event.StreamID]*one{}, running: map[string][]*one{}}
	for id, s := range f.streams {
		o, err := f.one(id, s)
		if err != nil {
			f.cfg.Logger.Error("an experiment assigns nothing", "experiment", string(id), "error", err)
			continue
		}
		k.all[id] = o
		if o.runs() && o.state.Plan.Aggregate != "" {
			k.running[o.state.Plan.Aggregate] = append(k.running[o.state.Plan.Aggregate], o)
		}
	}
	for _, all := range k.running {
		slices.SortFunc(all, before)
	}
	return k
}
