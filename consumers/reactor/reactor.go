package reactor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/backoff"
	"github.com/cqrsflow/cqrsflow/topology"
)

// Reactor runs one reaction. Make it with New.
type Reactor struct {
	cfg    Config
	group  string
	topics map[string]string // aggregate by events topic
	wants  map[string]map[string]bool
	// partitions are the numbers of partitions of the targets' commands topics; set before the first session.
	partitions map[string]int32
	// ids are the topics' IDs as they were first seen; accepted the losses of the log that the session goes on after.
	ids      map[string][16]byte
	accepted topology.Acceptances

	mu struct {
		sync.Mutex
		status  Status
		failing time.Time
	}
	stands stands
}

// Status is how a reactor stands.
type Status struct {
	Name string
	// Joined says that the consumer group was joined at least once.
	Joined bool
	// Events reacted to, Commands sent and Transactions committed since the start.
	Events, Commands, Transactions int64
	// Foreign counts records that cqrsflow did not write.
	Foreign int64
	// Parked counts parked streams of the partitions that it has now, SetAside events parked since the start.
	Parked   int
	SetAside int64
	// Reason is what went wrong last, and Failing since when; empty and zero while nothing does.
	Reason  string
	Failing time.Time
}

// New checks the configuration. Errors wrap event.ErrConfig.
func New(cfg Config) (*Reactor, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	r := &Reactor{cfg: cfg, group: fmt.Sprintf("%s.%s.v1", cfg.Prefix, cfg.Name), topics: map[string]string{}, wants: map[string]map[string]bool{}, ids: map[string][16]byte{}}
	for aggregate, types := range cfg.Wants {
		r.topics[topology.TopicsOf(cfg.Prefix, aggregate).Events] = aggregate
		r.wants[aggregate] = map[string]bool{}
		for _, typ := range types {
			r.wants[aggregate][typ] = true
		}
	}
	r.mu.status.Name = cfg.Name
	return r, nil
}

// Run reacts until ctx ends, and finishes the transaction in hand then. It returns nil after that; an
// error wrapping event.ErrConfig where the reactor has never run and is not told From.
func (r *Reactor) Run(ctx context.Context) error {
	began := false
	for attempt := 0; ctx.Err() == nil; attempt++ {
		started := time.Now()
		err := r.prepare(ctx)
		if err == nil {
			began = true
			err = r.session(ctx)
		} else if errors.Is(err, event.ErrConfig) && !began {
			return err // later, it is no reason to end the process: its status says it
		}
		if err == nil || ctx.Err() != nil {
			break
		}
		if time.Since(started) > time.Minute {
			attempt = 0
		}
		if r.pause(ctx, attempt, err) != nil {
			break
		}
	}
	return nil
}

func (r *Reactor) pause(ctx context.Context, attempt int, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r.mu.Lock()
	if r.mu.failing.IsZero() {
		r.mu.failing = time.Now()
	}
	r.mu.status.Reason = err.Error()
	r.mu.Unlock()
	r.cfg.Logger.Warn("the reactor failed; starting again from what is committed", "error", err, "attempt", attempt+1)
	return backoff.Wait(ctx, r.cfg.RetryMin, r.cfg.RetryMax, attempt)
}

// prepare learns the targets' partition counts and sees to it that every partition has a committed
// offset that counts: without one the client would have to guess.
func (r *Reactor) prepare(ctx context.Context) error {
	cl, err := kgo.NewClient(r.cfg.Client...)
	if err != nil {
		return fmt.Errorf("%w: reactor %s: Kafka client: %w", event.ErrConfig, r.cfg.Name, err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	if r.partitions, err = r.count(ctx, adm); err != nil {
		return err
	}
	var topics []string
	for topic := range r.topics {
		topics = append(topics, topic)
	}
	list := adm.ListCommittedOffsets
	if r.cfg.From == Start {
		list = adm.ListStartOffsets
	}
	starts, err := list(ctx, topics...)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return fmt.Errorf("%w: reactor %s: offsets of its topics: %w", event.ErrUnavailable, r.cfg.Name, err)
	}
	committed, err := adm.FetchOffsets(ctx, r.group)
	if err == nil {
		err = committed.Error()
	}
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) { // brokers differ in whether they say so
		return fmt.Errorf("%w: reactor %s: committed offsets of group %s: %w", event.ErrUnavailable, r.cfg.Name, r.group, err)
	}
	there, err := r.look(ctx, cl, topics)
	if err != nil {
		return err
	}
	r.accepted = there.accepted
	absent := kadm.Offsets{}
	var of string // the first whose offset is of before an accepted loss
	starts.Each(func(o kadm.ListedOffset) {
		c, ok := committed.Lookup(o.Topic, o.Partition)
		if ok = ok && c.At >= 0; ok {
			var lost error
			if ok, lost = r.counts(there, o.Topic, o.Partition, c.Offset); lost != nil {
				err = lost
				return
			}
			if !ok && of == "" {
				of = fmt.Sprintf("%s/%d", o.Topic, o.Partition)
			}
		}
		if !ok {
			absent.Add(kadm.Offset{Topic: o.Topic, Partition: o.Partition, At: o.Offset, LeaderEpoch: -1,
				Metadata: there.accepted.Of(r.topics[o.Topic], o.Partition).Mark()})
		}
	})
	if err != nil || len(absent) == 0 {
		return err
	}
	if r.cfg.From == Refuse && of != "" {
		return fmt.Errorf("%w: reactor %s: its offset in %s is of before a loss of the log that was accepted since; say where to go on: "+
			"--from start (everything that the log has; what was reacted to before is answered as it was then) or --from end (only what happens from now on)",
			event.ErrConfig, r.cfg.Name, of)
	}
	if r.cfg.From == Refuse {
		return fmt.Errorf("%w: reactor %s has no committed offset on every partition of its topics; it would have to guess what it has "+
			"reacted to. Say where to start: --from start (everything that ever happened) or --from end (only what happens from now on)",
			event.ErrConfig, r.cfg.Name)
	}
	if err := adm.CommitAllOffsets(ctx, r.group, absent); err != nil {
		return fmt.Errorf("%w: reactor %s: commit where to start: %w", event.ErrUnavailable, r.cfg.Name, err)
	}
	r.cfg.Logger.Info("starting where no offset counts", "from", string(r.cfg.From), "partitions", len(absent.Sorted()))
	return nil
}

func (r *Reactor) count(ctx context.Context, adm *kadm.Client) (map[string]int32, error) {
	counts := map[string]int32{}
	for _, target := range r.cfg.Targets {
		topic := topology.TopicsOf(r.cfg.Prefix, target).Commands
		details, err := adm.ListTopics(ctx, topic)
		if err == nil {
			err = details.Error()
		}
		n := len(details[topic].Partitions)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("%w: reactor %s: partitions of %s: %w", event.ErrUnavailable, r.cfg.Name, topic, err)
		}
		counts[target] = int32(n)
	}
	return counts, nil
}

// Status returns how the reactor stands. It is safe for concurrent use.
func (r *Reactor) Status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.mu.status
	s.Failing = r.mu.failing
	s.Parked = r.stands.parked()
	return s
}

// Ready reports whether it reacts, and the reason if not. Parked streams do not keep it from that.
func (r *Reactor) Ready() (bool, string) {
	s := r.Status()
	switch {
	case !s.Failing.IsZero() && time.Since(s.Failing) > r.cfg.UnreadyAfter:
		return false, s.Reason
	case !s.Joined && s.Reason != "":
		return false, s.Reason
	case !s.Joined:
		return false, "the consumer group is not joined yet"
	}
	return true, ""
}
