package compare

import (
	"container/heap"
	"context"
	"hash/fnv"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/schemas/record"
)

// choose draws streams from those that have decisions in the range: those whose IDs have the smallest hashes. That is as
// good as random, and the same draw each time.
func choose(ctx context.Context, cfg *Config, outcomes map[int32]span, read func(int64)) (map[event.StreamID]bool, error) {
	var names record.Names
	d := draw{in: map[event.StreamID]bool{}}
	for _, s := range outcomes {
		t, err := newTail(cfg.Kafka, s, read)
		if err != nil {
			return nil, err
		}
		for {
			r, err := t.record(ctx)
			if err != nil || r == nil {
				t.close()
				if err != nil {
					return nil, err
				}
				break
			}
			o, err := record.ParseOutcome(r, cfg.Type.Name, &names)
			if err == nil && cfg.inRange(o.RecordedTime) && !o.Replayed && (o.Kind == event.Accepted || o.Kind == event.Rejected) {
				d.offer(o.Stream, cfg.Streams)
			}
		}
	}
	return d.in, nil
}

// draw keeps the streams with the smallest hashes, the largest of them on top.
type draw struct {
	heap drawn
	in   map[event.StreamID]bool
}

func (d *draw) offer(id event.StreamID, size int) {
	h := hash(id)
	switch {
	case d.in[id]:
		return
	case len(d.heap) < size:
	case h < d.heap[0].hash:
		delete(d.in, heap.Pop(&d.heap).(ticket).id)
	default:
		return
	}
	heap.Push(&d.heap, ticket{h, id})
	d.in[id] = true
}

// hash is FNV-1a, mixed as MurmurHash3 does in the end: alone, it keeps similar IDs together.
func hash(id event.StreamID) uint64 {
	f := fnv.New64a()
	_, _ = f.Write([]byte(id))
	h := f.Sum64()
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

type ticket struct {
	hash uint64
	id   event.StreamID
}

type drawn []ticket

func (d drawn) Len() int           { return len(d) }
func (d drawn) Less(i, j int) bool { return d[i].hash > d[j].hash }
func (d drawn) Swap(i, j int)      { d[i], d[j] = d[j], d[i] }
func (d *drawn) Push(x any)        { *d = append(*d, x.(ticket)) }
func (d *drawn) Pop() any {
	last := (*d)[len(*d)-1]
	*d = (*d)[:len(*d)-1]
	return last
}
