package topology

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The expected values are those of Kafka's own test of murmur2 (UtilsTest.testMurmur2).
func TestMurmur2IsKafkas(t *testing.T) {
	for key, want := range map[string]int32{
		"21":                         -973932308,
		"foobar":                     -790332482,
		"a-little-bit-long-string":   -985981536,
		"a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		if got := int32(murmur2([]byte(key))); got != want {
			t.Errorf("murmur2(%q) = %d, want %d", key, got, want)
		}
	}
}

// What the Go client computes for a key is what PartitionOf says: commands that it publishes arrive at their owner.
func TestPartitionOfIsTheClients(t *testing.T) {
	for _, n := range []int32{1, 3, 8, 64} {
		client := kgo.StickyKeyPartitioner(nil).ForTopic("t")
		seen := map[int32]bool{}
		for i := range 500 {
			key := "order-" + string(rune('a'+i%26)) + string(rune('0'+i/26))
			got := PartitionOf(key, n)
			if want := int32(client.Partition(&kgo.Record{Key: []byte(key)}, int(n))); got != want {
				t.Fatalf("PartitionOf(%q, %d) = %d, the client says %d", key, n, got, want)
			}
			seen[got] = true
		}
		if len(seen) != int(n) {
			t.Errorf("of %d partitions, only %d are used", n, len(seen))
		}
	}
}

func TestTopicsOf(t *testing.T) {
	want := Topics{Commands: "cqrsflow.order.commands", Events: "cqrsflow.order.events", Outcomes: "cqrsflow.order.outcomes", Snapshots: "cqrsflow.order.snapshots",
		Parked: "cqrsflow.order.parked"}
	if diff := cmp.Diff(want, TopicsOf("", "order")); diff != "" {
		t.Error(diff)
	}
	// kind numbers the topics in the order of All.
	if all := want.All(); all[commands] != want.Commands || all[events] != want.Events || all[outcomes] != want.Outcomes || all[snapshots] != want.Snapshots || all[parked] != want.Parked {
		t.Errorf("All() = %v", all)
	}
}
