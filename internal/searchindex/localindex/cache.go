package localindex

import (
	"sync"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
)

// cache keeps the documents written last: a generation that fills up, and the one before it.
type cache struct {
	size int
	mu   struct {
		sync.Mutex
		young, old map[event.StreamID]searchindex.Document
	}
}

func newCache(size int) *cache {
	c := &cache{size: size}
	c.mu.young = map[event.StreamID]searchindex.Document{}
	return c
}

func (c *cache) add(docs []searchindex.Document) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range docs {
		if len(c.mu.young) >= c.size {
			c.mu.old, c.mu.young = c.mu.young, make(map[event.StreamID]searchindex.Document, c.size)
		}
		c.mu.young[docs[i].ID] = docs[i]
	}
}

func (c *cache) remove(ids []event.StreamID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		delete(c.mu.young, id)
		delete(c.mu.old, id)
	}
}

func (c *cache) get(id event.StreamID) (searchindex.Document, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, ok := c.mu.young[id]
	if !ok {
		d, ok = c.mu.old[id]
	}
	return d, ok
}
