package runner

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// assigned notes that the group has been joined, and what is to be opened: the client asks for offsets
// next, and asks again if a rebalance interrupts it.
func (r *Runner) assigned(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	for topic, numbers := range partitions {
		for _, n := range numbers {
			p := r.origin[topic]
			p.Number = n
			r.claim(p)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.joined, r.mu.trouble = true, ""
}

// open is told the group's offsets of newly assigned partitions and answers with those of the sink's
// checkpoints. It waits for a store that is down; a rebalance ends ctx and calls it again later.
// Partitions that cannot be read are left out: the client does not fetch them.
func (r *Runner) open(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	<-r.set
	type opened struct {
		w      *worker
		offset int64
		err    error
	}
	var results []opened
	for topic, partitions := range offsets {
		p, ok := r.origin[topic]
		if !ok {
			continue
		}
		for number := range partitions {
			p.Number = number
			results = append(results, opened{w: r.claim(p)})
		}
	}
	var wg sync.WaitGroup
	for i := range results {
		o := &results[i]
		wg.Go(func() { o.offset, o.err = o.w.open(ctx) })
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	out := map[string]map[int32]kgo.Offset{}
	for _, o := range results {
		if o.err != nil { // only event.ErrCorrupt gets here
			o.w.halt(o.err)
			o.w.start(o.w.stay)
			continue
		}
		if out[o.w.p.Topic] == nil {
			out[o.w.p.Topic] = map[int32]kgo.Offset{}
		}
		out[o.w.p.Topic][o.w.p.Number] = kgo.NewOffset().At(o.offset).WithEpoch(-1)
		o.w.start(o.w.run)
	}
	return out, nil
}

// claim returns the partition's worker, a new one unless an interrupted assignment left one.
func (r *Runner) claim(p Partition) *worker {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.mu.workers[p.key()]
	if w == nil {
		w = newWorker(r, p)
		r.mu.workers[p.key()] = w
	}
	return w
}

// start runs the worker's goroutine.
func (w *worker) start(f func()) {
	w.started = true
	go func() {
		defer close(w.done)
		defer w.cancel()
		f()
	}()
}

// revoked gives partitions up in good order: the batch in hand may be finished, and its offset is
// committed, before the callback returns and others take over.
func (r *Runner) revoked(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	<-r.set
	r.end(r.take(partitions), true)
}

// lostPartitions gives partitions up at once: others may own them already.
func (r *Runner) lostPartitions(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	<-r.set
	r.end(r.take(partitions), false)
}

func (r *Runner) take(partitions map[string][]int32) []*worker {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*worker
	for topic, numbers := range partitions {
		for _, n := range numbers {
			if w := r.mu.workers[key{topic, n}]; w != nil {
				out = append(out, w)
			}
		}
	}
	return out
}

// end stops workers and waits for them. Once it has returned, nothing is acknowledged for them.
func (r *Runner) end(workers []*worker, inOrder bool) {
	for _, w := range workers {
		w.release()
		if !inOrder {
			w.cancel()
			r.commits.forget(w.p)
		}
	}
	deadline := time.NewTimer(r.cfg.RevokeTimeout)
	defer deadline.Stop()
	for _, w := range workers {
		if !w.started {
			w.closeSession()
			w.cancel()
			continue
		}
		select {
		case <-w.done:
			continue
		case <-deadline.C:
			for _, slow := range workers {
				slow.cancel()
			}
		}
		w.log.Warn("the batch in hand did not end in time after the partition was revoked; abandoned")
		<-w.done // sinks end with their context
	}
	if inOrder {
		r.commits.flush(context.Background())
	}
	r.mu.Lock()
	for _, w := range workers {
		if r.mu.workers[w.p.key()] == w {
			delete(r.mu.workers, w.p.key())
		}
	}
	r.mu.Unlock()
	for _, w := range workers {
		r.commits.forget(w.p)
		r.resume(w.p) // a pause would outlive the assignment
	}
}

// watchEnds keeps the log's ends: those as of start, which Ready compares with, and the current ones, for lag.
func (r *Runner) watchEnds(ctx context.Context) {
	for attempt := 0; ; attempt++ {
		ends, err := r.kafka.ends(ctx, true, r.topics...)
		if err == nil {
			targets := map[key]int64{}
			for topic, partitions := range ends {
				for n, o := range partitions {
					targets[key{topic, n}] = o.Offset
				}
			}
			r.mu.Lock()
			r.mu.targets = targets
			r.mu.Unlock()
			break
		}
		if attempt == 0 && !errors.Is(err, context.Canceled) {
			r.cfg.Logger.Warn("the log's end is not known yet", "projection", r.cfg.Name, "error", err)
		}
		if r.backoff(ctx, attempt) != nil {
			return
		}
	}
	t := time.NewTicker(r.cfg.EndsEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		ends, err := r.kafka.ends(ctx, false, r.topics...)
		if err != nil {
			continue // Ready says so once it matters: nothing arrives
		}
		r.mu.Lock()
		workers := make([]*worker, 0, len(r.mu.workers))
		for _, w := range r.mu.workers {
			workers = append(workers, w)
		}
		r.mu.Unlock()
		for _, w := range workers {
			if o, ok := ends.Lookup(w.p.Topic, w.p.Number); ok {
				w.mu.Lock()
				w.mu.status.End = max(w.mu.status.End, o.Offset)
				w.mu.Unlock()
			}
		}
	}
}
