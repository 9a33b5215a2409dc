package producer

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

// watched is a balancer that tells of every assignment as the group sends it. The session tells of one
// revocation only until a transaction has ended; what this one hears is what the worker really has.
type watched struct {
	kgo.GroupBalancer
	assigned func(map[string][]int32)
}

// ParseSyncAssignment is called with each assignment, before anything is revoked because of it.
func (b watched) ParseSyncAssignment(data []byte) (map[string][]int32, error) {
	m, err := b.GroupBalancer.ParseSyncAssignment(data)
	if err == nil {
		b.assigned(m)
	}
	return m, err
}

// share notes what the group has assigned to the worker.
func (w *worker) share(m map[string][]int32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.share = m
}

// reconcile gives up the partitions that the group has taken without the session telling of it.
func (w *worker) reconcile() {
	gone := map[string][]int32{}
	w.mu.Lock()
	for tp := range w.mu.owned {
		if !slices.Contains(w.mu.share[tp.topic], tp.number) {
			gone[tp.topic] = append(gone[tp.topic], tp.number)
		}
	}
	w.mu.Unlock()
	if len(gone) > 0 {
		w.log.Info("giving up partitions that the group took during a transaction", "partitions", gone)
		w.revoked(gone, false)
	}
}
