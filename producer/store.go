package producer

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"

	"github.com/cqrsflow/cqrsflow/event"
)

// store is the local store of one partition: a cache of the log in a Pebble of its own. Everything in
// it can be made again from the log, so it is written without a write-ahead log; what makes that safe
// is that a batch holds the data and the checkpoint that covers it, and Pebble's memtables reach the
// disk in order. After a crash the checkpoint on disk says from where the log must be read again.
//
// One goroutine uses it at a time.
type store struct {
	db *pebble.DB
	// buf is scratch for keys.
	buf []byte
}

// Keys: one letter, then what it is about. Stream IDs cannot contain a zero byte, so it ends them.
//
//	c                      the checkpoint
//	h <stream>             head: what load needs to know, in one read
//	s <stream>             snapshot: encoded state
//	e <stream> 0 <version> an event after the snapshot
//	d <stream>             the stream changed since the last checkpoint round
//	w <epoch> <hash>       an accepted command by stream, principal and ID
//	l                      what the log was found to have lost, under this store
const (
	kCheckpoint = 'c'
	kHead       = 'h'
	kSnapshot   = 's'
	kEvent      = 'e'
	kDirty      = 'd'
	kKnown      = 'w'
	kLost       = 'l'
)

// checkpoint is how far the store agrees with the log.
type checkpoint struct {
	// Codec and Fingerprint are those of the states in the store: another one makes it useless.
	Codec, Fingerprint uint32
	// EventsID is the events topic's ID.
	EventsID [16]byte
	// NextEvent, NextOutcome and NextCommand are the offsets to go on at.
	NextEvent, NextOutcome, NextCommand int64
	// LastAppend is the offset of the last command that appended events; -1 before the first.
	LastAppend int64
	// Epoch is the window's current one; EpochCount and EpochBegan say how full and how old it is.
	Epoch, EpochCount, EpochBegan int64
	// Loss is the epoch of the losses of the log that were accepted when the store was made; 0 for none. Checkpoints of
	// before there was such a thing end before it.
	Loss int64
}

const (
	checkpointLen    = 4 + 4 + 16 + 8*8
	oldCheckpointLen = checkpointLen - 8
)

func (c *checkpoint) numbers() [8]*int64 {
	return [8]*int64{&c.NextEvent, &c.NextOutcome, &c.NextCommand, &c.LastAppend, &c.Epoch, &c.EpochCount, &c.EpochBegan, &c.Loss}
}

func (c *checkpoint) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, c.Codec)
	b = binary.BigEndian.AppendUint32(b, c.Fingerprint)
	b = append(b, c.EventsID[:]...)
	for _, n := range c.numbers() {
		b = binary.BigEndian.AppendUint64(b, uint64(*n))
	}
	return b
}

func parseCheckpoint(b []byte) (checkpoint, error) {
	var c checkpoint
	if len(b) != checkpointLen && len(b) != oldCheckpointLen {
		return c, fmt.Errorf("%w: a local checkpoint of %d bytes", event.ErrUndecodable, len(b))
	}
	c.Codec, c.Fingerprint = binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	copy(c.EventsID[:], b[8:24])
	for i, n := range c.numbers() {
		if at := 24 + 8*i; at < len(b) {
			*n = int64(binary.BigEndian.Uint64(b[at:]))
		}
	}
	return c, nil
}

// head is what is known of a stream without folding it.
type head struct {
	// Version of the stream; Snapshot is the version of its snapshot, 0 for none.
	Version, Snapshot event.Version
	// Offset is that of the last event in its topic.
	Offset int64
	// RecordedTime is the last event's; EffectiveMax the latest time of any event. Nanoseconds since 1970.
	RecordedTime, EffectiveMax int64
	// Dirty: changed since the last checkpoint round.
	Dirty bool
	// Inline is the encoded state at Version where it is small: loading is then one read, and there is
	// neither a snapshot nor any event of the stream in the store. A slice of its own in what parseHead returns.
	Inline []byte
}

func (h *head) append(b []byte) []byte {
	for _, n := range [...]int64{int64(h.Version), int64(h.Snapshot), h.Offset, h.RecordedTime, h.EffectiveMax} {
		b = binary.AppendVarint(b, n)
	}
	flags := byte(0)
	if h.Dirty {
		flags |= 1
	}
	if h.Inline != nil {
		flags |= 2
	}
	return append(append(b, flags), h.Inline...)
}

func parseHead(b []byte) (head, error) {
	var h head
	for _, n := range [...]*int64{(*int64)(&h.Version), (*int64)(&h.Snapshot), &h.Offset, &h.RecordedTime, &h.EffectiveMax} {
		v, size := binary.Varint(b)
		if size <= 0 {
			return h, fmt.Errorf("%w: a local head", event.ErrUndecodable)
		}
		*n, b = v, b[size:]
	}
	if len(b) < 1 || b[0] > 3 || b[0]&2 == 0 && len(b) > 1 {
		return h, fmt.Errorf("%w: a local head", event.ErrUndecodable)
	}
	h.Dirty = b[0]&1 != 0
	if b[0]&2 != 0 {
		h.Inline = append(make([]byte, 0, len(b)-1), b[1:]...)
	}
	return h, nil
}

// openStore opens or creates the store in dir. cache is shared among partitions.
func openStore(dir string, cache *pebble.Cache, log pebble.Logger) (*store, error) {
	opts := &pebble.Options{
		Cache:                       cache,
		DisableWAL:                  true,
		MemTableSize:                16 << 20,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       24,
		MaxOpenFiles:                256,
		Logger:                      log,
	}
	for i := range opts.Levels {
		opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	db, err := pebble.Open(dir, opts)
	if err != nil {
		return nil, fmt.Errorf("open the local store %s: %w", dir, err)
	}
	return &store{db: db}, nil
}

func (s *store) close() error {
	err := s.db.Flush()
	return errors.Join(err, s.db.Close())
}

func (s *store) key(kind byte, id event.StreamID) []byte {
	s.buf = append(append(s.buf[:0], kind), id...)
	return s.buf
}

func appendEventKey(b []byte, id event.StreamID, v event.Version) []byte {
	b = append(append(append(b, kEvent), id...), 0)
	return binary.BigEndian.AppendUint64(b, uint64(v))
}

// get calls f with the value, if there is one; f must not keep it.
func (s *store) get(key []byte, f func([]byte) error) (bool, error) {
	v, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, errors.Join(f(v), closer.Close())
}

func (s *store) checkpoint() (c checkpoint, ok bool, err error) {
	ok, err = s.get([]byte{kCheckpoint}, func(b []byte) error {
		c, err = parseCheckpoint(b)
		return err
	})
	return c, ok, err
}

func (s *store) head(id event.StreamID) (h head, ok bool, err error) {
	ok, err = s.get(s.key(kHead, id), func(b []byte) error {
		h, err = parseHead(b)
		return err
	})
	return h, ok, err
}

// appendStored encodes what replaying needs of an event.
func appendStored(b []byte, e *event.Envelope) []byte {
	b = binary.AppendVarint(b, e.RecordedTime.UnixNano())
	b = binary.AppendVarint(b, e.Time.UnixNano())
	b = append(binary.AppendUvarint(b, uint64(len(e.Type))), e.Type...)
	b = append(binary.AppendUvarint(b, uint64(len(e.ContentType))), e.ContentType...)
	return append(b, e.Data...)
}

func parseStored(b []byte, e *event.Envelope) error {
	bad := fmt.Errorf("%w: a local event of stream %s", event.ErrUndecodable, e.Stream)
	for _, t := range [...]*time.Time{&e.RecordedTime, &e.Time} {
		n, size := binary.Varint(b)
		if size <= 0 {
			return bad
		}
		*t, b = time.Unix(0, n).UTC(), b[size:]
	}
	for _, s := range [...]*string{&e.Type, &e.ContentType} {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) {
			return bad
		}
		*s, b = string(b[size:size+int(n)]), b[size+int(n):]
	}
	e.Data = b
	return nil
}

// events calls f with the stream's stored events after version v, oldest first. The envelope is reused.
func (s *store) events(id event.StreamID, after event.Version, f func(*event.Envelope) error) (err error) {
	lower := appendEventKey(nil, id, after+1)
	upper := appendEventKey(nil, id, -1) // all ones: behind every version
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	env := event.Envelope{Stream: id}
	for valid := it.First(); valid; valid = it.Next() {
		key := it.Key()
		env.Version = event.Version(binary.BigEndian.Uint64(key[len(key)-8:]))
		v, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if err := parseStored(v, &env); err != nil {
			return err
		}
		if err := f(&env); err != nil {
			return err
		}
	}
	return it.Error()
}

// dirty calls f with up to limit streams that changed since the last round, beginning after the given one.
func (s *store) dirty(after event.StreamID, limit int, f func(event.StreamID)) error {
	n := 0
	return s.scan(append(append([]byte{kDirty}, after...), 0), []byte{kDirty + 1}, func(key []byte) bool {
		f(event.StreamID(key[1:]))
		n++
		return n < limit
	})
}

// scan calls f with the keys in [lower, upper) until it returns false; f must not keep them.
func (s *store) scan(lower, upper []byte, f func(key []byte) bool) (err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for valid := it.First(); valid; valid = it.Next() {
		if !f(it.Key()) {
			break
		}
	}
	return it.Error()
}
