package producer

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/schemas/record"
	"github.com/cqrsflow/cqrsflow/topology"
)

// limits are the bounds that a partition decides within.
type limits struct {
	snapshotEvery event.Version
	inline        int
	eventBytes    int
	windowCount   int64
	windowAge     time.Duration
	roundEvents   int64
	roundAge      time.Duration
	roundStep     int
}

// partition is one owned partition of an aggregate type: its local store, its cache, and the overlay
// of the transaction in progress. Between transactions the overlay is empty. An aborted transaction
// drops it and leaves no other trace; a committed one moves it into the store. One goroutine uses it.
type partition struct {
	typ    *decider.Type
	topics topology.Topics
	number int32
	// count is the number of partitions of each of the type's topics.
	count  int32
	limits limits
	store  *store
	// dir is the store's folder.
	dir   string
	cache *cache
	// filter has every command of the window.
	filter *filter
	// cp is what the store has; the round in progress is in round.
	cp    checkpoint
	round round
	// damaged says that the store contradicts itself: it is made again when it is next restored.
	damaged bool
	// accepted is what an operator has accepted as lost of the log; nil for nothing.
	accepted *topology.Acceptance

	over overlay
}

// overlay is what a transaction has changed so far.
type overlay struct {
	streams map[event.StreamID]*loaded
	events  []appended
	// known are the accepted commands, in order; index finds them.
	known []knownEntry
	index map[knownKey]int
	// outcome is the last outcome's record: its offset says where the next one goes.
	outcome *kgo.Record
	// firstOutcome is the first one's.
	firstOutcome *kgo.Record
	// nextCommand is the offset after the last decided command.
	nextCommand int64
	lastAppend  int64
	// snapshots are the streams whose state the transaction puts into the snapshots topic; roundDone
	// says that it ends the checkpoint round.
	snapshots []snapshot
	roundDone bool
	// after is the last stream that the round has looked at.
	after event.StreamID
}

// appended is an event in the transaction with its record, which has the offset once it is written.
type appended struct {
	env    event.Envelope
	record *kgo.Record
}

func (p *partition) String() string { return fmt.Sprintf("%s/%d", p.typ.Name, p.number) }

// begin starts an empty overlay.
func (p *partition) begin() {
	if p.over.streams == nil {
		p.over.streams, p.over.index = map[event.StreamID]*loaded{}, map[knownKey]int{}
	}
	p.over.events = p.over.events[:0]
	p.over.snapshots, p.over.roundDone, p.over.after = p.over.snapshots[:0], false, ""
	p.over.outcome, p.over.firstOutcome = nil, nil
	p.over.nextCommand = p.cp.NextCommand
	p.over.lastAppend = p.cp.LastAppend
}

// abort drops the overlay; what it was made of is used again.
func (p *partition) abort() {
	clear(p.over.streams)
	clear(p.over.index)
	clear(p.over.known)
	clear(p.over.events)
	clear(p.over.snapshots)
	p.over.events, p.over.known, p.over.snapshots = p.over.events[:0], p.over.known[:0], p.over.snapshots[:0]
}

// load returns the stream's current state: from the overlay, the cache, or the store, where it is
// replayed from the latest snapshot. A stream that does not exist has version 0.
// An event or a state that cannot be read, or that the aggregate panics over, is event.ErrUndecodable;
// any other error means that the store is damaged.
func (p *partition) load(id event.StreamID) (l *loaded, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			l, err = nil, fmt.Errorf("%w: load %s/%s: panic: %v", event.ErrUndecodable, p.typ.Name, id, reason)
		}
		if err != nil && !unreadable(err) {
			p.damaged = true
		}
	}()
	if l, ok := p.over.streams[id]; ok {
		return l, nil
	}
	if l, ok := p.cache.get(id); ok {
		return l, nil
	}
	l = &loaded{id: id, Snapshot: p.typ.Begin()}
	h, ok, err := p.store.head(id)
	if err != nil {
		return nil, fmt.Errorf("load %s/%s: %w", p.typ.Name, id, err)
	}
	if !ok {
		l.inlined = true
		return l, nil
	}
	l.head, l.stored = h, h.Version
	l.RecordedTime = time.Unix(0, h.RecordedTime).UTC()
	if h.Inline != nil {
		l.bytes, l.Version, l.inlined, l.head.Inline = len(h.Inline), h.Version, true, nil
		if l.State, err = p.typ.Codec.DecodeState(h.Inline); err != nil {
			return nil, fmt.Errorf("load %s/%s: %w", p.typ.Name, id, err)
		}
		return l, nil
	}
	if h.Snapshot > 0 {
		found, err := p.store.get(p.store.key(kSnapshot, id), func(b []byte) error {
			l.bytes = len(b)
			l.State, err = p.typ.Codec.DecodeState(b)
			return err
		})
		if err == nil && !found {
			err = fmt.Errorf("%w: no snapshot at version %d", event.ErrCorrupt, h.Snapshot)
		}
		if err != nil {
			return nil, fmt.Errorf("load %s/%s: %w", p.typ.Name, id, err)
		}
		l.Version = h.Snapshot
	}
	err = p.store.events(id, h.Snapshot, func(e *event.Envelope) error {
		l.bytes += len(e.Data)
		l.Snapshot, err = p.typ.Extend(l.Snapshot, e)
		return err
	})
	if err == nil && l.Version != h.Version {
		err = fmt.Errorf("%w: the store has events up to version %d of %d", event.ErrCorrupt, l.Version, h.Version)
	}
	if err != nil {
		return nil, fmt.Errorf("load %s/%s: %w", p.typ.Name, id, err)
	}
	l.RecordedTime = time.Unix(0, h.RecordedTime).UTC()
	return l, nil
}

// unreadable reports whether the stream, not the store, is at fault.
func unreadable(err error) bool {
	return errors.Is(err, event.ErrUndecodable) || errors.Is(err, event.ErrUnknownType)
}

// encodeState is the codec's, but for its panics.
func (p *partition) encodeState(state any) (data []byte, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			data, err = nil, fmt.Errorf("encode a state of %s: panic: %v", p.typ.Name, reason)
		}
	}()
	return p.typ.Codec.EncodeState(nil, state)
}

// lookup finds an accepted command in the overlay or the window.
func (p *partition) lookup(key knownKey) (*known, error) {
	if i, ok := p.over.index[key]; ok {
		return &p.over.known[i].known, nil
	}
	if !p.filter.mayHave(key) {
		return nil, nil
	}
	k, ok, err := p.store.known(p.cp.Epoch, key)
	p.damaged = p.damaged || err != nil
	if err != nil || !ok {
		return nil, err
	}
	return &k, nil
}

// remember adds an accepted command to the overlay.
func (p *partition) remember(key knownKey, k known) {
	p.over.index[key] = len(p.over.known)
	p.over.known = append(p.over.known, knownEntry{key, k})
}

// commit moves the overlay into the store, in one batch with the checkpoint, and into the cache. It is
// called after the transaction committed; an error means that the store has to be restored from the log.
func (p *partition) commit() (err error) {
	defer p.abort()
	b := p.store.db.NewBatch()
	defer func() {
		err = errors.Join(err, b.Close())
		p.damaged = p.damaged || err != nil
	}()
	cp := p.cp
	var scratch []byte
	for id, l := range p.over.streams {
		if err := p.inline(b, id, l); err != nil {
			return err
		}
	}
	for i := range p.over.events {
		e := &p.over.events[i]
		if p.over.streams[e.env.Stream].head.Inline == nil {
			if err := putEvent(b, &e.env); err != nil {
				return err
			}
		}
		cp.NextEvent = max(cp.NextEvent, e.record.Offset+1)
		p.over.streams[e.env.Stream].head.Offset = e.record.Offset
	}
	// Pebble takes keys in order with less work. Within a transaction the window has no order to keep.
	slices.SortFunc(p.over.known, func(a, b knownEntry) int { return bytes.Compare(a.key[:], b.key[:]) })
	for i := range p.over.known {
		k := &p.over.known[i]
		if scratch, err = putKnown(b, &cp, &p.limits, k.key, &k.known, scratch); err != nil {
			return err
		}
		p.filter.add(k.key)
	}
	ids := slices.Sorted(maps.Keys(p.over.streams))
	for _, id := range ids {
		l := p.over.streams[id]
		if !l.head.Dirty {
			l.head.Dirty = true
			if err := b.Set(append([]byte{kDirty}, id...), nil, nil); err != nil {
				return err
			}
		}
		if l.head.Inline == nil && (l.inlined || l.head.Version-l.head.Snapshot >= p.limits.snapshotEvery) {
			if err := p.putSnapshot(b, l); err != nil {
				return err
			}
		}
		l.stored, l.inlined = l.head.Version, l.head.Inline != nil
		scratch = l.head.append(scratch[:0])
		if err := b.Set(append([]byte{kHead}, id...), scratch, nil); err != nil {
			return err
		}
		l.head.Inline = nil // the cache has it decoded
	}
	if err := p.rounded(b); err != nil {
		return err
	}
	cp.NextCommand, cp.LastAppend = p.over.nextCommand, p.over.lastAppend
	if p.over.outcome != nil {
		cp.NextOutcome = p.over.outcome.Offset + 1
	}
	if err := b.Set([]byte{kCheckpoint}, cp.append(scratch[:0]), nil); err != nil {
		return err
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		return err
	}
	p.cp = cp
	p.round.events += int64(len(p.over.events))
	for _, l := range p.over.streams {
		p.cache.put(l)
	}
	return nil
}

func putEvent(b *pebble.Batch, e *event.Envelope) error {
	var key [event.MaxStreamID + 16]byte
	return b.Set(appendEventKey(key[:0], e.Stream, e.Version), appendStored(make([]byte, 0, 64+len(e.Data)), e), nil)
}

// inline puts a small state into its head, and removes what it replaces: the snapshot and the events
// that the store has of the stream.
func (p *partition) inline(b *pebble.Batch, id event.StreamID, l *loaded) error {
	if l.bytes > 8*p.limits.inline { // larger than it can be: not worth encoding
		return nil
	}
	data, err := p.encodeState(l.State)
	if err != nil || len(data) > p.limits.inline {
		return nil //nolint:nilerr // a state that cannot be encoded is kept as its events
	}
	if data == nil {
		data = []byte{}
	}
	if !l.inlined {
		if err := b.Delete(append([]byte{kSnapshot}, id...), nil); err != nil {
			return err
		}
		for v := l.head.Snapshot + 1; v <= l.stored; v++ {
			if err := b.Delete(appendEventKey(nil, id, v), nil); err != nil {
				return err
			}
		}
	}
	l.head.Inline, l.head.Snapshot = data, l.head.Version
	l.bytes = len(data)
	return nil
}

// putSnapshot replaces the stream's stored events by its state.
func (p *partition) putSnapshot(b *pebble.Batch, l *loaded) error {
	data, err := p.encodeState(l.State)
	if err != nil && !l.inlined {
		return nil //nolint:nilerr // its events are there
	}
	if err != nil {
		return fmt.Errorf("snapshot of %s/%s: %w", p.typ.Name, l.id, err)
	}
	if err := b.Set(append([]byte{kSnapshot}, l.id...), data, nil); err != nil {
		return err
	}
	for v := l.head.Snapshot + 1; v <= l.head.Version; v++ {
		if err := b.Delete(appendEventKey(nil, l.id, v), nil); err != nil {
			return err
		}
	}
	l.head.Snapshot = l.head.Version
	l.bytes = len(data)
	return nil
}

// close gives the store up.
func (p *partition) close() error {
	p.abort()
	p.cache.close()
	if p.store == nil {
		return nil // it was set aside, and no other could be opened
	}
	return p.store.close()
}

// emit hands a record of the transaction to the producer.
type emit func(*kgo.Record)

// encoder is shared by the partitions of a worker: its slabs live as long as a transaction.
type encoder = record.Encoder
