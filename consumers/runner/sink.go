package runner

import (
	"context"
	"fmt"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
)

// Source says which of an aggregate type's topics a partition belongs to.
type Source string

// The sources that a projection can read.
const (
	Events   Source = "events"
	Outcomes Source = "outcomes"
)

// Partition is what a projection's worker owns at a time.
type Partition struct {
	Aggregate string
	Source    Source
	Topic     string
	// TopicID tells a topic from another one that was made later under the same name, and from itself before it lost
	// records (topology.Acceptance.Incarnation).
	TopicID [16]byte
	Number  int32
}

// String is "order.events/3", for logs.
func (p Partition) String() string {
	return fmt.Sprintf("%s.%s/%d", p.Aggregate, p.Source, p.Number)
}

// Checkpoint is how far a projection has durably processed a partition. The zero Checkpoint is "from the start".
type Checkpoint struct {
	TopicID [16]byte
	// Next is the offset to read next.
	Next int64
	// CommandOffset is the offset of the last command whose last event has been applied; -1 before the first.
	CommandOffset int64
}

// Batch is what a sink applies in one step: the changes, what is parked, and the checkpoint. It and
// everything in it belong to the sink until Apply returns; keep nothing of it.
type Batch struct {
	Partition Partition
	// From is the checkpoint that the store must still have, To the one after the batch. In a drain of
	// parked events they are equal.
	From, To Checkpoint
	// Events are decoded and of the types that the projection wants, in offset order. Outcomes likewise.
	Events   []event.Recorded
	Outcomes []event.Outcome
	// Park are pointers to add, or to replace where one with the same offset is there. Unpark are the
	// offsets of pointers that the batch has drained: where one of them is gone, somebody else drained
	// or dropped it, and the batch fails whole with event.ErrFenced.
	Park   []Pointer
	Unpark []int64
	// Gaps are streams of which an operator dropped events: their versions may jump in this batch.
	// In every other stream a jump is event.ErrCorrupt.
	Gaps map[event.StreamID]bool
	// Heal are marked streams, see Healer: what is stored of them is to be forgotten before Events are
	// applied, which then have all of theirs up to the checkpoint, and their marks are to be removed. From
	// and To are equal. Of one that failed, the mark is to say so, and nothing else changes.
	Heal []Healing
}

// Healing is a marked stream; Failed says why it cannot be healed, and is empty where it can.
type Healing struct {
	Stream event.StreamID
	Failed string
}

// Pointer is a parked event: where it stands in the log and why it was set aside.
type Pointer struct {
	Stream   event.StreamID
	Offset   int64
	Reason   string
	Attempts int
	ParkedAt time.Time
	// Retry is set by an operator: the partition's worker drains it, with everything parked of its stream.
	Retry bool
	// Dropped is set by an operator: the event is given up. The pointer stays, no longer parking its
	// stream, until the stream's next event is applied across the gap that it leaves (Batch.Gaps).
	Dropped bool
}

// Poison is a sink's refusal of one event: its stream is parked from there on.
type Poison struct {
	// Offset is the event's offset in the batch's partition.
	Offset int64
	Stream event.StreamID
	Err    error
}

// Error says which event was refused and why.
func (p *Poison) Error() string {
	return fmt.Sprintf("event at offset %d of stream %s: %v", p.Offset, p.Stream, p.Err)
}

// Unwrap returns the reason.
func (p *Poison) Unwrap() error { return p.Err }

// Refuse is what Apply returns for an event that the read model cannot take.
func Refuse(e *event.Recorded, err error) error {
	return &Poison{Offset: e.Offset, Stream: e.Stream, Err: err}
}

// Follows says whether an event comes next after the version that is stored: false where it has been
// applied before. A gap is event.ErrCorrupt, unless an operator left it.
func (b *Batch) Follows(e *event.Recorded, stored event.Version) (bool, error) {
	switch {
	case e.Version <= stored:
		return false, nil
	case e.Version != stored+1 && !b.Gaps[e.Stream]:
		return false, fmt.Errorf("%w: %s/%s has version %d at offset %d, after %d", event.ErrCorrupt, e.Aggregate, e.Stream, e.Version, e.Offset, stored)
	}
	return true, nil
}

// Sink is a store that a projection writes to. It is safe for concurrent use.
type Sink interface {
	// Open takes over a partition. event.ErrUnavailable is tried again.
	Open(ctx context.Context, p Partition) (Session, error)
}

// Session is a sink's side of one owned partition; one goroutine uses it.
type Session interface {
	// Checkpoint is where to go on; false where the partition has never been processed.
	Checkpoint() (Checkpoint, bool)
	// Parked returns the pointers of the partition, in offset order.
	Parked(ctx context.Context) ([]Pointer, error)
	// Apply makes the batch durable, all of it or nothing that a repeat would not put right. Its error
	// is a *Poison (that stream is parked and the rest tried again), event.ErrFenced (somebody else
	// owns the partition: give it up), or event.ErrUnavailable (try again later; never skip).
	Apply(ctx context.Context, b *Batch) error
	// Close gives the partition up. Nothing is acknowledged after it.
	Close() error
}

// Healer is a Session whose store can make single streams anew, where an operator marks them.
type Healer interface {
	// ToHeal returns marked streams of the partition that have not failed yet, up to limit.
	ToHeal(ctx context.Context, limit int) ([]event.StreamID, error)
}
