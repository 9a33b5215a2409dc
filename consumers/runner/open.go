package runner

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/topology"
)

// open opens the sink's session of the partition and returns where to read. It tries again until it
// can or ctx ends; event.ErrCorrupt is final.
func (w *worker) open(ctx context.Context) (int64, error) {
	for attempt := 0; ; attempt++ {
		offset, err := w.openOnce(ctx)
		switch {
		case err == nil:
			return offset, nil
		case ctx.Err() != nil:
			w.closeSession()
			return 0, ctx.Err()
		case errors.Is(err, event.ErrCorrupt):
			w.closeSession()
			return 0, err
		}
		w.closeSession()
		w.failed(Opening, err, attempt)
		if err := w.r.backoff(ctx, attempt); err != nil {
			return 0, err
		}
	}
}

func (w *worker) openOnce(ctx context.Context) (int64, error) {
	w.closeSession() // of an attempt that a rebalance cut short
	id, err := w.r.kafka.topicID(ctx, w.p)
	if err != nil {
		return 0, err
	}
	accepted, err := topology.Accepted(ctx, w.r.client, w.r.cfg.Client, w.r.cfg.Prefix)
	if err != nil {
		return 0, err
	}
	a := accepted.Of(w.p.Aggregate, w.p.Number)
	id = a.Incarnation(w.p.Topic, id)
	p := w.p
	p.TopicID = id
	s, err := w.r.cfg.Sink.Open(ctx, p)
	if err != nil {
		return 0, fmt.Errorf("open %s: %w", p, err)
	}
	w.session = s
	c, found := s.Checkpoint()
	// After the checkpoint: whoever owned the partition before may have moved it right up to the end.
	start, end, err := w.r.kafka.bounds(ctx, p)
	if err != nil {
		return 0, err
	}
	if !found {
		c = Checkpoint{TopicID: id, Next: start, CommandOffset: -1}
	}
	switch {
	case found && c.TopicID != id:
		if at := a.LostAt(p.Topic); at > 0 {
			return 0, w.r.accepted(p, at)
		}
		return 0, w.r.lost(p, "the topic is another one than the checkpoint's: it was deleted and made anew")
	case c.Next > end:
		return 0, w.r.lost(p, fmt.Sprintf("the checkpoint, %d, is beyond the log's end, %d", c.Next, end))
	case c.Next < start && p.Source == Events:
		return 0, fmt.Errorf("%w of %s: the log starts at %d, after the checkpoint, %d: set its retention right with `cqrsflow topology apply`, and put back what is missing",
			errLost, p, start, c.Next)
	}
	read := c.Next
	if read < start {
		// Outcomes are kept for a time only; what was missed of them is gone.
		w.log.Warn("outcomes expired before they were read", "from", read, "to", start)
		read = start
	}
	pointers, err := s.Parked(ctx)
	if err != nil {
		return 0, fmt.Errorf("parked events of %s: %w", p, err)
	}
	w.id, w.checkpoint = id, c
	w.parked.load(pointers)
	w.lookedAt = time.Now()
	if found {
		// A process that was killed may have applied what it had not committed yet, and nothing more may come.
		w.r.commits.mark(w.p, read)
	}
	w.mu.Lock()
	w.mu.expect = read
	st := &w.mu.status
	st.Partition, st.Checkpoint, st.Parked = p, w.checkpoint, w.parked.streams()
	st.Checkpoint.Next = read
	st.End = max(st.End, end)
	w.mu.Unlock()
	return read, nil
}
