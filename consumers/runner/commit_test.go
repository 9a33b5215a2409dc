package runner

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
)

// What could not be committed is committed with the next: unless something newer is marked, and whatever other topics were
// marked meanwhile.
func TestFailedCommitIsCarried(t *testing.T) {
	var c commits
	c.mark(Partition{Topic: "order.events", Number: 0}, 5)
	c.mark(Partition{Topic: "order.events", Number: 1}, 6)
	sent := c.mu.dirty
	c.mu.dirty = nil
	c.mark(Partition{Topic: "order.events", Number: 1}, 8)
	c.mark(Partition{Topic: "customer.events", Number: 0}, 2)
	c.restore(sent)
	at := func(offset int64) kgo.EpochOffset { return kgo.EpochOffset{Epoch: -1, Offset: offset} }
	want := map[string]map[int32]kgo.EpochOffset{"order.events": {0: at(5), 1: at(8)}, "customer.events": {0: at(2)}}
	if diff := cmp.Diff(want, c.mu.dirty); diff != "" {
		t.Error(diff)
	}
}
