package compare

import (
	"container/list"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
)

// entry is a stream: its state under each version, which is one and the same until they diverge, and what the metrics
// have counted for it.
type entry struct {
	stream event.StreamID
	snaps  [2]decider.Snapshot
	split  bool
	// broken says why its events cannot be folded: its commands are left out.
	broken string
	// sums are the metrics'; nil where no command of the stream has been compared.
	sums []sums
	// bytes estimates what the states hold in memory. busy: the entry is part of the batch in progress.
	bytes int
	busy  bool
}

// states keep the streams of a partition, as many of them in memory as its share allows; the others, least recently used,
// encoded in a Pebble in a temporary folder. One goroutine uses it.
type states struct {
	typ     *decider.Type
	metrics int
	limit   int
	used    int
	entries map[event.StreamID]*list.Element
	order   list.List // front: most recently used

	dir     string
	db      *pebble.DB
	scratch []byte
}

// entryOverhead is what an entry costs besides its state, roughly.
const entryOverhead = 400

func newStates(t *decider.Type, metrics int, limit int64) *states {
	return &states{typ: t, metrics: metrics, limit: int(limit), entries: map[event.StreamID]*list.Element{}}
}

// get returns the stream's entry, a new one where nothing is known of it.
func (s *states) get(id []byte) (*entry, error) {
	if el, ok := s.entries[event.StreamID(id)]; ok {
		s.order.MoveToFront(el)
		return el.Value.(*entry), nil
	}
	e := &entry{stream: event.StreamID(id)}
	found := false
	if s.db != nil {
		v, closer, err := s.db.Get(id)
		if err == nil {
			err = errors.Join(s.decode(append([]byte(nil), v...), e), closer.Close())
			found = true
		}
		if err != nil && !errors.Is(err, pebble.ErrNotFound) {
			return nil, fmt.Errorf("state of %s/%s: %w", s.typ.Name, id, err)
		}
	}
	if !found {
		e.snaps[0] = s.typ.Begin()
	}
	s.entries[e.stream] = s.order.PushFront(e)
	s.used += e.bytes + entryOverhead
	return e, nil
}

// grow says that a stream has become larger by an event of so many bytes. Decoded it takes about twice as many.
func (s *states) grow(e *entry, n int) {
	e.bytes += 2 * n
	s.used += 2 * n
}

// trim moves what is too much out of memory. It may only be called between batches: their tasks hold entries.
func (s *states) trim() error {
	for s.used > s.limit && s.order.Len() > 0 {
		el := s.order.Back()
		e := el.Value.(*entry)
		if err := s.spill(e); err != nil {
			return fmt.Errorf("state of %s/%s: %w", s.typ.Name, e.stream, err)
		}
		s.order.Remove(el)
		delete(s.entries, e.stream)
		s.used -= e.bytes + entryOverhead
	}
	return nil
}

func (s *states) spill(e *entry) (err error) {
	if s.db == nil {
		if s.dir, err = tempDir(); err != nil {
			return err
		}
		cache := pebble.NewCache(8 << 20)
		defer cache.Unref()
		opts := &pebble.Options{Cache: cache, DisableWAL: true, MemTableSize: 8 << 20, Logger: silent{}}
		for i := range opts.Levels {
			opts.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		}
		if s.db, err = pebble.Open(s.dir, opts); err != nil {
			return err
		}
	}
	if s.scratch, err = s.encode(s.scratch[:0], e); err != nil {
		return err
	}
	return s.db.Set([]byte(e.stream), s.scratch, pebble.NoSync)
}

// encode: flags, version, recorded time and state of each different snapshot, sums.
func (s *states) encode(b []byte, e *entry) ([]byte, error) {
	var flags byte
	n := 1
	if e.split {
		flags, n = flags|1, 2
	}
	if e.sums != nil {
		flags |= 2
	}
	if e.broken != "" {
		flags |= 4
		return append(append(b, flags), e.broken...), nil
	}
	b = append(b, flags)
	for i := range n {
		snap := &e.snaps[i]
		b = binary.AppendUvarint(b, uint64(snap.Version))
		b = binary.AppendVarint(b, snap.RecordedTime.UnixMicro())
		data, err := s.typ.Codec.EncodeState(nil, snap.State)
		if err != nil {
			return b, err
		}
		b = append(binary.AppendUvarint(b, uint64(len(data))), data...)
	}
	for i := range e.sums {
		for _, v := range e.sums[i] {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		}
	}
	return b, nil
}

func (s *states) decode(b []byte, e *entry) error {
	flags := b[0]
	b = b[1:]
	if flags&4 != 0 {
		e.broken = string(b)
		return nil
	}
	n := 1
	if flags&1 != 0 {
		e.split, n = true, 2
	}
	for i := range n {
		version, k := binary.Uvarint(b)
		micros, l := binary.Varint(b[k:])
		size, m := binary.Uvarint(b[k+l:])
		b = b[k+l+m:]
		state, err := s.typ.Codec.DecodeState(b[:size:size])
		if err != nil {
			return err
		}
		e.snaps[i] = decider.Snapshot{State: state, Version: event.Version(version)}
		if version > 0 {
			e.snaps[i].RecordedTime = time.UnixMicro(micros).UTC()
		}
		e.bytes += 2 * int(size)
		b = b[size:]
	}
	if flags&2 != 0 {
		e.sums = make([]sums, s.metrics)
		for i := range e.sums {
			for k := range e.sums[i] {
				e.sums[i][k], b = math.Float64frombits(binary.LittleEndian.Uint64(b)), b[8:]
			}
		}
	}
	return nil
}

func (s *states) close() error {
	if s.db == nil {
		if s.dir != "" {
			return os.RemoveAll(s.dir)
		}
		return nil
	}
	return errors.Join(s.db.Close(), os.RemoveAll(s.dir))
}

// silent is Pebble's logger: what it has to say matters to nobody, but that it must end the program.
type silent struct{}

func (silent) Infof(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
func (silent) Fatalf(format string, args ...any) {
	panic("temporary states: " + fmt.Sprintf(format, args...))
}
