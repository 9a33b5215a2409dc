package compare

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/cqrsflow/cqrsflow/event"
)

// Whatever the order in which streams come, and however often, the same ones are drawn; and each as likely as another.
func TestDraw(t *testing.T) {
	const streams, size = 1000, 100
	var first map[event.StreamID]bool
	for round := range 5 {
		d := draw{in: map[event.StreamID]bool{}}
		for _, i := range rand.New(rand.NewPCG(uint64(round), 0)).Perm(3 * streams) {
			d.offer(event.StreamID(fmt.Sprint("order-", i%streams)), size)
		}
		if len(d.in) != size || len(d.heap) != size {
			t.Fatalf("%d drawn", len(d.in))
		}
		if first == nil {
			first = d.in
		}
		if !maps.Equal(first, d.in) {
			t.Fatal("another order draws others")
		}
	}
	low := 0
	for i := range streams / 2 {
		if first[event.StreamID(fmt.Sprint("order-", i))] {
			low++
		}
	}
	if low < 30 || low > 70 {
		t.Errorf("%d of 100 are of the first half: similar names are drawn together", low)
	}
}
