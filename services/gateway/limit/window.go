package limit

import "time"

// slots are into how many a window is divided in this process.
const slots = 32

// window counts the requests of one key, by slots. One more slot than the window has is looked at: a window touches that many.
type window struct {
	counts [slots + 1]int32
	// newest is the number of the latest slot; what is older than all slots has been taken out of sum.
	newest int64
	sum    int
}

// width is that of a slot: rounded up, so that all together are no shorter than the window.
func width(long time.Duration) time.Duration { return (long + slots - 1) / slots }

// advance forgets what is older than a window at that slot. Time that goes backwards does not move it.
func (w *window) advance(slot int64) {
	if slot-w.newest > slots {
		*w = window{newest: slot}
		return
	}
	for ; w.newest < slot; w.newest++ {
		next := (w.newest + 1) % (slots + 1)
		w.sum -= int(w.counts[next])
		w.counts[next] = 0
	}
}

// take counts one request now, where the most allows it, and says how many remain and after how long there are more; zero where
// all are there.
func (w *window) take(now, long time.Duration, most int) (allowed bool, remaining int, reset time.Duration) {
	size := width(long)
	w.advance(int64(now / size))
	if w.sum < most {
		w.counts[w.newest%(slots+1)]++
		w.sum++
		allowed = true
	}
	for slot := w.newest - slots; slot <= w.newest; slot++ {
		if slot >= 0 && w.counts[slot%(slots+1)] > 0 {
			reset = time.Duration(slot+slots+1)*size - now
			break
		}
	}
	return allowed, max(0, most-w.sum), max(0, reset)
}

// idle reports whether nothing counts any more at that time.
func (w *window) idle(now, long time.Duration) bool {
	return int64(now/width(long))-w.newest > slots
}
