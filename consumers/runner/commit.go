package runner

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// commits tells the group how far the sinks are. Nothing reads that back: the sinks' checkpoints say
// where to go on. It serves lag tools, so it is coalesced, and its failures are only logged.
type commits struct {
	client *kgo.Client
	log    *slog.Logger

	// sending is held over a commit, so that none is in flight once a revocation has taken it.
	sending sync.Mutex

	mu struct {
		sync.Mutex
		dirty map[string]map[int32]kgo.EpochOffset
		// gone are partitions that were forgotten while a commit was in flight, which may have them.
		gone map[partitionKey]bool
	}
}

type partitionKey struct {
	topic  string
	number int32
}

// mark notes that a partition is applied up to, not including, next.
func (c *commits) mark(p Partition, next int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.dirty == nil {
		c.mu.dirty = map[string]map[int32]kgo.EpochOffset{}
	}
	if c.mu.dirty[p.Topic] == nil {
		c.mu.dirty[p.Topic] = map[int32]kgo.EpochOffset{}
	}
	c.mu.dirty[p.Topic][p.Number] = kgo.EpochOffset{Epoch: -1, Offset: next}
}

// forget drops what is marked of a partition that is no longer owned.
func (c *commits) forget(p Partition) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.mu.dirty[p.Topic], p.Number)
	if c.mu.gone != nil {
		c.mu.gone[partitionKey{p.Topic, p.Number}] = true
	}
}

// flush commits what is marked.
func (c *commits) flush(ctx context.Context) {
	c.sending.Lock()
	defer c.sending.Unlock()
	c.mu.Lock()
	dirty := c.mu.dirty
	c.mu.dirty, c.mu.gone = nil, map[partitionKey]bool{}
	c.mu.Unlock()
	for topic, partitions := range dirty {
		if len(partitions) == 0 {
			delete(dirty, topic)
		}
	}
	if len(dirty) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	var failed error
	c.client.CommitOffsetsSync(ctx, dirty, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		failed = err
		for i := 0; failed == nil && i < len(resp.Topics); i++ {
			for _, p := range resp.Topics[i].Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					failed = err
				}
			}
		}
	})
	if failed != nil {
		c.log.Debug("committing offsets to the group failed; the next commit carries them", "error", failed)
		c.restore(dirty)
	}
}

// restore marks again what could not be committed, unless something newer is marked or the partition is
// no longer owned: another member may be further by the next commit.
func (c *commits) restore(dirty map[string]map[int32]kgo.EpochOffset) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for p := range c.mu.gone {
		delete(dirty[p.topic], p.number)
	}
	for topic, partitions := range c.mu.dirty {
		if dirty[topic] == nil {
			dirty[topic] = partitions
			continue
		}
		maps.Copy(dirty[topic], partitions)
	}
	c.mu.dirty = dirty
}

func (c *commits) run(ctx context.Context, every time.Duration) {
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			c.flush(ctx)
		}
	}
}
