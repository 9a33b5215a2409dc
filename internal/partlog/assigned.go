package partlog

import "github.com/twmb/franz-go/pkg/kgo"

// Watched is a balancer that tells of every assignment as the group sends it, before anything is revoked
// because of it: a transactional session tells of one revocation only until a transaction has ended.
type Watched struct {
	kgo.GroupBalancer
	// Assigned is called with all that is assigned, from the client's own goroutine.
	Assigned func(map[string][]int32)
}

// ParseSyncAssignment implements kgo.GroupBalancer.
func (b Watched) ParseSyncAssignment(data []byte) (map[string][]int32, error) {
	m, err := b.GroupBalancer.ParseSyncAssignment(data)
	if err == nil {
		b.Assigned(m)
	}
	return m, err
}
