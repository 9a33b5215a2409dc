package producer

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

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
	// Digest of type and body; not Digested where only the events are left to tell of it.
	Digest   digest
	Digested bool
}

// digest tells a repeated command from another one under the same ID.
type digest [16]byte

// digested takes over the digest that an outcome has, if it has one.
func (k *known) digested(b []byte) {
	if k.Digested = len(b) == len(k.Digest); k.Digested {
		k.Digest = digest(b)
	}
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
	if k.Digested {
		b = append(append(b, byte(len(k.Digest))), k.Digest[:]...)
	} else {
		b = append(b, 0)
	}
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
	k.digested(b[1 : 1+int(b[0])])
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

// knownEntry is a command on its way into the store.
type knownEntry struct {
	key knownKey
	known
}

func digestOf(typ string, body []byte) digest {
	var buf [512]byte
	sum := sha256.Sum256(append(append(append(buf[:0], typ...), 0), body...))
	return digest(sum[:16])
}

// The window is kept in epochs. One ends when it holds a quarter of the commands that the window must
// hold, or is a quarter as old; the oldest is dropped as a whole. Of any seven that have ended four were
// ended by the same bound, so with these and the current one nothing is dropped before its time.
const (
	epochs = 8
	parts  = 4
)

func appendKnownKey(b []byte, epoch int64, key knownKey) []byte {
	return append(appendEpoch(b, epoch), key[:]...)
}

func appendEpoch(b []byte, epoch int64) []byte {
	return binary.BigEndian.AppendUint64(append(b, kKnown), uint64(epoch))
}

// known looks a command up in the epochs of the window, the youngest first.
func (s *store) known(epoch int64, key knownKey) (k known, ok bool, err error) {
	for e := epoch; e >= 0 && e > epoch-epochs; e-- {
		s.buf = appendKnownKey(s.buf[:0], e, key)
		ok, err = s.get(s.buf, func(b []byte) error {
			k, err = parseKnown(b)
			return err
		})
		if ok || err != nil {
			break
		}
	}
	return k, ok, err
}

// putKnown adds an entry to the batch, and begins an epoch where the current one is full.
func putKnown(b *pebble.Batch, cp *checkpoint, l *limits, key knownKey, k *known, scratch []byte) ([]byte, error) {
	if cp.EpochCount == 0 {
		cp.EpochBegan = k.Recorded
	}
	if cp.EpochCount >= max(1, l.windowCount/parts) || k.Recorded-cp.EpochBegan >= int64(l.windowAge)/parts {
		cp.Epoch++
		cp.EpochCount, cp.EpochBegan = 0, k.Recorded
		if drop := cp.Epoch - epochs; drop >= 0 {
			if err := b.DeleteRange(appendEpoch(nil, 0), appendEpoch(nil, drop+1), nil); err != nil {
				return scratch, err
			}
		}
	}
	cp.EpochCount++
	var buf [1 + 8 + len(key)]byte
	scratch = k.append(scratch[:0])
	return scratch, b.Set(appendKnownKey(buf[:0], cp.Epoch, key), scratch, nil)
}
