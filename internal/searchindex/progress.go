package searchindex

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
)

// Progress is how far the projection has indexed one partition of a topic, and what of it is parked. It
// is stored beside the documents, as JSON: an internal key of the embedded index, a document of its own
// index in Elasticsearch.
type Progress struct {
	Aggregate string `json:"aggregate"`
	// Source is "events"; the projection reads nothing else.
	Source    string `json:"source"`
	Partition int32  `json:"partition"`
	// Owner identifies the session that took the partition over last: all others are fenced.
	Owner string `json:"owner"`
	// Generation is that of the index that was written, where the progress is not kept inside it: where
	// it is not today's, the index was made anew and the checkpoint means nothing.
	Generation string `json:"generation,omitempty"`
	// Writes counts the batches, so that a session knows a write of its own whose answer was lost.
	Writes int64 `json:"writes"`
	// Processed is false until the first batch was applied; the checkpoint means nothing before that.
	Processed bool `json:"processed"`
	// TopicID, Next and CommandOffset are the checkpoint.
	TopicID       TopicID `json:"topicId"`
	Next          int64   `json:"next"`
	CommandOffset int64   `json:"commandOffset"`
	// Held is set while readers are being switched to another version, and stays where they are: the
	// session waits, and writes nothing.
	Held bool `json:"held,omitempty"`
	// Parked are pointers to set-aside events, ordered by offset.
	Parked []Parked `json:"parked,omitempty"`
	// Healing are streams that an operator marked to be made anew.
	Healing   []Healing `json:"healing,omitempty"`
	UpdatedAt time.Time `json:"updatedAt"`
}

// TopicID is a topic's ID; its text form is 32 hexadecimal digits.
type TopicID [16]byte

// Parked is a pointer to an event that was set aside.
type Parked struct {
	Stream   event.StreamID `json:"stream"`
	Offset   int64          `json:"offset"`
	Reason   string         `json:"reason"`
	Attempts int            `json:"attempts"`
	ParkedAt time.Time      `json:"parkedAt"`
	// Retry and Dropped are an operator's marks.
	Retry   bool `json:"retry,omitempty"`
	Dropped bool `json:"dropped,omitempty"`
}

// Healing is a marked stream; Failed says why it could not be made anew.
type Healing struct {
	Stream event.StreamID `json:"stream"`
	Failed string         `json:"failed,omitempty"`
}

// MarshalText writes the hexadecimal digits.
func (t TopicID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, t[:]), nil }

// UnmarshalText reads them.
func (t *TopicID) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(t)) {
		return fmt.Errorf("a topic ID has %d hexadecimal digits, not %d", hex.EncodedLen(len(t)), len(text))
	}
	_, err := hex.Decode(t[:], text)
	return err
}

// ProgressID names the progress of a partition within the projection, such as "order.events.3".
func ProgressID(aggregate, source string, partition int32) string {
	return aggregate + "." + source + "." + strconv.Itoa(int(partition))
}

// ID is the progress's own ProgressID.
func (p *Progress) ID() string { return ProgressID(p.Aggregate, p.Source, p.Partition) }

// Position is how far commands have been applied; false before the first one.
func (p *Progress) Position() (event.Position, bool) {
	if !p.Processed || p.CommandOffset < 0 {
		return event.Position{}, false
	}
	return event.Position{Aggregate: p.Aggregate, Partition: p.Partition, Offset: p.CommandOffset}, true
}

// ByPartition orders progress by aggregate, source and partition.
func ByPartition(a, b Progress) int {
	return cmp.Or(cmp.Compare(a.Aggregate, b.Aggregate), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Partition, b.Partition))
}

// Clone returns a copy that shares nothing that changes.
func (p Progress) Clone() Progress {
	p.Parked, p.Healing = slices.Clone(p.Parked), slices.Clone(p.Healing)
	return p
}

// MarkHealing marks streams to be made anew. What failed before is forgotten.
func (p *Progress) MarkHealing(streams []event.StreamID) {
	p.Healing = slices.DeleteFunc(p.Healing, func(h Healing) bool { return h.Failed != "" })
	for _, s := range streams {
		if !slices.ContainsFunc(p.Healing, func(h Healing) bool { return h.Stream == s }) {
			p.Healing = append(p.Healing, Healing{Stream: s})
		}
	}
}

// Healed notes what became of a marked stream: it is healed, or failed for a reason.
func (p *Progress) Healed(stream event.StreamID, failed string) {
	i := slices.IndexFunc(p.Healing, func(h Healing) bool { return h.Stream == stream })
	switch {
	case i < 0:
	case failed == "":
		p.Healing = slices.Delete(p.Healing, i, i+1)
	default:
		p.Healing[i].Failed = failed
	}
}

// ToHeal are marked streams whose turn is still to come, up to limit.
func (p *Progress) ToHeal(limit int) (out []event.StreamID) {
	for _, h := range p.Healing {
		if h.Failed == "" && len(out) < limit {
			out = append(out, h.Stream)
		}
	}
	return out
}

// Park adds a pointer, or replaces the one with the same offset.
func (p *Progress) Park(x Parked) {
	i, found := slices.BinarySearchFunc(p.Parked, x.Offset, byOffset)
	if found {
		p.Parked[i] = x
		return
	}
	p.Parked = slices.Insert(p.Parked, i, x)
}

// Unpark removes the pointer with that offset, and reports whether there was one.
func (p *Progress) Unpark(offset int64) bool {
	i, found := slices.BinarySearchFunc(p.Parked, offset, byOffset)
	if found {
		p.Parked = slices.Delete(p.Parked, i, i+1)
	}
	return found
}

// IsParked reports whether events of the stream are set aside and not given up.
func (p *Progress) IsParked(stream event.StreamID) bool {
	return slices.ContainsFunc(p.Parked, func(x Parked) bool { return x.Stream == stream && !x.Dropped })
}

// Mark sets an operator's mark on the pointers of a stream that are not given up: all of them are to be
// tried again, or the first one, that which was refused, is given up and the others are to be tried. It
// returns how many are tried again, or given up.
func (p *Progress) Mark(stream event.StreamID, m Mark) int {
	n := 0
	for i := range p.Parked {
		x := &p.Parked[i]
		if x.Stream != stream || x.Dropped {
			continue
		}
		if m == Drop && n == 0 {
			x.Retry, x.Dropped, n = false, true, 1
			continue
		}
		x.Retry = true
		if m == Retry {
			n++
		}
	}
	return n
}

// Mark is what an operator wants to become of parked events.
type Mark int

// The marks.
const (
	// Retry: the partition's worker reads them again and applies them.
	Retry Mark = iota
	// Drop: the first one is given up.
	Drop
)

func byOffset(x Parked, offset int64) int { return cmp.Compare(x.Offset, offset) }
