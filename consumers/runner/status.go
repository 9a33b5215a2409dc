package runner

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Status is how a projection stands.
type Status struct {
	Projection string
	Version    int
	Ready      bool
	// Reason says why it is not ready.
	Reason string
	// Partitions are those that this member owns, by topic and number.
	Partitions []PartitionStatus
}

// PartitionStatus is how one partition stands.
type PartitionStatus struct {
	Partition  Partition
	State      State
	Reason     string
	Checkpoint Checkpoint
	// End is the log's end as last seen, Lag how many offsets the checkpoint is behind it; -1 where not known.
	End, Lag int64
	// Parked counts parked streams, Foreign records that cqrsflow did not write.
	Parked  int
	Foreign int64
	// Applied counts events and outcomes, Batches their batches, since the partition was assigned.
	Applied, Batches int64
	// AppliedThrough is the recorded time of the last one applied; zero before the first.
	AppliedThrough time.Time
	// Failing is since when the sink fails; zero while it does not.
	Failing time.Time
}

// Status returns how the projection stands, without asking anybody. It is safe for concurrent use.
func (r *Runner) Status() Status {
	s := Status{Projection: r.cfg.Name, Version: r.cfg.Version}
	r.mu.Lock()
	workers := make([]*worker, 0, len(r.mu.workers))
	for _, w := range r.mu.workers {
		workers = append(workers, w)
	}
	joined, targets, trouble := r.mu.joined, r.mu.targets, r.mu.trouble
	r.mu.Unlock()
	s.Ready = true
	not := func(format string, args ...any) {
		if s.Ready {
			s.Ready, s.Reason = false, fmt.Sprintf(format, args...)
		}
	}
	switch {
	case !joined && trouble != "":
		not("the consumer group is not joined: %s", trouble)
	case !joined:
		not("the consumer group is not joined yet")
	case targets == nil:
		not("the log's end is not known yet")
	}
	for _, w := range workers {
		w.mu.Lock()
		st := w.mu.status
		st.Failing = w.mu.failing
		w.mu.Unlock()
		st.Lag = -1
		if st.End >= 0 {
			st.Lag = max(0, st.End-st.Checkpoint.Next)
		}
		s.Partitions = append(s.Partitions, st)
	}
	slices.SortFunc(s.Partitions, func(a, b PartitionStatus) int {
		return cmp.Or(cmp.Compare(a.Partition.Topic, b.Partition.Topic), cmp.Compare(a.Partition.Number, b.Partition.Number))
	})
	for _, st := range s.Partitions {
		if st.State == Stopped { // first: the others' reasons go away by themselves
			not("%s stopped: %s", st.Partition, st.Reason)
		}
	}
	for _, st := range s.Partitions {
		switch {
		case !st.Failing.IsZero() && time.Since(st.Failing) > r.cfg.UnreadyAfter:
			not("%s fails since %s: %s", st.Partition, st.Failing.UTC().Format(time.RFC3339), st.Reason)
		case st.State == Opening:
			not("%s is being opened", st.Partition)
		case targets != nil && !r.reached(st, targets):
			not("%s has %d records to go", st.Partition, targets[st.Partition.key()]-st.Checkpoint.Next)
		}
	}
	return s
}

// reached reports whether a partition has been at the log's end as of start, now or before.
func (r *Runner) reached(st PartitionStatus, targets map[key]int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := st.Partition.key()
	if !r.mu.passed[k] && st.Checkpoint.Next >= targets[k] {
		r.mu.passed[k] = true
	}
	return r.mu.passed[k]
}

// Ready reports whether the projection has reached the log's end as of start on every partition that
// it owns, and none of them has stopped or fails for too long; and the reason if not.
func (r *Runner) Ready() (bool, string) {
	s := r.Status()
	return s.Ready, s.Reason
}
