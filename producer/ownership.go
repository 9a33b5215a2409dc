package producer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/topology"
)

// assigned begins to restore partitions. They are not fetched until that is done; the others go on meanwhile.
func (w *worker) assigned(life context.Context, cl *kgo.Client, m map[string][]int32) {
	cl.PauseFetchPartitions(m)
	w.revoked(m, false) // what is still held here was lost without our being told
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.joined = true
	for topic, numbers := range m {
		for _, n := range numbers {
			o := &owned{tp: topicPartition{topic, n}}
			w.mu.owned[o.tp] = o
			o.state = restoring
			w.restoreLocked(life, cl, o)
		}
	}
}

// revoked gives partitions up, at the end of the transaction where one is in progress. A transaction
// is never ended in here: the session's lock is held. disarmed says that the session will not tell of
// another revocation until it is armed again.
func (w *worker) revoked(m map[string][]int32, disarmed bool) {
	w.mu.Lock()
	w.mu.revoked = w.mu.revoked || disarmed
	for topic, numbers := range m {
		for _, n := range numbers {
			tp := topicPartition{topic, n}
			if o := w.mu.owned[tp]; o != nil {
				w.mu.revoked = true
				delete(w.mu.owned, tp)
				o.cancel()
				w.mu.leaving = append(w.mu.leaving, o)
			}
		}
	}
	var leaving []*owned
	if !w.mu.busy {
		leaving, w.mu.leaving = w.mu.leaving, nil
	}
	if w.mu.revoked && w.mu.wake != nil {
		w.mu.wake()
	}
	w.mu.Unlock()
	w.giveUp(leaving)
}

func (w *worker) revokeAll() {
	w.mu.Lock()
	leaving := w.mu.leaving
	w.mu.leaving = nil
	for tp, o := range w.mu.owned {
		o.cancel()
		leaving = append(leaving, o)
		delete(w.mu.owned, tp)
	}
	w.mu.Unlock()
	w.giveUp(leaving)
}

func (w *worker) giveUp(leaving []*owned) {
	for _, o := range leaving {
		<-o.restored
		if o.release == nil {
			continue
		}
		if err := o.release(); err != nil {
			w.log.Warn("closing a local store", "partition", o.part.String(), "err", err)
		}
	}
}

// enter and leave surround a transaction.
func (w *worker) enter() {
	w.mu.Lock()
	w.mu.busy = true
	w.mu.Unlock()
}

func (w *worker) leave() {
	w.mu.Lock()
	leaving := w.mu.leaving
	w.mu.busy, w.mu.leaving = false, nil
	w.mu.Unlock()
	w.giveUp(leaving)
}

// serving returns the partition if it is owned and restored.
func (w *worker) serving(tp topicPartition) *owned {
	w.mu.Lock()
	defer w.mu.Unlock()
	if o := w.mu.owned[tp]; o != nil && o.state == serving {
		return o
	}
	return nil
}

// again restores a partition once more, from what its store has: after an abort, or when the store failed.
func (w *worker) again(life context.Context, cl *kgo.Client, o *owned) {
	cl.PauseFetchPartitions(map[string][]int32{o.tp.topic: {o.tp.number}})
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.owned[o.tp] == o {
		o.state, o.err = restoring, nil
		w.restoreLocked(life, cl, o)
	}
}

// restoreLocked begins to restore a partition. A stopped one stays so until it can be restored.
func (w *worker) restoreLocked(life context.Context, cl *kgo.Client, o *owned) {
	ctx, cancel := context.WithCancel(life)
	before, done := o.restored, make(chan struct{})
	o.cancel, o.restored = cancel, done
	go func() {
		defer cancel()
		defer close(done)
		if before != nil {
			<-before // it has decided, and is about to end
		}
		w.restore(ctx, cl, o)
	}()
}

// restore brings the partition up to the log, trying again until it can, and lets it be fetched. Where
// the log contradicts itself or the store, the partition stops, and the others go on.
func (w *worker) restore(ctx context.Context, cl *kgo.Client, o *owned) {
	began := time.Now()
	defer func() { o.look = time.Now().Add(10 * time.Since(began)) }()
	for wait := 20 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		err := w.tryRestore(ctx, o)
		if ctx.Err() != nil {
			return
		}
		var events int64
		w.mu.Lock()
		news := o.err == nil || err == nil || o.err.Error() != err.Error()
		o.err = err
		switch {
		case err == nil:
			o.state, events = serving, o.part.cp.NextEvent // from here on the partition is the worker's
		case errors.Is(err, event.ErrCorrupt):
			o.state = stopped
		default:
			o.state = restoring
		}
		state := o.state
		w.mu.Unlock()
		switch state {
		case serving:
			cl.ResumeFetchPartitions(map[string][]int32{o.tp.topic: {o.tp.number}})
			if h := w.p.cfg.Hooks.Restored; h != nil {
				h(o.part.typ.Name, o.tp.number, events, time.Since(began))
			}
			return
		case stopped:
			if news {
				w.log.Error("partition stopped", "topic", o.tp.topic, "partition", o.tp.number, "err", err)
			}
			return
		}
		w.log.Warn("restoring a partition; trying again", "topic", o.tp.topic, "partition", o.tp.number, "err", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

func (w *worker) tryRestore(ctx context.Context, o *owned) error {
	t := w.p.types[o.tp.topic]
	accepted, err := topology.Accepted(ctx, w.p.admin, w.p.cfg.Kafka, w.p.cfg.Prefix)
	if err != nil {
		return err
	}
	if w.changed(accepted, o.tp) {
		w.mu.Lock()
		w.renewLocked()
		w.mu.Unlock()
		return fmt.Errorf("%w: %w", event.ErrUnavailable, errChanged)
	}
	d, err := w.p.describe(ctx, t)
	if err != nil {
		return err
	}
	if o.part == nil {
		if o.part, o.release, err = w.p.acquire(ctx, t, o.tp.number); err != nil {
			return err
		}
	}
	o.part.count, o.part.accepted = d.count, accepted.Of(t.Name, o.tp.number)
	rs := restorer{opts: w.p.cfg.Kafka, admin: w.p.admin, group: w.p.cfg.Group, log: w.log, described: d, setAside: w.p.setAside}
	o.next, err = rs.restore(ctx, o.part)
	o.reached = 0
	return err
}

func (w *worker) status() ([]Partition, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []Partition
	for tp, o := range w.mu.owned {
		out = append(out, Partition{Aggregate: w.p.types[tp.topic].Name, Number: tp.number, State: o.state, Err: o.err})
	}
	return out, w.mu.joined
}

// pebbleLog passes what Pebble reports on at debug level; its errors reach us as errors.
type pebbleLog struct{ log *slog.Logger }

func (l pebbleLog) Infof(format string, args ...any)  { l.print(slog.LevelDebug, format, args) }
func (l pebbleLog) Errorf(format string, args ...any) { l.print(slog.LevelError, format, args) }

// Fatalf is called where Pebble cannot go on. Nothing is lost with the process: the log has everything.
func (l pebbleLog) Fatalf(format string, args ...any) {
	l.print(slog.LevelError, format, args)
	panic("local store: " + fmt.Sprintf(format, args...))
}

func (l pebbleLog) print(level slog.Level, format string, args []any) {
	if l.log.Enabled(context.Background(), level) {
		l.log.Log(context.Background(), level, "local store: "+fmt.Sprintf(format, args...))
	}
}
