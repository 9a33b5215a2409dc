package searchsink

import (
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
)

// ParkedEvent is a set-aside event and the partition that it is in.
type ParkedEvent struct {
	Aggregate string
	Source    runner.Source
	Partition int32
	runner.Pointer
}

// ParkedEvents lists what is parked of all partitions, in the order given.
func ParkedEvents(all []searchindex.Progress) []ParkedEvent {
	var out []ParkedEvent
	for _, p := range all {
		for _, x := range Pointers(p) {
			out = append(out, ParkedEvent{Aggregate: p.Aggregate, Source: runner.Source(p.Source), Partition: p.Partition, Pointer: x})
		}
	}
	return out
}
