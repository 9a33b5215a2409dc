// Package topology is what exists on Kafka: the topics of every aggregate type, their partitions and
// settings; and the rule that maps a stream to its partition.
package topology

import (
	"github.com/cqrsflow/cqrsflow/event"
)

// DefaultPrefix starts the name of every topic, group and transactional ID.
const DefaultPrefix = "cqrsflow"

// Topics are the names of an aggregate type's topics. All have the same number of partitions.
type Topics struct {
	// Commands holds every command, in order.
	Commands string
	// Events is the event store.
	Events string
	// Outcomes holds one record a command: what became of it.
	Outcomes string
	// Snapshots holds states by stream, and checkpoint markers; it is compacted.
	Snapshots string
	// Parked holds pointers to the events that reactors have set aside, and operators' marks; it is compacted.
	Parked string
}

// TopicsOf names the topics of an aggregate type. An empty prefix means DefaultPrefix.
func TopicsOf(prefix, aggregate string) Topics {
	if prefix == "" {
		prefix = DefaultPrefix
	}
	base := prefix + "." + aggregate + "."
	return Topics{Commands: base + "commands", Events: base + "events", Outcomes: base + "outcomes", Snapshots: base + "snapshots", Parked: base + "parked"}
}

// All lists the names, in the order of the struct.
func (t Topics) All() []string {
	return []string{t.Commands, t.Events, t.Outcomes, t.Snapshots, t.Parked}
}

// PartitionOf is the partition of a stream: Kafka's murmur2 of the key, as Java's default partitioner
// and librdkafka's murmur2_random compute it. partitions must be positive.
func PartitionOf[K ~string | ~[]byte](key K, partitions int32) int32 {
	return int32(murmur2([]byte(key))&0x7fffffff) % partitions
}

// PartitionOfStream is PartitionOf for a stream ID.
func PartitionOfStream(id event.StreamID, partitions int32) int32 { return PartitionOf(id, partitions) }

// murmur2 is Austin Appleby's MurmurHash2, 32 bits, with the seed that Kafka's clients share
// (org.apache.kafka.common.utils.Utils.murmur2).
func murmur2(b []byte) uint32 {
	const (
		seed = 0x9747b28c
		m    = 0x5bd1e995
		r    = 24
	)
	h := uint32(seed) ^ uint32(len(b))
	for ; len(b) >= 4; b = b[4:] {
		k := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
		k *= m
		k ^= k >> r
		k *= m
		h *= m
		h ^= k
	}
	switch len(b) {
	case 3:
		h ^= uint32(b[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(b[1]) << 8
		fallthrough
	case 1:
		h ^= uint32(b[0])
		h *= m
	}
	h ^= h >> 13
	h *= m
	h ^= h >> 15
	return h
}
