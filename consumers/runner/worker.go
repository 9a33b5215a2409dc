package runner

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/event"
)

// State is what a partition's worker is doing.
type State string

// The states of a partition.
const (
	// Opening: the sink's checkpoint is not known yet.
	Opening State = "opening"
	// Live: it applies what arrives.
	Live State = "live"
	// Retrying: the sink fails; the batch is kept and tried again.
	Retrying State = "retrying"
	// Stopped: the partition needs an operator or another program; others go on.
	Stopped State = "stopped"
)

// worker owns one partition: it turns what the poll loop hands over into batches, applies them, and
// keeps what is parked. One goroutine runs it, from assignment to revocation.
type worker struct {
	r    *Runner
	p    Partition
	read *reader
	log  *slog.Logger

	// serving ends when the partition is to be given up once the batch in hand is done, ctx when at once.
	serving, ctx    context.Context
	release, cancel context.CancelFunc
	done            chan struct{}
	started         bool          // done will be closed
	wake            chan struct{} // cap 1: the queue has something
	healing         atomic.Bool   // streams may be marked to be healed

	// Owned by the worker's goroutine (by the assignment before it starts).
	id         [16]byte // topic ID
	session    Session
	checkpoint Checkpoint // what the store has
	parked     parking
	lookedAt   time.Time // when the parked pointers were last read
	recs       []*kgo.Record
	batch      Batch
	fresh      map[event.StreamID]int64   // streams that the batch in hand parks, and the offset from which on
	unpark     map[event.StreamID][]int64 // what becomes Batch.Unpark
	warned     time.Time

	mu struct {
		sync.Mutex
		queue  []*kgo.Record
		bytes  int
		paused bool
		// seeking: the poll loop has yet to set the client's offset; until then what it hands over is stale.
		seeking bool
		expect  int64 // offset that must not be undercut by what is handed over next
		status  PartitionStatus
		failing time.Time // since when the sink fails; zero while it does not
		// lost: it stopped because the log lost data; seen: that was seen while reading.
		lost, seen bool
	}
}

func newWorker(r *Runner, p Partition) *worker {
	w := &worker{
		r: r, p: p, read: newReader(&r.cfg, p),
		log:  r.cfg.Logger.With("projection", r.cfg.Name, "version", r.cfg.Version, "partition", p.String()),
		done: make(chan struct{}), wake: make(chan struct{}, 1), fresh: map[event.StreamID]int64{}, unpark: map[event.StreamID][]int64{},
	}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	w.serving, w.release = context.WithCancel(w.ctx)
	w.mu.status = PartitionStatus{Partition: p, State: Opening, Checkpoint: Checkpoint{CommandOffset: -1}, End: -1}
	return w
}

// run applies batches until the partition is given up. It closes the session before it returns.
func (w *worker) run() {
	for {
		err := w.serve()
		w.closeSession()
		switch {
		case err == nil || w.serving.Err() != nil:
			return
		case errors.Is(err, event.ErrFenced):
			w.log.Warn("another owner has moved the checkpoint; starting again from there", "error", err)
			if !w.reopen() {
				return
			}
		default:
			w.halt(err)
			w.stay()
			return
		}
	}
}

// serve works until it is told to stop (nil) or cannot go on with this session.
func (w *worker) serve() error {
	w.state(Live, "")
	look := time.NewTicker(w.r.cfg.ParkedEvery)
	defer look.Stop()
	for {
		if w.parked.any() && time.Since(w.lookedAt) >= w.r.cfg.ParkedEvery {
			if err := w.drain(); err != nil {
				return err
			}
		}
		if w.healing.Swap(false) {
			if err := w.heal(); err != nil {
				return err
			}
		}
		if w.serving.Err() != nil {
			return nil
		}
		if w.halted() {
			return errHalted
		}
		if w.take() {
			err := w.step()
			w.forget()
			if err != nil {
				return err
			}
			continue
		}
		select {
		case <-w.serving.Done():
			return nil
		case <-w.wake:
		case <-look.C:
		}
	}
}

// forget lets go of the last batch: kept until the next one, it would hold whole fetches in memory, of every partition.
func (w *worker) forget() {
	clear(w.recs)
	w.recs = w.recs[:0]
	w.begin(w.checkpoint)
}

// take moves the next batch's records out of the queue.
func (w *worker) take() bool {
	w.mu.Lock()
	n, size := 0, 0
	for _, rec := range w.mu.queue {
		if n > 0 && (n >= w.r.cfg.BatchRecords || size+weight(rec) > w.r.cfg.BatchBytes) {
			break
		}
		n, size = n+1, size+weight(rec)
	}
	w.recs = append(w.recs[:0], w.mu.queue[:n]...)
	rest := copy(w.mu.queue, w.mu.queue[n:])
	clear(w.mu.queue[rest:])
	w.mu.queue = w.mu.queue[:rest]
	w.mu.bytes -= size
	resume := w.mu.paused && w.mu.bytes <= w.r.cfg.QueueBytes/2 && w.mu.status.State == Live
	if resume {
		w.mu.paused = false
	}
	w.mu.Unlock()
	if resume {
		w.r.resume(w.p)
	}
	return n > 0
}

// weight is about what a queued record holds in memory.
func weight(rec *kgo.Record) int { return len(rec.Value) + len(rec.Key) + 512 }

// offer hands records over; the poll loop calls it. It never blocks.
func (w *worker) offer(recs []*kgo.Record, end int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if end > w.mu.status.End {
		w.mu.status.End = end
	}
	if w.mu.seeking || w.mu.status.State == Stopped || len(recs) == 0 {
		return
	}
	if recs[0].Offset < w.mu.expect {
		// The client never goes back on its own: the topic was made anew, or truncated, under it.
		w.mu.seen = true
		w.haltLocked(w.r.lost(w.p, fmt.Sprintf("reading went on at offset %d after offset %d", recs[0].Offset, w.mu.expect-1)))
		return
	}
	w.mu.expect = recs[len(recs)-1].Offset + 1
	w.mu.queue = append(w.mu.queue, recs...)
	for _, rec := range recs {
		w.mu.bytes += weight(rec)
	}
	if w.mu.bytes > w.r.cfg.QueueBytes && !w.mu.paused {
		w.mu.paused = true
		w.r.pause(w.p)
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// halt stops the partition loudly; nothing more is applied until it is assigned again.
func (w *worker) halt(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.haltLocked(err)
}

func (w *worker) haltLocked(err error) {
	if w.mu.status.State == Stopped {
		return
	}
	w.log.Error("partition stopped; the others go on", "error", err)
	w.mu.status.State, w.mu.status.Reason, w.mu.lost = Stopped, err.Error(), errors.Is(err, errLost)
	clear(w.mu.queue)
	w.mu.queue, w.mu.bytes = w.mu.queue[:0], 0
	if !w.mu.paused {
		w.mu.paused = true
		w.r.pause(w.p)
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *worker) halted() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.status.State == Stopped
}

// pauseNow stops fetching while the sink fails.
func (w *worker) pauseNow() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.mu.paused {
		w.mu.paused = true
		w.r.pause(w.p)
	}
}

// reopen opens the partition again where the store's checkpoint is now, and has the poll loop read on
// from there. It reports false where the worker ends instead.
func (w *worker) reopen() bool {
	w.mu.Lock()
	w.mu.seeking = true
	clear(w.mu.queue)
	w.mu.queue, w.mu.bytes = w.mu.queue[:0], 0
	w.mu.Unlock()
	w.state(Opening, "")
	// A pause, so that two that both believe to own the partition do not fight over it in a tight loop.
	if !w.sleep(w.r.cfg.RetryMin) {
		return false
	}
	offset, err := w.open(w.serving)
	if err != nil {
		if w.serving.Err() == nil {
			w.halt(err)
			w.stay()
		}
		return false
	}
	w.r.seek(w, offset)
	return true
}

// sought is called by the poll loop once the client reads from the offset.
func (w *worker) sought(offset int64) {
	w.mu.Lock()
	w.mu.seeking = false
	w.mu.expect = offset
	paused := w.mu.paused
	w.mu.paused = false
	w.mu.Unlock()
	if paused {
		w.r.resume(w.p)
	}
}

// sleep waits; false means that the worker ends.
func (w *worker) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-w.serving.Done():
		return false
	}
}

func (w *worker) closeSession() {
	if w.session == nil {
		return
	}
	if err := w.session.Close(); err != nil {
		w.log.Warn("closing the sink's session failed", "error", err)
	}
	w.session = nil
}

func (w *worker) state(s State, reason string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.status.State == Stopped {
		return
	}
	w.mu.status.State, w.mu.status.Reason = s, reason
	if s == Live {
		w.mu.failing = time.Time{}
	}
}
