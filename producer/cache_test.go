package producer

import (
	"fmt"
	"testing"

	"github.com/cqrsflow/cqrsflow/event"
)

// The caches of all open partitions share one budget: with another one open each has less, and with
// one closed more again.
func TestCachesShareABudget(t *testing.T) {
	const size, entries = 1000, 40
	b := &budget{bytes: entries * (size + entryOverhead)}
	fill := func(c *cache) int {
		for i := range 2 * entries {
			c.put(&loaded{id: event.StreamID(fmt.Sprint(i)), bytes: size})
		}
		if c.used != c.order.Len()*(size+entryOverhead) || len(c.entries) != c.order.Len() {
			t.Errorf("%d entries, %d in order, use %d bytes", len(c.entries), c.order.Len(), c.used)
		}
		return c.order.Len()
	}
	first := newCache(b)
	if n := fill(first); n != entries {
		t.Errorf("alone it keeps %d, want %d", n, entries)
	}
	second := newCache(b)
	if n := fill(second) + fill(first); n != entries {
		t.Errorf("two keep %d, want %d", n, entries)
	}
	if _, ok := first.get("0"); ok {
		t.Error("the oldest entry is still there")
	}
	second.close()
	if n := fill(first); n != entries {
		t.Errorf("alone again it keeps %d, want %d", n, entries)
	}
}
