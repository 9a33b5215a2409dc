package localindex

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/blevesearch/bleve/v2"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
)

// maxPending is how many batches may be waiting to become durable: it bounds the memory that a busy sink
// takes while the disk is slow.
const maxPending = 64

// roomTimeout is how long a batch waits for earlier ones to become durable before the disk counts as down.
const roomTimeout = 10 * time.Second

// Write indexes documents, forgets those of streams that are gone, and stores a partition's progress, in
// one step. The documents, and what they hold, must not be changed afterwards. One caller at a time may write a partition. It fails with
// event.ErrUnavailable where the disk does not take what was written before.
func (x *Index) Write(ctx context.Context, p searchindex.Progress, docs []searchindex.Document, gone ...event.StreamID) error {
	if err := x.acquire(ctx); err != nil {
		return fmt.Errorf("write search index %s: %w", x.path, err)
	}
	release := func() { <-x.room }
	b := x.bleve.NewBatch()
	id := p.ID()
	if err := fill(b, &p, docs); err != nil {
		release()
		return err
	}
	for _, id := range gone {
		b.Delete(string(id))
	}
	if _, listed := x.Progress(id); !listed {
		// Lists must reach the index in the order in which they were made.
		x.listing.Lock()
		defer x.listing.Unlock()
		list, err := json.Marshal(x.ids(id))
		if err != nil {
			release()
			return fmt.Errorf("encode the list of partitions: %w", err)
		}
		b.SetInternal(keyProgress, list)
	}
	b.SetPersistedCallback(func(err error) {
		if err == nil {
			x.durable()
		}
		release()
	})
	if err := x.bleve.Batch(b); err != nil {
		release()
		return fmt.Errorf("%w: write search index %s: %w", event.ErrUnavailable, x.path, err)
	}
	x.docs.add(docs)
	x.docs.remove(gone)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.mu.progress[id] = p
	x.announce()
	return nil
}

// acquire waits for room for one more pending batch.
func (x *Index) acquire(ctx context.Context) error {
	x.mu.RLock()
	closed := x.mu.closed
	x.mu.RUnlock()
	if closed {
		return fmt.Errorf("%w: it is closed", event.ErrUnavailable)
	}
	if err := x.refused(); err != nil {
		return fmt.Errorf("%w: %w", event.ErrUnavailable, err)
	}
	select {
	case x.room <- struct{}{}:
		return nil
	default:
	}
	full := time.NewTimer(roomTimeout)
	defer full.Stop()
	look := time.NewTicker(persistEvery)
	defer look.Stop()
	for {
		select {
		case x.room <- struct{}{}:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-look.C:
			if err := x.refused(); err != nil {
				return fmt.Errorf("%w: %w", event.ErrUnavailable, err)
			}
		case <-full.C:
			return fmt.Errorf("%w: %d batches are waiting for the disk", event.ErrUnavailable, maxPending)
		}
	}
}

func fill(b *bleve.Batch, p *searchindex.Progress, docs []searchindex.Document) error {
	for i := range docs {
		d, err := newDocument(&docs[i])
		if err != nil {
			return err
		}
		if err := b.IndexAdvanced(d); err != nil {
			return fmt.Errorf("index order %s: %w", docs[i].ID, err)
		}
	}
	value, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("encode the progress of %s: %w", p.ID(), err)
	}
	b.SetInternal(progressKey(p.ID()), value)
	return nil
}

// ids lists the partitions that have progress, and one more.
func (x *Index) ids(more string) []string {
	x.mu.RLock()
	defer x.mu.RUnlock()
	ids := append(slices.Collect(maps.Keys(x.mu.progress)), more)
	slices.Sort(ids)
	return slices.Compact(ids)
}
