package searchsink

import (
	"github.com/cqrsflow/cqrsflow/consumers/rebuild"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
	"github.com/cqrsflow/cqrsflow/topology"
)

// Versions are those of a registry as package rebuild has them; healing are the marks in the active one.
func Versions(r *searchindex.Registry, healing int) []rebuild.Version {
	out := make([]rebuild.Version, len(r.Versions))
	for i, v := range r.Versions {
		out[i] = Version(v)
		if v.State == searchindex.Active {
			out[i].Healing = healing
		}
	}
	return out
}

// Version is a version as package rebuild has it.
func Version(v searchindex.Version) rebuild.Version {
	out := rebuild.Version{Number: v.Number, Shape: v.Shape, State: rebuild.State(v.State), Began: v.Began, Switched: v.Switched}
	if v.State == searchindex.Switching {
		out.State = rebuild.Building
	}
	return out
}

// Places are how far the partitions are.
func Places(all []searchindex.Progress) []rebuild.Place {
	var out []rebuild.Place
	for _, p := range all {
		if p.Processed {
			out = append(out, rebuild.Place{Aggregate: p.Aggregate, Source: runner.Source(p.Source), Partition: p.Partition, TopicID: p.TopicID, Next: p.Next})
		}
	}
	return out
}

// Healing lists the marks.
func Healing(all []searchindex.Progress) []rebuild.Healing {
	var out []rebuild.Healing
	for _, p := range all {
		for _, h := range p.Healing {
			out = append(out, rebuild.Healing{Aggregate: p.Aggregate, Stream: h.Stream, Failed: h.Failed})
		}
	}
	return out
}

// Waiting counts the marks whose turn is still to come.
func Waiting(all []searchindex.Progress) int {
	n := 0
	for i := range all {
		n += len(all[i].ToHeal(len(all[i].Healing)))
	}
	return n
}

// ByProgress sorts streams to the names of the progress of their partitions.
func ByProgress(aggregate string, partitions int32, streams []event.StreamID) map[string][]event.StreamID {
	out := map[string][]event.StreamID{}
	for _, s := range streams {
		id := searchindex.ProgressID(aggregate, string(runner.Events), topology.PartitionOfStream(s, partitions))
		out[id] = append(out[id], s)
	}
	return out
}
