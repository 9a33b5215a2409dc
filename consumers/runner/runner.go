package runner

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/topology"
)

// Runner runs one projection: a member of its consumer group, with a worker for each partition that
// it is assigned. Make it with New.
type Runner struct {
	cfg     Config
	exact   atomic.Bool
	topics  []string
	origin  map[string]Partition // by topic; Number is not set
	client  *kgo.Client
	kafka   kafka
	commits commits
	set     chan struct{} // a session's; closed once the three above are set: the client joins the group while it is made

	mu struct {
		sync.Mutex
		workers map[key]*worker
		running bool
		joined  bool
		targets map[key]int64 // the log's ends as of start; nil until they are known
		passed  map[key]bool  // partitions that have reached their target once
		seeks   []seek
		wake    context.CancelFunc // ends the poll in progress
		trouble string             // what the client reports of no partition in particular
		renew   context.CancelCauseFunc
	}
}

type key struct {
	topic  string
	number int32
}

func (p Partition) key() key { return key{p.Topic, p.Number} }

type seek struct {
	w      *worker
	offset int64
}

// New checks the configuration. Errors wrap event.ErrConfig.
func New(cfg Config) (*Runner, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	r := &Runner{cfg: cfg, origin: map[string]Partition{}}
	for name := range cfg.Aggregates {
		topics := topology.TopicsOf(cfg.Prefix, name)
		for _, s := range cfg.Sources {
			topic := topics.Events
			if s == Outcomes {
				topic = topics.Outcomes
			}
			r.topics = append(r.topics, topic)
			r.origin[topic] = Partition{Aggregate: name, Source: s, Topic: topic}
		}
	}
	r.mu.workers = map[key]*worker{}
	r.mu.passed = map[key]bool{}
	return r, nil
}

// Run reads and applies until ctx ends; then it finishes the batches in hand, commits and leaves the
// group. It returns nil after that, or the error that kept it from starting. It runs once.
func (r *Runner) Run(ctx context.Context) error {
	r.mu.Lock()
	again := r.mu.running
	r.mu.running = true
	r.mu.Unlock()
	if again {
		return fmt.Errorf("projection %s: Run was called twice", r.cfg.Name)
	}
	for {
		if err := r.session(ctx); !errors.Is(err, errWhole) {
			return err
		}
		r.cfg.Logger.Info("beginning anew", "projection", r.cfg.Name, "why", errWhole)
	}
}

// session is one membership of the group, until ctx ends or a stopped partition can go on.
func (r *Runner) session(ctx context.Context) error {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	r.set = make(chan struct{})
	r.mu.Lock()
	r.mu.renew, r.mu.joined, r.mu.seeks = end, false, nil
	r.mu.Unlock()
	client, err := kgo.NewClient(append(append([]kgo.Opt{}, r.cfg.Client...),
		kgo.ConsumerGroup(r.cfg.group()),
		kgo.ConsumeTopics(r.topics...),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()), // the sinks say where to read; anything else is an error
		kgo.KeepControlRecords(),                    // so that a checkpoint passes a transaction's marker and lag becomes 0
		kgo.FetchMaxWait(250*time.Millisecond),      // a partition that is resumed waits for the fetch in flight
		kgo.FetchMaxBytes(8<<20),
		kgo.FetchMaxPartitionBytes(1<<20),
		kgo.SessionTimeout(r.cfg.SessionTimeout),
		kgo.HeartbeatInterval(min(3*time.Second, r.cfg.SessionTimeout/3)),
		kgo.RebalanceTimeout(r.cfg.RebalanceTimeout),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.AdjustFetchOffsetsFn(r.open),
		kgo.OnPartitionsAssigned(r.assigned),
		kgo.OnPartitionsRevoked(r.revoked),
		kgo.OnPartitionsLost(r.lostPartitions),
	)...)
	if err != nil {
		return fmt.Errorf("%w: projection %s: Kafka client: %w", event.ErrConfig, r.cfg.Name, err)
	}
	r.client = client
	r.kafka = kafka{adm: kadm.NewClient(client)}
	r.commits.client, r.commits.log = client, r.cfg.Logger.With("projection", r.cfg.Name)
	close(r.set)

	background, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { r.commits.run(background, r.cfg.CommitEvery) })
	wg.Go(func() { r.watchEnds(background) })
	r.poll(ctx)
	cancel()
	wg.Wait()
	r.leave()
	if errors.Is(context.Cause(ctx), errWhole) {
		return errWhole
	}
	return nil
}

// poll hands records over to the workers until ctx ends.
func (r *Runner) poll(ctx context.Context) {
	for ctx.Err() == nil {
		waiting, cancel := context.WithCancel(ctx)
		r.mu.Lock()
		r.mu.wake = cancel
		if len(r.mu.seeks) > 0 {
			cancel()
		}
		r.mu.Unlock()
		fetches := r.client.PollRecords(waiting, 0)
		cancel()
		if fetches.IsClientClosed() {
			return
		}
		fetches.EachError(r.fetchFailed)
		fetches.EachPartition(func(tp kgo.FetchTopicPartition) {
			if w := r.worker(key{tp.Topic, tp.Partition}); w != nil {
				w.offer(tp.Records, tp.HighWatermark)
			}
		})
		r.doSeeks()
		r.client.AllowRebalance()
	}
}

func (r *Runner) fetchFailed(topic string, partition int32, err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	w := r.worker(key{topic, partition})
	var loss *kgo.ErrDataLoss
	switch {
	case w == nil:
		r.mu.Lock()
		r.mu.trouble = err.Error()
		r.mu.Unlock()
		r.cfg.Logger.Warn("reading failed", "projection", r.cfg.Name, "topic", topic, "partition", partition, "error", err)
	case errors.As(err, &loss), errors.Is(err, kerr.OffsetOutOfRange), errors.Is(err, kerr.UnknownTopicID), errors.Is(err, kerr.UnknownTopicOrPartition):
		w.mu.Lock()
		w.mu.seen = w.mu.seen || loss != nil
		w.haltLocked(r.lost(w.p, err.Error()))
		w.mu.Unlock()
	default:
		w.log.Warn("reading failed", "error", err)
		w.mu.Lock()
		w.mu.status.Reason = err.Error()
		w.mu.Unlock()
	}
}

func (r *Runner) worker(k key) *worker {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.workers[k]
}

// seek has the poll loop set the client's offset of a partition that was opened again.
func (r *Runner) seek(w *worker, offset int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.seeks = append(r.mu.seeks, seek{w, offset})
	if r.mu.wake != nil {
		r.mu.wake()
	}
}

// doSeeks runs in the poll loop while rebalances are blocked, which SetOffsets asks for.
func (r *Runner) doSeeks() {
	r.mu.Lock()
	seeks := r.mu.seeks
	r.mu.seeks = nil
	r.mu.Unlock()
	for _, s := range seeks {
		if r.worker(s.w.p.key()) != s.w {
			continue
		}
		r.client.SetOffsets(map[string]map[int32]kgo.EpochOffset{s.w.p.Topic: {s.w.p.Number: {Epoch: -1, Offset: s.offset}}})
		s.w.sought(s.offset)
	}
}

func (r *Runner) pause(p Partition) {
	r.client.PauseFetchPartitions(map[string][]int32{p.Topic: {p.Number}})
}

func (r *Runner) resume(p Partition) {
	r.client.ResumeFetchPartitions(map[string][]int32{p.Topic: {p.Number}})
}

// leave leaves the group, which revokes everything: the batches in hand are finished and committed.
func (r *Runner) leave() {
	// Bounded, so that brokers that do not answer do not keep a program from ending.
	ctx, cancel := context.WithTimeout(context.Background(), r.cfg.RevokeTimeout+5*time.Second)
	defer cancel()
	r.client.AllowRebalance()
	if err := r.client.LeaveGroupContext(ctx); err != nil {
		r.cfg.Logger.Debug("leaving the group failed; the session timeout does it", "projection", r.cfg.Name, "error", err)
	}
	r.client.CloseAllowingRebalance()
	r.mu.Lock()
	rest := make([]*worker, 0, len(r.mu.workers))
	for _, w := range r.mu.workers {
		rest = append(rest, w)
	}
	r.mu.Unlock()
	r.end(rest, false) // those that no callback named, as the group was being joined
}
