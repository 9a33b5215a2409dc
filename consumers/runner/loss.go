package runner

import (
	"errors"
	"fmt"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
)

// errLost says that the log no longer has what the projection has processed. Its rows are right about
// what was, and wrong about what is: nobody but an operator can say what shall become of them.
var errLost = fmt.Errorf("%w: the log lost data", event.ErrCorrupt)

// lost is the error of a partition whose log lost what the projection has processed.
func (r *Runner) lost(p Partition, why string) error {
	return fmt.Errorf("%w of %s: %s. Look at the brokers first: what comes back is not lost, and this goes on by itself. To go on without it: "+
		"`cqrsflow topology accept-loss --lost %s/%d`, then `cqrsflow projection rebuild %s`; until then it serves what it has", errLost, p, why, p.Topic, p.Number, r.cfg.Name)
}

// accepted is the error of a partition whose loss was accepted, and whose rows are of before.
func (r *Runner) accepted(p Partition, epoch int64) error {
	return fmt.Errorf("%w of %s: that was accepted at %s, and the rows are of before: `cqrsflow projection rebuild %s` makes them again; until then it serves what it has",
		errLost, p, time.UnixMilli(epoch).UTC().Format(time.RFC3339), r.cfg.Name)
}

// errHalted ends serving a partition that was stopped from outside its goroutine; errWhole ends a session
// for another, with a client that knows no topic of before, so that a stopped partition can go on.
var (
	errHalted = errors.New("stopped")
	errWhole  = errors.New("a partition that had stopped can go on")
)

// stay keeps a stopped partition owned, so that its lag and reason are seen, until it is given up. Where
// the log lost data it looks, now and then, whether log and checkpoint agree again.
func (w *worker) stay() {
	for w.sleep(w.r.cfg.LookEvery) {
		if w.whole() {
			w.r.renew()
			<-w.serving.Done()
			return
		}
	}
}

// whole reports whether a partition that stopped because the log lost data can go on.
func (w *worker) whole() bool {
	w.mu.Lock()
	lost, seen := w.mu.lost, w.mu.seen
	w.mu.Unlock()
	if !lost {
		return false
	}
	before := w.checkpoint
	_, err := w.openOnce(w.serving)
	w.closeSession()
	if errors.Is(err, errLost) {
		w.mu.Lock()
		w.mu.status.Reason = err.Error()
		w.mu.Unlock()
	}
	// A loss that was seen while reading is no less one when the log has grown beyond it: only another checkpoint will do.
	return err == nil && !(seen && w.checkpoint == before)
}

// renew has the poll loop end, and Run begin another session.
func (r *Runner) renew() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.renew != nil {
		r.mu.renew(errWhole)
	}
}
