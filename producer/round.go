package producer

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/event"
	cqrsflowv1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/v1"
)

// A checkpoint round writes the state of every stream that changed since the last one into the
// compacted snapshots topic, a few in each transaction, and then a marker. Whoever has lost the local
// store reads the snapshots and goes on from the marker, instead of reading all events.
//
// The snapshots ride on transactions that commit a command offset of the same partition: a transaction
// without offsets would not be fenced when the partition has moved (KIP-447). So an idle partition
// finishes its round with the next command.

// markerKey is the key of a partition's marker; '!' cannot start a stream ID.
const markerKey = "!checkpoint"

// round is the state of a partition's checkpoint rounds.
type round struct {
	// events counts what was appended since the last round began; last is when that was.
	events int64
	last   time.Time
	// active: a round has begun; marker says where, after is the last stream written.
	active bool
	marker cqrsflowv1.CheckpointMarker
	after  event.StreamID
	// incomplete: a stream has no snapshot, so the round gets no marker, which would speak for all.
	incomplete bool
}

// due reports whether a round should begin.
func (p *partition) due(now time.Time) bool {
	r := &p.round
	return r.events >= p.limits.roundEvents || r.events > 0 && now.Sub(r.last) >= p.limits.roundAge
}

// advance adds the next snapshots of a round to the transaction, which must be empty so far: the
// states are those that the log has. It begins a round where one is due.
func (p *partition) advance(now time.Time, emit emit) error {
	r := &p.round
	if !r.active {
		if !p.due(now) {
			return nil
		}
		r.active, r.incomplete, r.after, r.events, r.last = true, false, "", 0, now
		r.marker = cqrsflowv1.CheckpointMarker{EventOffset: p.cp.NextEvent, AppendOffset: p.cp.LastAppend + 1, CommandOffset: p.cp.NextCommand,
			TopicId: fmt.Sprintf("%x", p.cp.EventsID), RecordedTimeUnixNano: now.UnixNano(), Fingerprint: p.cp.Fingerprint, LossEpoch: p.cp.Loss}
	}
	var streams []event.StreamID
	if err := p.store.dirty(r.after, p.limits.roundStep, func(id event.StreamID) { streams = append(streams, id) }); err != nil {
		return fmt.Errorf("checkpoint round of %s: %w", p, err)
	}
	for _, id := range streams {
		rec, snap, err := p.snapshotRecord(id)
		if err != nil {
			return fmt.Errorf("checkpoint round of %s: %w", p, err)
		}
		p.over.after = id
		if rec == nil {
			r.incomplete = true
			continue
		}
		emit(rec)
		p.over.snapshots = append(p.over.snapshots, snap)
	}
	p.over.roundDone = len(streams) < p.limits.roundStep
	if p.over.roundDone && !r.incomplete {
		value, err := proto.Marshal(&r.marker)
		if err != nil {
			return fmt.Errorf("checkpoint round of %s: %w", p, err)
		}
		emit(&kgo.Record{Topic: p.topics.Snapshots, Partition: p.number, Key: []byte(markerKey), Value: value})
	}
	return nil
}

// snapshot is a stream whose state a transaction has put into the snapshots topic.
type snapshot struct {
	*loaded
	encoded []byte
}

// snapshotRecord is the record of a stream's state; nil where it cannot be read or is too large, as
// then the events have to do.
func (p *partition) snapshotRecord(id event.StreamID) (*kgo.Record, snapshot, error) {
	l, err := p.load(id)
	if err != nil && !unreadable(err) {
		return nil, snapshot{}, err
	}
	if err != nil {
		return nil, snapshot{}, nil //nolint:nilerr // a stream that cannot be replayed gets no snapshot; its commands are rejected with the reason
	}
	state, err := p.encodeState(l.State)
	if err != nil || len(state) > p.limits.eventBytes {
		return nil, snapshot{}, nil //nolint:nilerr // likewise
	}
	value, err := proto.Marshal(&cqrsflowv1.Snapshot{Version: int64(l.Version), EventOffset: l.head.Offset, CodecVersion: p.typ.Codec.Version(),
		Fingerprint: p.typ.Fingerprint, State: state, RecordedTimeUnixNano: l.head.RecordedTime, EffectiveTimeMaxUnixNano: l.head.EffectiveMax,
		Hash: hashOf(state), LossEpoch: p.cp.Loss})
	return &kgo.Record{Topic: p.topics.Snapshots, Partition: p.number, Key: []byte(id), Value: value}, snapshot{l, state}, err
}

func hashOf(state []byte) []byte {
	sum := sha256.Sum256(state)
	return sum[:8]
}

// rounded adds to the batch what a committed transaction did for the round.
func (p *partition) rounded(b *pebble.Batch) error {
	if p.over.after == "" && !p.over.roundDone {
		return nil
	}
	p.round.after = max(p.round.after, p.over.after)
	for _, s := range p.over.snapshots {
		if _, changed := p.over.streams[s.id]; changed {
			continue // dirty again: the snapshot is of the state before
		}
		if err := b.Delete(append([]byte{kDirty}, s.id...), nil); err != nil {
			return err
		}
		// Cached or not, the state stays what it is; should the batch fail, the cache is emptied.
		s.head.Dirty = false
		h := s.head
		if s.inlined {
			h.Inline = append([]byte{}, s.encoded...) // an empty state is one, too
		}
		if err := b.Set(append([]byte{kHead}, s.id...), h.append(nil), nil); err != nil {
			return err
		}
	}
	if p.over.roundDone {
		p.round.active = false
	}
	return nil
}

// parseSnapshot reads a snapshot record; ok is false where it is damaged or of another codec or fold.
// One of an earlier epoch tells of events that may be lost: it is old, and nothing else is said of it.
func (p *partition) parseSnapshot(r *kgo.Record) (h head, state []byte, old, ok bool) {
	var s cqrsflowv1.Snapshot
	if err := proto.Unmarshal(r.Value, &s); err == nil && s.LossEpoch < p.cp.Loss {
		return h, nil, true, true
	}
	if s.LossEpoch > p.cp.Loss || proto.Unmarshal(r.Value, &s) != nil || s.CodecVersion != p.typ.Codec.Version() || s.Fingerprint != p.typ.Fingerprint || !bytes.Equal(s.Hash, hashOf(s.State)) {
		return h, nil, false, false
	}
	v := event.Version(s.Version)
	return head{Version: v, Snapshot: v, Offset: s.EventOffset, RecordedTime: s.RecordedTimeUnixNano, EffectiveMax: s.EffectiveTimeMaxUnixNano}, s.State, false, v > 0
}

// parseMarker reads a marker; ok is false where it is of another topic or fold. One of an earlier epoch
// is old, as a snapshot is.
func parseMarker(b []byte, cp *checkpoint) (m *cqrsflowv1.CheckpointMarker, old, ok bool) {
	m = &cqrsflowv1.CheckpointMarker{}
	err := proto.Unmarshal(b, m)
	if err == nil && m.LossEpoch < cp.Loss {
		return m, true, true
	}
	return m, false, err == nil && m.LossEpoch == cp.Loss && m.TopicId == fmt.Sprintf("%x", cp.EventsID) && m.Fingerprint == cp.Fingerprint
}
