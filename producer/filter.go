package producer

import "encoding/binary"

// filter answers "was this command accepted before?" with "no" without a look into the store, for
// nearly all commands that are new. It is a Bloom filter (Bloom 1970) in two generations: when the
// younger one has taken as many commands as the window holds, it becomes the older one. So every command
// of the window is in one of them. 16 bits a command and 4 probes: about one new command in 400 is
// looked up for nothing.
type filter struct {
	young, old []uint64
	count      int
	capacity   int
}

// newFilter makes a filter for a window of n commands: 4 bytes of memory a command at most, made as they come.
func newFilter(n int64) *filter {
	return &filter{capacity: int(max(n, 1<<10))}
}

func (f *filter) add(key knownKey) {
	if f.young == nil || f.count >= f.capacity {
		f.old, f.count = f.young, 0
		f.young = make([]uint64, (f.capacity*16+63)/64)
	}
	f.count++
	f.probe(f.young, key, func(word *uint64, bit uint64) bool {
		*word |= bit
		return true
	})
}

// mayHave is false where the key was not added, or so long ago that it has left the window.
func (f *filter) mayHave(key knownKey) bool {
	has := func(word *uint64, bit uint64) bool { return *word&bit != 0 }
	return f.probe(f.young, key, has) || f.probe(f.old, key, has)
}

// probe visits the key's bits until visit says no. The key is a cryptographic hash: its parts are the probes.
func (f *filter) probe(words []uint64, key knownKey, visit func(*uint64, uint64) bool) bool {
	if len(words) == 0 {
		return false
	}
	for i := range 4 {
		h := binary.LittleEndian.Uint32(key[4*i:])
		n := uint64(h) * uint64(len(words)*64) >> 32
		if !visit(&words[n/64], 1<<(n%64)) {
			return false
		}
	}
	return true
}

// fill makes the filter from the store's window.
func (s *store) fill(f *filter) error {
	return s.scan([]byte{kKnown}, []byte{kKnown + 1}, func(key []byte) bool {
		if len(key) == 1+8+len(knownKey{}) {
			f.add(knownKey(key[9:]))
		}
		return true
	})
}
