package producer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/partlog"
	"github.com/cqrsflow/cqrsflow/topology"
)

// worker is one member of the group: it polls a batch, decides it, and ends the transaction before it
// polls again, because ending a transaction commits whatever was polled. Overlap comes from several workers.
type worker struct {
	p    *Processor
	id   string
	log  *slog.Logger
	step step
	enc  encoder
	// batch is how many commands the next transaction takes: fewer after one that failed, as it may have
	// been too large for its time or the broker, and more again with each that is committed.
	batch int
	// unexplained counts the transactions in a row that were aborted for no reason that we know.
	unexplained int
	// accepted are the losses of the log that had been accepted when the session began.
	accepted topology.Acceptances

	mu struct {
		sync.Mutex
		owned map[topicPartition]*owned
		// busy: a transaction is in progress, so partitions that are revoked wait in leaving for its end.
		busy    bool
		leaving []*owned
		joined  bool
		// share is what the group has assigned, whether or not the session has told of it yet.
		share map[string][]int32
		// wake ends the poll in progress; revoked says that the session must be armed again (see rearm).
		wake    context.CancelFunc
		revoked bool
		// renew says that the session is to end, and another to begin.
		renew bool
	}
}

const (
	// endGrace is how long a transaction may take to end once the processor is to stop.
	endGrace = 8 * time.Second
	// recordOverhead is room for key, headers and batch around the largest body.
	recordOverhead = 64 << 10
)

type topicPartition struct {
	topic  string
	number int32
}

// owned is a partition that the group has assigned to the worker.
type owned struct {
	tp     topicPartition
	cancel context.CancelFunc
	// restored is closed when the goroutine that restores it has ended.
	restored chan struct{}
	// The following belong to the restoring goroutine until it ends, then to the worker's.
	part    *partition
	release func() error
	// next is the first command to decide: what lies before has been decided. reached is the next one to come, as far as
	// has been decided since.
	next, reached int64
	// look is when a stopped partition is worth restoring again, which may mean reading much of the log.
	look time.Time
	// state and err are guarded by worker.mu.
	state string
	err   error
}

const (
	restoring = "restoring"
	serving   = "serving"
	stopped   = "stopped"
)

func newWorker(p *Processor, n int) *worker {
	w := &worker{p: p, id: p.cfg.Group + "-" + p.cfg.Instance + "-" + strconv.Itoa(n), batch: p.cfg.BatchRecords}
	w.log = p.cfg.Logger.With("worker", n)
	w.step.enc = &w.enc
	w.step.panicked = func(part *partition, c *event.Command, reason any, stack []byte) {
		w.log.Error("the aggregate panicked; the command is rejected", "aggregate", part.typ.Name, "stream", c.Stream, "command", c.Type,
			"commandId", c.ID, "panic", fmt.Sprint(reason), "stack", string(stack))
		if h := p.cfg.Hooks.Panicked; h != nil {
			h(part.typ.Name)
		}
	}
	w.step.traces = traces{tracer: p.cfg.Tracer, group: p.cfg.Group}
	w.step.who = gate{keys: p.cfg.Principals, lenient: p.cfg.UnprovenAnonymous, authorize: p.cfg.Authorize, revoked: p.cfg.Revocations}
	// Whoever signed a command has signed its variant. Without keys nobody is told from another: whoever may publish may choose.
	w.step.signed = func(c *event.Command) bool { return p.cfg.Principals == nil || c.Principal != "" }
	w.step.assigned = func(part *partition, result string) {
		if h := p.cfg.Hooks.Variant; h != nil {
			h(part.typ.Name, result)
		}
	}
	return w
}

func (w *worker) run(ctx context.Context) {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		began := time.Now()
		err := w.session(ctx)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errChanged) {
			w.log.Info("starting a new session", "why", err)
			continue
		}
		w.log.Warn("starting a new session", "err", err)
		if time.Since(began) > 30*time.Second {
			wait = 50 * time.Millisecond
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// session runs one Kafka client, until the context ends or the outcome of a transaction is unknown.
func (w *worker) session(ctx context.Context) error {
	cfg := &w.p.cfg
	topics := make([]string, 0, len(w.p.types))
	for t := range w.p.types {
		topics = append(topics, t)
	}
	life, stop := context.WithCancel(ctx) // of the restoring goroutines
	defer stop()
	var err error
	if w.accepted, err = topology.Accepted(ctx, w.p.admin, cfg.Kafka, cfg.Prefix); err != nil {
		return err
	}
	w.mu.Lock()
	w.unexplained = 0
	w.mu.owned, w.mu.busy, w.mu.leaving, w.mu.joined, w.mu.renew = map[topicPartition]*owned{}, false, nil, false, false
	w.mu.Unlock()
	offsets, err := partlog.OffsetsOf(ctx, kadm.NewClient(w.p.admin), cfg.Group)
	if err != nil {
		return fmt.Errorf("%w: processor: %w", event.ErrUnavailable, err)
	}
	opts := append(cfg.Kafka[:len(cfg.Kafka):len(cfg.Kafka)],
		kgo.TransactionalID(w.id),
		kgo.WithHooks(&partlog.Gate{Hanging: w.p.hanging(w.log), Committed: func() kadm.TopicsSet { return w.wrote(offsets) }}),
		kgo.TransactionTimeout(cfg.TransactionTimeout),
		kgo.ConsumerGroup(cfg.Group),
		kgo.ConsumeTopics(topics...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// A partition that has been restored waits for the fetch in flight to return before it is asked for.
		kgo.FetchMaxWait(250*time.Millisecond),
		kgo.FetchMaxBytes(int32(cfg.BatchBytes)),
		kgo.Balancers(partlog.Watched{GroupBalancer: kgo.CooperativeStickyBalancer(), Assigned: w.share}),
		kgo.SessionTimeout(cfg.SessionTimeout),
		kgo.HeartbeatInterval(min(3*time.Second, cfg.SessionTimeout/3)),
		kgo.RebalanceTimeout(max(cfg.SessionTimeout, 30*time.Second)),
		kgo.ProducerLinger(0),
		kgo.ProducerBatchCompression(codecs[cfg.Compression]),
		kgo.ProducerBatchMaxBytes(int32(max(1<<20, cfg.EventBytes+recordOverhead))),
		kgo.MaxBufferedRecords(1<<20),
		// What is decided waits while this much has not been written; a record larger than that would never be.
		kgo.MaxBufferedBytes(max(2*cfg.BatchBytes, 2*(cfg.EventBytes+recordOverhead))),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ConcurrentTransactionsBackoff(2*time.Millisecond),
		kgo.AdjustFetchOffsetsFn(w.where),
		kgo.OnPartitionsAssigned(func(_ context.Context, cl *kgo.Client, m map[string][]int32) { w.assigned(life, cl, m) }),
		kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { w.revoked(m, len(m) > 0) }),
		// Losing nothing disarms the session as well.
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, m map[string][]int32) { w.revoked(m, true) }),
	)
	if cfg.Static {
		opts = append(opts, kgo.InstanceID(w.id))
	}
	sess, err := kgo.NewGroupTransactSession(opts...)
	if err != nil {
		return fmt.Errorf("%w: processor: %w", event.ErrConfig, err)
	}
	var watching sync.WaitGroup
	watching.Go(func() { w.watch(life, sess.Client(), offsets) })
	defer func() {
		stop()
		watching.Wait()
		sess.Close() // leaves the group, unless membership is static; revokes what is owned
		w.revokeAll()
	}()
	// Taking the transactional ID over ends at once what the last session may have left open.
	if _, _, err := sess.Client().ProducerID(ctx); err != nil {
		return fmt.Errorf("%w: initialise the transactional ID %s: %w", event.ErrUnavailable, w.id, err)
	}
	aborts := 0
	for {
		fetches := w.poll(ctx, sess)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if w.renewed() {
			return errChanged
		}
		if again, err := w.rearm(ctx, sess); err != nil {
			return err
		} else if again {
			continue // what was polled is polled once more
		}
		if fetches.IsClientClosed() {
			return errors.New("the client was closed")
		}
		fetches.EachError(func(topic string, n int32, err error) {
			if errors.Is(err, context.Canceled) {
				return
			}
			w.log.Warn("fetching commands", "topic", topic, "partition", n, "err", err)
			if errors.Is(err, kerr.UnknownTopicID) { // deleted and made again: the partition is to find out, and stop
				if o := w.serving(topicPartition{topic, n}); o != nil {
					w.again(life, sess.Client(), o)
				}
			}
		})
		if fetches.NumRecords() == 0 {
			continue
		}
		committed, err := w.transaction(ctx, life, sess, fetches)
		w.resize(committed && err == nil)
		if err != nil {
			return err
		}
		if committed {
			aborts = 0
			continue
		}
		aborts++
		select { // an abort that repeats has a cause that takes time
		case <-ctx.Done():
		case <-time.After(min(time.Duration(aborts*aborts)*10*time.Millisecond, time.Second)):
		}
	}
}

// poll waits for commands, or until partitions are revoked.
func (w *worker) poll(ctx context.Context, sess *kgo.GroupTransactSession) kgo.Fetches {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w.mu.Lock()
	w.mu.wake = cancel
	revoked := w.mu.revoked || w.mu.renew
	w.mu.Unlock()
	if revoked {
		return nil
	}
	return sess.PollRecords(ctx, w.batch)
}

// resize halves the batch after a transaction that was not committed, and doubles it after one that was.
func (w *worker) resize(committed bool) {
	if committed {
		w.batch = min(2*w.batch, w.p.cfg.BatchRecords)
	} else {
		w.batch = max(1, w.batch/2)
	}
}

// rearm makes the session tell us of the next revocation. After one it tells of no other until a
// transaction has ended; we would go on holding partitions that another member has been given.
// It goes back to the committed offsets, so nothing that was polled before may be decided. What it did
// not tell of meanwhile is found by comparing with the group's assignment.
func (w *worker) rearm(ctx context.Context, sess *kgo.GroupTransactSession) (bool, error) {
	w.mu.Lock()
	revoked := w.mu.revoked
	w.mu.revoked = false
	w.mu.Unlock()
	if !revoked {
		return false, nil
	}
	if _, err := sess.End(context.WithoutCancel(ctx), kgo.TryAbort); err != nil {
		return false, fmt.Errorf("after a revocation: %w", err)
	}
	w.reconcile()
	return true, nil
}

func (w *worker) renewed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.renew
}

// lost reports whether partitions were revoked since the session was last armed.
func (w *worker) lost() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.revoked
}

// transaction decides a batch. It returns whether it was committed; an error means that this cannot be known.
func (w *worker) transaction(ctx, life context.Context, sess *kgo.GroupTransactSession, fetches kgo.Fetches) (committed bool, err error) {
	began := time.Now()
	w.enter()
	defer w.leave()
	w.step.who.settle(ctx, fetches) // before anything is written: nothing of ours is open that it could wait for
	defer func() { w.step.traces.end(committed && err == nil) }()
	reuse := w.enc.Forget // records may still be in use, unless we know better
	defer func() { reuse() }()
	if err := sess.Begin(); err != nil {
		return false, fmt.Errorf("begin a transaction: %w", err)
	}
	var failure atomic.Pointer[error]
	fail := func(err error) { failure.CompareAndSwap(nil, &err) }
	// An End that is cancelled leaves the client in no usable state: so a context that ends lets the
	// transaction end, and only gives up on brokers that do not answer.
	end, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(endGrace, cancel) })()
	if len(w.accepted) > 0 {
		end = kgo.PreTxnCommitFnContext(end, w.stamp)
	}
	w.step.emit = func(r *kgo.Record) {
		sess.Produce(end, r, func(r *kgo.Record, err error) {
			if err != nil {
				r.Offset = math.MaxInt64 // it was given none: nothing follows from it
				fail(err)
			}
		})
	}
	var touched []*owned
	var outcomes []decided
	var alone []unheard
	var denials []Denial
	now := w.p.cfg.Clock()
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		if len(f.Records) == 0 || failure.Load() != nil {
			return
		}
		o := w.serving(topicPartition{f.Topic, f.Partition})
		if o == nil {
			fail(fmt.Errorf("%w: records of %s/%d, which is not served here", event.ErrFenced, f.Topic, f.Partition))
			return
		}
		touched = append(touched, o)
		o.part.begin()
		if err := o.part.advance(now, w.step.emit); err != nil {
			fail(err)
			return
		}
		for _, r := range f.Records {
			if r.Offset < o.next {
				continue
			}
			if r.Offset < o.reached {
				// Whether commands were lost, restoring finds out; until then nothing is decided twice.
				fail(fmt.Errorf("command %s/%d@%d was read again after %d", f.Topic, f.Partition, r.Offset, o.reached-1))
				return
			}
			out, err := w.step.command(o.part, r, now)
			if err != nil {
				fail(fmt.Errorf("decide %s/%d@%d: %w", f.Topic, f.Partition, r.Offset, err))
				return
			}
			outcomes = append(outcomes, decided{o.part.typ.Name, out.Kind, out.Replayed})
			if u, ok := hear(&w.step.scratch.command, &out); ok {
				alone = append(alone, u)
			}
			if out.Kind == event.Denied {
				denials = append(denials, w.step.scratch.denial)
			}
		}
	})
	// The session commits what was written, failed or not: so wait for every promise first.
	flushed := true
	if err := sess.Client().Flush(end); err != nil {
		fail(err)
		flushed = false
	} else {
		reuse = w.enc.Reset
	}
	for _, o := range touched {
		// Also where something else has failed: what was written before can hide the loss from whoever restores.
		if what, ok := o.part.regressed(); ok && flushed {
			fail(o.loses(what))
		}
	}
	commit := failure.Load() == nil
	committed, err = sess.End(end, kgo.TransactionEndTry(commit))
	if h := w.p.cfg.Hooks.Transaction; h != nil {
		h(len(outcomes), time.Since(began), committed && err == nil)
	}
	if err != nil {
		for _, o := range touched {
			o.part.abort()
		}
		return false, fmt.Errorf("%w: end a transaction: %w", event.ErrOutcomeUnknown, err)
	}
	if !committed {
		why := "the group rebalanced"
		if f := failure.Load(); f != nil {
			why = (*f).Error()
		} else if !w.lost() {
			// The session turned the commit into an abort for an error that it keeps to itself: mostly a
			// rebalance that took nothing. Whether the broker saw the one or the other, restoring finds out;
			// where it happens again, a new session does.
			why = "the session could not commit"
			if w.unexplained++; w.unexplained > 1 {
				for _, o := range touched {
					o.part.abort()
				}
				return false, fmt.Errorf("%w: %s, again", event.ErrOutcomeUnknown, why)
			}
		}
		w.log.Warn("a transaction was aborted", "commands", len(outcomes), "why", why)
		for _, o := range touched {
			o.part.abort()
			w.again(life, sess.Client(), o)
		}
		return false, nil
	}
	w.unexplained = 0
	for _, o := range touched {
		if err := o.part.commit(); err != nil {
			w.log.Error("the local store failed; it is restored from the log", "partition", o.part.String(), "err", err)
			w.again(life, sess.Client(), o)
			continue
		}
		o.reached = o.part.cp.NextCommand
	}
	if h := w.p.cfg.Hooks.Outcome; h != nil {
		for _, d := range outcomes {
			h(d.aggregate, d.kind, d.replayed)
		}
	}
	w.tell(alone)
	w.audit(denials)
	return true, nil
}

// loses keeps in the partition's store what the log was found to have lost: it is to stop.
func (o *owned) loses(what lostWhat) error {
	return errors.Join(lost(o.part, what.topic, "%s", what.what), o.part.store.setLost(what))
}

type decided struct {
	aggregate string
	kind      event.Kind
	replayed  bool
}
