package runner

import (
	"cmp"
	"slices"

	"github.com/cqrsflow/cqrsflow/event"
)

// parking is what is set aside of a partition, by stream, in offset order. It mirrors the store's pointers.
type parking struct {
	byStream map[event.StreamID]*lot
	parked   int // lots that park their stream
}

// lot is what is set aside of one stream.
type lot struct {
	pointers []Pointer // not dropped
	dropped  []int64
}

func (p *parking) load(pointers []Pointer) {
	p.byStream, p.parked = nil, 0
	for _, ptr := range pointers {
		p.add(ptr)
	}
}

func (p *parking) add(ptr Pointer) {
	if p.byStream == nil {
		p.byStream = map[event.StreamID]*lot{}
	}
	l := p.byStream[ptr.Stream]
	if l == nil {
		l = &lot{}
		p.byStream[ptr.Stream] = l
	}
	if ptr.Dropped {
		l.dropped = append(l.dropped, ptr.Offset)
		return
	}
	at, found := slices.BinarySearchFunc(l.pointers, ptr.Offset, func(q Pointer, o int64) int { return cmp.Compare(q.Offset, o) })
	if found {
		l.pointers[at] = ptr
		return
	}
	l.pointers = slices.Insert(l.pointers, at, ptr)
	if len(l.pointers) == 1 {
		p.parked++
	}
}

// remove forgets pointers.
func (p *parking) remove(stream event.StreamID, offsets []int64) {
	l := p.byStream[stream]
	if l == nil {
		return
	}
	gone := func(o int64) bool { return slices.Contains(offsets, o) }
	had := len(l.pointers) > 0
	l.pointers = slices.DeleteFunc(l.pointers, func(q Pointer) bool { return gone(q.Offset) })
	l.dropped = slices.DeleteFunc(l.dropped, gone)
	if had && len(l.pointers) == 0 {
		p.parked--
	}
	if len(l.pointers) == 0 && len(l.dropped) == 0 {
		delete(p.byStream, stream)
	}
}

// holds reports whether the stream's events are to be set aside.
func (p *parking) holds(stream event.StreamID) bool {
	if p.parked == 0 {
		return false
	}
	l := p.byStream[stream]
	return l != nil && len(l.pointers) > 0
}

// gap returns the dropped pointers of a stream that flows.
func (p *parking) gap(stream event.StreamID) []int64 {
	if len(p.byStream) == 0 {
		return nil
	}
	if l := p.byStream[stream]; l != nil {
		return l.dropped
	}
	return nil
}

// any reports whether there is anything that an operator may act on.
func (p *parking) any() bool { return p.parked > 0 }

// streams counts the parked ones.
func (p *parking) streams() int { return p.parked }

// due returns up to limit pointers, in offset order, of streams of which an operator marked a pointer
// for another try, or whose first one has never been tried: it was set aside behind another one while an
// operator dropped that. Of each stream it returns a prefix, so that order is kept.
func (p *parking) due(limit int) []Pointer {
	var out []Pointer
	for _, l := range p.byStream {
		if len(l.pointers) > 0 && (l.pointers[0].Attempts == 0 || slices.ContainsFunc(l.pointers, func(q Pointer) bool { return q.Retry })) {
			out = append(out, l.pointers...)
		}
	}
	slices.SortFunc(out, func(a, b Pointer) int { return cmp.Compare(a.Offset, b.Offset) })
	if len(out) > limit {
		out = out[:limit]
	}
	return out
}
