package producer

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/cqrsflow/cqrsflow/event"
)

// The window is the memory of accepted commands: a repeat is answered as the first one was. It holds
// the last 24 hours or 1,000,000 commands of a partition, whichever is smaller.

// known is an accepted command.
type known struct {
	// Offset is the command's, Recorded when it was decided, in nanoseconds since 1970.
	Offset, Recorded int64
	// Version of the stream after it, and the events that it appended, up to that version.
	Version event.Version
	Types   []string
	// Digest of type and body; empty where only the events are left to tell of it.
	Digest []byte
}

func (k *known) refs() []event.Ref {
	refs := make([]event.Ref, len(k.Types))
	for i, t := range k.Types {
		refs[i] = event.Ref{Type: t, Version: k.Version - event.Version(len(k.Types)-1-i)}
	}
	return refs
}

func (k *known) append(b []byte) []byte {
	for _, n := range [...]int64{k.Offset, k.Recorded, int64(k.Version)} {
		b = binary.AppendVarint(b, n)
	}
	b = append(append(b, byte(len(k.Digest))), k.Digest...)
	for _, t := range k.Types {
		b = append(binary.AppendUvarint(b, uint64(len(t))), t...)
	}
	return b
}

func parseKnown(b []byte) (known, error) {
	var k known
	bad := fmt.Errorf("%w: a local window entry", event.ErrUndecodable)
	for _, n := range [...]*int64{&k.Offset, &k.Recorded, (*int64)(&k.Version)} {
		v, size := binary.Varint(b)
		if size <= 0 {
			return k, bad
		}
		*n, b = v, b[size:]
	}
	if len(b) == 0 || len(b) < 1+int(b[0]) {
		return k, bad
	}
	if n := int(b[0]); n > 0 {
		k.Digest = append([]byte(nil), b[1:1+n]...)
	}
	b = b[1+int(b[0]):]
	for len(b) > 0 {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) {
			return k, bad
		}
		k.Types = append(k.Types, string(b[size:size+int(n)]))
		b = b[size+int(n):]
	}
	return k, nil
}

// knownKey identifies a command among the accepted ones. 128 bits of SHA-256: a collision by chance
// or by design is out of reach.
type knownKey [16]byte

func knownKeyOf(stream event.StreamID, principal, id string) knownKey {
	var buf [event.MaxStreamID + event.MaxCommandID + 128]byte
	b := append(buf[:0], stream...)
	b = append(append(b, 0), id...)
	b = append(append(b, 0), principal...)
	sum := sha256.Sum256(b)
	return knownKey(sum[:16])
}

// digestOf tells a repeated command from another one under the same ID.
func digestOf(typ string, body []byte) []byte {
	var buf [512]byte
	sum := sha256.Sum256(append(append(append(buf[:0], typ...), 0), body...))
	return append([]byte(nil), sum[:16]...)
}

func (s *store) known(key knownKey) (k known, ok bool, err error) {
	s.buf = append(append(s.buf[:0], kKnown), key[:]...)
	ok, err = s.get(s.buf, func(b []byte) error {
		k, err = parseKnown(b)
		return err
	})
	return k, ok, err
}

func appendOrderKey(b []byte, offset int64) []byte {
	return binary.BigEndian.AppendUint64(append(b, kOrder), uint64(offset))
}

// putKnown adds an entry to the batch; the caller counts.
func putKnown(b *pebble.Batch, key knownKey, k *known, scratch []byte) ([]byte, error) {
	wkey := append([]byte{kKnown}, key[:]...)
	scratch = k.append(scratch[:0])
	if err := b.Set(wkey, scratch, nil); err != nil {
		return scratch, err
	}
	var order [9]byte
	value := append(binary.BigEndian.AppendUint64(make([]byte, 0, 24), uint64(k.Recorded)), key[:]...)
	return scratch, b.Set(appendOrderKey(order[:0], k.Offset), value, nil)
}

// evict removes what has left the window: the oldest beyond limit, and everything recorded before
// oldest. It returns how many are left.
func (s *store) evict(count, limit int64, oldest time.Time) (left int64, err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{kOrder}, UpperBound: []byte{kOrder + 1}})
	if err != nil {
		return count, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	b := s.db.NewBatch()
	defer func() { err = errors.Join(err, b.Close()) }()
	var last []byte
	for valid := it.First(); valid; valid = it.Next() {
		v := it.Value()
		if len(v) != 24 {
			return count, fmt.Errorf("%w: a local window entry", event.ErrUndecodable)
		}
		if count <= limit && int64(binary.BigEndian.Uint64(v)) >= oldest.UnixNano() {
			break
		}
		if err := b.Delete(append([]byte{kKnown}, v[8:]...), nil); err != nil {
			return count, err
		}
		last = append(last[:0], it.Key()...)
		count--
	}
	if err := it.Error(); err != nil || last == nil {
		return count, err
	}
	err = errors.Join(b.DeleteRange([]byte{kOrder}, append(last, 0), nil), b.Commit(pebble.NoSync))
	return max(count, 0), err
}
