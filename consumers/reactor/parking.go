package reactor

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/event"
)

// parking is what a reactor has set aside of one partition: the fold of its records in the partition of the parked
// topic, in their order. It is not safe for concurrent use.
type parking struct {
	reactor string
	lots    map[event.StreamID]*lot
	streams map[int64]event.StreamID // by offset of a pointer
	marks   map[event.StreamID]mark
	// next is the offset of the parked topic from which on it has not been read.
	next int64
}

// lot is what is parked of one stream, in offset order; never empty.
type lot []pointer

func newParking(reactor string) *parking {
	return &parking{reactor: reactor, lots: map[event.StreamID]*lot{}, streams: map[int64]event.StreamID{}, marks: map[event.StreamID]mark{}}
}

// fold takes a record of the parked topic. Pointers count inside transactions only, operators' marks outside only: a
// worker may do nothing but take a mark off. Records of other reactors are passed over, and so are marks that cannot be
// read. A pointer that cannot be read is event.ErrCorrupt: going on without it would be losing it.
func (p *parking) fold(r *kgo.Record) error {
	p.next = max(p.next, r.Offset+1)
	rest, ok := strings.CutPrefix(string(r.Key), p.reactor)
	if !ok {
		return nil
	}
	if stream, ok := strings.CutPrefix(rest, markSign); ok {
		m, err := parseMark(r.Value)
		switch {
		case r.Value == nil:
			delete(p.marks, event.StreamID(stream))
		case err == nil && !r.Attrs.IsTransactional():
			p.marks[event.StreamID(stream)] = m
		}
		return nil
	}
	offset, ok := strings.CutPrefix(rest, pointerSign)
	if !ok || !r.Attrs.IsTransactional() {
		return nil
	}
	at, err := strconv.ParseInt(offset, 10, 64)
	var ptr pointer
	if err == nil && r.Value != nil {
		ptr, err = parsePointer(at, r.Value)
	}
	switch {
	case err != nil:
		return fmt.Errorf("%w: the pointer %q at %s/%d@%d cannot be read: %w; run the version that wrote it", event.ErrCorrupt, r.Key, r.Topic, r.Partition, r.Offset, err)
	case r.Value == nil:
		p.remove(at)
	default:
		p.put(ptr)
	}
	return nil
}

func (p *parking) put(ptr pointer) {
	if s, ok := p.streams[ptr.Offset]; ok && s != ptr.Stream { // of a log that was lost
		p.remove(ptr.Offset)
	}
	l := p.lots[ptr.Stream]
	if l == nil {
		l = &lot{}
		p.lots[ptr.Stream] = l
	}
	p.streams[ptr.Offset] = ptr.Stream
	at, found := slices.BinarySearchFunc(*l, ptr.Offset, func(q pointer, o int64) int { return cmp.Compare(q.Offset, o) })
	if found {
		(*l)[at] = ptr
		return
	}
	*l = slices.Insert(*l, at, ptr)
}

func (p *parking) remove(offset int64) {
	stream, ok := p.streams[offset]
	if !ok {
		return
	}
	delete(p.streams, offset)
	l := p.lots[stream]
	if *l = slices.DeleteFunc(*l, func(q pointer) bool { return q.Offset == offset }); len(*l) == 0 {
		delete(p.lots, stream)
	}
}

// at returns what is parked of an offset.
func (p *parking) at(offset int64) (pointer, bool) {
	l := p.lots[p.streams[offset]]
	if l == nil {
		return pointer{}, false
	}
	i, ok := slices.BinarySearchFunc(*l, offset, func(q pointer, o int64) int { return cmp.Compare(q.Offset, o) })
	if !ok {
		return pointer{}, false
	}
	return (*l)[i], true
}

// holds returns the offset of the event that the stream is parked by.
func (p *parking) holds(stream event.StreamID) (first int64, held bool) {
	if l := p.lots[stream]; l != nil {
		return (*l)[0].Offset, true
	}
	return 0, false
}

// wish is what an operator wants of the stream now; empty for nothing. A mark counts for the event that it was made
// for, after as many attempts.
func (p *parking) wish(stream event.StreamID) action {
	l := p.lots[stream]
	if l == nil {
		return ""
	}
	first := (*l)[0]
	if m, ok := p.marks[stream]; ok && m.offset == first.Offset && m.attempts == first.Attempts {
		return m.action
	}
	if slices.ContainsFunc(*l, func(q pointer) bool { return q.Retry }) {
		return retry
	}
	return ""
}

// due returns up to limit pointers, in offset order, of streams that an operator wants something of. Of each stream it
// is a prefix, so that order is kept; the first of those that are to be given up are Dropped.
func (p *parking) due(limit int) []pointer {
	var out []pointer
	for stream, l := range p.lots {
		if a := p.wish(stream); a != "" {
			at := len(out)
			out = append(out, *l...)
			out[at].Dropped = a == drop
		}
	}
	slices.SortFunc(out, func(a, b pointer) int { return cmp.Compare(a.Offset, b.Offset) })
	return out[:min(limit, len(out))]
}

// list returns all pointers, as operators are to see them: in offset order, those Retry that are to be tried again and
// those Dropped that are given up.
func (p *parking) list() []pointer {
	var out []pointer
	for stream, l := range p.lots {
		a := p.wish(stream)
		for i, ptr := range *l {
			ptr.Retry, ptr.Dropped = a == retry || a == drop && i > 0, a == drop && i == 0
			out = append(out, ptr)
		}
	}
	slices.SortFunc(out, func(a, b pointer) int { return cmp.Compare(a.Offset, b.Offset) })
	return out
}
