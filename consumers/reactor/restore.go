package reactor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/partlog"
	"github.com/cqrsflow/cqrsflow/topology"
)

// stand is a partition of an events topic that the group has assigned to this member, and what is parked of it.
// Everything but its number of streams belongs to the session's goroutine, once it stands in stands.
type stand struct {
	place
	aggregate string
	// parked is where its pointers are.
	parked  place
	parking *parking
	// stale: a transaction was not committed as far as the client knows, which does not say that it was aborted.
	stale   bool
	streams atomic.Int64
}

// changed keeps what Status tells.
func (s *stand) changed() { s.streams.Store(int64(len(s.parking.lots))) }

// stands are the assigned partitions. It is safe for concurrent use: the client's callbacks change it.
type stands struct {
	mu sync.Mutex
	m  map[place]*stand
}

func (s *stands) get(p place) *stand {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.m[p]
}

func (s *stands) add(all []*stand) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m == nil {
		s.m = map[place]*stand{}
	}
	for _, st := range all {
		s.m[st.place] = st
	}
}

// keep gives up what is not assigned any more.
func (s *stands) keep(assigned map[string][]int32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.m {
		if !slices.Contains(assigned[p.topic], p.partition) {
			delete(s.m, p)
		}
	}
}

func (s *stands) all() []*stand {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*stand, 0, len(s.m))
	for _, st := range s.m {
		out = append(out, st)
	}
	return out
}

// parked counts the parked streams.
func (s *stands) parked() int {
	n := int64(0)
	for _, st := range s.all() {
		n += st.streams.Load()
	}
	return int(n)
}

// take reads what is parked of newly assigned partitions. Their committed offsets are stable by now, so no former owner
// can commit any more, and what is parked up to the topic's uncommitted end is all there is.
func (t *transactor) take(ctx context.Context, offsets map[string]map[int32]kgo.Offset) error {
	var all []*stand
	reading, ctx := errgroup.WithContext(ctx)
	for topic, partitions := range offsets {
		aggregate := t.r.topics[topic]
		for n, o := range partitions {
			if o.EpochOffset().Offset < 0 {
				return fmt.Errorf("%w: reactor %s has no committed offset on %s/%d any more", event.ErrConfig, t.r.cfg.Name, topic, n)
			}
			st := &stand{place: place{topic, n}, aggregate: aggregate, parked: place{topology.TopicsOf(t.r.cfg.Prefix, aggregate).Parked, n},
				parking: newParking(t.r.cfg.Name)}
			all = append(all, st)
			reading.Go(func() error { return t.catchUp(ctx, st, t.unblock(st.parked)) })
		}
	}
	if err := reading.Wait(); err != nil {
		return err
	}
	t.r.stands.add(all)
	return nil
}

// catchUp folds what the parked topic has of the partition beyond what has been read.
func (t *transactor) catchUp(ctx context.Context, st *stand, stuck func(context.Context) error) error {
	span, err := t.ahead(ctx, st)
	if err != nil {
		return err
	}
	if span.To > span.From {
		settled := partlog.Settled(kadm.NewClient(t.admin), span)
		if err := partlog.Read(ctx, t.r.cfg.Client, span, settled, stuck, st.parking.fold); err != nil {
			return fmt.Errorf("reactor %s: parked events: %w", t.r.cfg.Name, err)
		}
		st.parking.next = span.To
	}
	st.stale = false
	st.changed()
	return nil
}

// ahead is what the parked topic has of the partition that has not been read, open transactions included.
func (t *transactor) ahead(ctx context.Context, st *stand) (partlog.Span, error) {
	p := st.parked
	end, err := partlog.Ends(ctx, kadm.NewClient(t.admin), p.partition, p.topic)
	if err != nil {
		return partlog.Span{}, fmt.Errorf("reactor %s: parked events: %w", t.r.cfg.Name, err)
	}
	span := partlog.Span{Topic: p.topic, Partition: p.partition, From: st.parking.next, To: end[p.topic]}
	if span.To < span.From {
		return span, fmt.Errorf("%w: reactor %s: %s/%d ends at offset %d, but was read up to %d: it lost pointers to parked events; look at the brokers first",
			event.ErrCorrupt, t.r.cfg.Name, p.topic, p.partition, span.To, span.From)
	}
	return span, nil
}

// unblock ends what departed members have left open in the partition, instead of waiting until it times out.
func (t *transactor) unblock(p place) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := t.r.hanging(t.admin).Unblock(ctx, p.topic, p.partition); err != nil && ctx.Err() == nil {
			t.r.cfg.Logger.Warn("cannot end a departed member's transaction: waiting until it times out", "topic", p.topic, "partition", p.partition, "error", err)
		}
		return nil
	}
}

// look looks for operators' marks, where anything is parked. Behind an open transaction, which may be another
// reactor's, it looks the next time instead of waiting: what it has read is in order, but not all of it.
func (t *transactor) look(ctx context.Context) error {
	t.lookedAt = time.Now()
	for _, st := range t.r.stands.all() {
		if len(st.parking.lots) == 0 {
			continue
		}
		span, err := t.ahead(ctx, st)
		if err == nil && span.To > span.From {
			var settled bool
			if settled, err = partlog.Settled(kadm.NewClient(t.admin), span)(ctx); err == nil && settled {
				err = t.catchUp(ctx, st, nil)
			}
		}
		if errors.Is(err, event.ErrCorrupt) {
			return err
		}
		if err != nil && ctx.Err() == nil {
			t.r.cfg.Logger.Warn("looking for marks of parked events failed; it is tried again", "error", err)
		}
	}
	return nil
}
