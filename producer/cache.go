package producer

import (
	"container/list"
	"sync/atomic"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
)

// loaded is a stream with its state decoded and folded.
type loaded struct {
	id   event.StreamID
	head head
	decider.Snapshot
	// stored is the version that the store has; inlined says that it has it in the head alone.
	stored  event.Version
	inlined bool
	// bytes estimates what it holds in memory: the encoded size of the state and the events folded onto it.
	bytes int
}

// budget is the memory that the caches of all open partitions share, each an equal part. Safe for
// concurrent use.
type budget struct {
	bytes int64
	open  atomic.Int64
}

// part is what one cache may use.
func (b *budget) part() int { return int(b.bytes / max(1, b.open.Load())) }

// cache keeps recently used streams of a partition decoded, up to its part of the budget. States are
// immutable, so an entry can be handed out. One goroutine uses it.
type cache struct {
	budget  *budget
	used    int
	entries map[event.StreamID]*list.Element
	order   list.List // front: most recently used
}

// entryOverhead is what an entry costs besides its state, roughly.
const entryOverhead = 400

// newCache joins those that share the budget, until close.
func newCache(b *budget) *cache {
	b.open.Add(1)
	return &cache{budget: b, entries: map[event.StreamID]*list.Element{}}
}

func (c *cache) close() {
	c.clear()
	c.budget.open.Add(-1)
}

func (c *cache) get(id event.StreamID) (*loaded, bool) {
	el, ok := c.entries[id]
	if !ok {
		return nil, false
	}
	c.order.MoveToFront(el)
	return el.Value.(*loaded), true
}

func (c *cache) put(l *loaded) {
	if el, ok := c.entries[l.id]; ok {
		c.used += l.bytes - el.Value.(*loaded).bytes
		el.Value = l
		c.order.MoveToFront(el)
	} else {
		c.entries[l.id] = c.order.PushFront(l)
		c.used += l.bytes + entryOverhead
	}
	for limit := c.budget.part(); c.used > limit && c.order.Len() > 0; {
		c.remove(c.order.Back())
	}
}

func (c *cache) remove(el *list.Element) {
	l := c.order.Remove(el).(*loaded)
	delete(c.entries, l.id)
	c.used -= l.bytes + entryOverhead
}

func (c *cache) clear() {
	clear(c.entries)
	c.order.Init()
	c.used = 0
}
