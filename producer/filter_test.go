package producer

import (
	"strconv"
	"testing"
)

func TestFilterForgetsNothingOfTheWindow(t *testing.T) {
	const window = 20_000
	f := newFilter(window)
	key := func(i int) knownKey { return knownKeyOf("s", "", strconv.Itoa(i)) }
	for i := range 3 * window {
		f.add(key(i))
		if i%997 == 0 {
			for j := max(0, i-window+1); j <= i; j += 101 {
				if !f.mayHave(key(j)) {
					t.Fatalf("after %d: %d is not in it", i, j)
				}
			}
		}
	}
	wrong := 0
	for i := range window {
		if f.mayHave(key(-1 - i)) {
			wrong++
		}
	}
	if wrong > window/50 {
		t.Errorf("%d of %d new keys look known", wrong, window)
	}
}
