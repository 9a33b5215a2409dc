package vault

import (
	"container/list"
	"crypto/cipher"
	"sync"
	"time"
)

// cache keeps keys for a while: at most size of them, the least recently used goes first, and none is older than ttl, counted
// from before it was read. It is safe for concurrent use.
type cache struct {
	size int
	ttl  time.Duration
	now  func() time.Time

	mu     sync.Mutex
	order  *list.List // of *entry, the most recently used first
	byUser map[string]*list.Element
	// drops counts drop: what was being read meanwhile may be from before.
	drops uint64
}

type entry struct {
	user string
	aead cipher.AEAD
	read time.Time
}

// loading is when a key began to be read.
type loading struct {
	at    time.Time
	drops uint64
}

func newCache(size int, ttl time.Duration, now func() time.Time) *cache {
	return &cache{size: size, ttl: ttl, now: now, order: list.New(), byUser: map[string]*list.Element{}}
}

func (c *cache) get(user string) cipher.AEAD {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byUser[user]
	if !ok {
		return nil
	}
	if c.now().Sub(e.Value.(*entry).read) >= c.ttl {
		c.remove(e)
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(*entry).aead
}

// begin is called before a key is read.
func (c *cache) begin() loading {
	c.mu.Lock()
	defer c.mu.Unlock()
	return loading{c.now(), c.drops}
}

// put keeps a key that was read, unless one was dropped meanwhile.
func (c *cache) put(user string, aead cipher.AEAD, l loading) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.drops != l.drops {
		return
	}
	if e, ok := c.byUser[user]; ok {
		c.remove(e)
	}
	for len(c.byUser) >= c.size {
		c.remove(c.order.Back())
	}
	c.byUser[user] = c.order.PushFront(&entry{user, aead, l.at})
}

func (c *cache) drop(user string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.drops++
	if e, ok := c.byUser[user]; ok {
		c.remove(e)
	}
}

func (c *cache) remove(e *list.Element) {
	delete(c.byUser, e.Value.(*entry).user)
	c.order.Remove(e)
}

func (c *cache) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.byUser)
}
