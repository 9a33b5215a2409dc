package producer

import "slices"

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
