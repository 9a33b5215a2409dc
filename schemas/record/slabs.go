package record

// slabs hand out room from blocks that they keep from one batch to the next. The zero value has none.
type slabs[T any] struct {
	cur        []T
	used, free [][]T
}

// keptBlocks bounds what is kept for the next batch; the rest is left to the garbage collector.
const keptBlocks = 64

// reserve makes room for n more in cur, without moving what was handed out. Blocks double from the first
// need up to most: a single record stays cheap, a batch needs few.
func (s *slabs[T]) reserve(n, most int) {
	if cap(s.cur)-len(s.cur) >= n {
		return
	}
	last := cap(s.cur)
	if last > 0 {
		s.used = append(s.used, s.cur)
	}
	if i := len(s.free) - 1; i >= 0 && cap(s.free[i]) >= n {
		s.cur, s.free = s.free[i], s.free[:i]
		return
	}
	s.cur = make([]T, 0, max(n, min(2*last, most)))
}

// reset takes back what was handed out.
func (s *slabs[T]) reset() {
	for _, b := range append(s.used, s.cur) {
		clear(b)
		if cap(b) > 0 && len(s.free) < keptBlocks {
			s.free = append(s.free, b[:0])
		}
	}
	clear(s.used)
	s.cur, s.used = nil, s.used[:0]
}
