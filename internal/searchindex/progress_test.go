package searchindex

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/cqrsflow/cqrsflow/event"
)

func TestProgressRoundTrip(t *testing.T) {
	p := Progress{Aggregate: "order", Source: "events", Partition: 3, Owner: "me", Processed: true, Writes: 4, TopicID: TopicID{0xab, 15: 1},
		Next: 1 << 60, CommandOffset: -1, Parked: []Parked{{Stream: "s", Offset: 7, Reason: "why", Attempts: 2, ParkedAt: noon, Retry: true}}, UpdatedAt: noon}
	b, err := json.Marshal(p)
	require.NoError(t, err)
	require.Contains(t, string(b), `"topicId":"ab000000000000000000000000000001"`)
	var got Progress
	require.NoError(t, json.Unmarshal(b, &got))
	require.Empty(t, cmp.Diff(p, got))
	require.Equal(t, "order.events.3", got.ID())
	for _, bad := range []string{`{"topicId":"ab"}`, `{"topicId":"zz000000000000000000000000000001"}`} {
		require.Error(t, json.Unmarshal([]byte(bad), &got), bad)
	}
}

func TestPosition(t *testing.T) {
	p := Progress{Aggregate: "order", Partition: 3, CommandOffset: 7}
	_, ok := p.Position()
	require.False(t, ok, "never processed")
	p.Processed = true
	at, ok := p.Position()
	require.True(t, ok)
	require.Equal(t, event.Position{Aggregate: "order", Partition: 3, Offset: 7}, at)
	p.CommandOffset = -1
	_, ok = p.Position()
	require.False(t, ok, "no command yet")
}

func TestParked(t *testing.T) {
	var p Progress
	for _, offset := range []int64{5, 1, 9, 5} {
		p.Park(Parked{Stream: event.StreamID("s"), Offset: offset})
	}
	p.Park(Parked{Stream: "other", Offset: 7})
	offsets := func() (out []int64) {
		for _, x := range p.Parked {
			out = append(out, x.Offset)
		}
		return out
	}
	require.Equal(t, []int64{1, 5, 7, 9}, offsets())
	copied := p.Clone()
	require.True(t, p.Unpark(5))
	require.False(t, p.Unpark(5))
	require.Equal(t, []int64{1, 7, 9}, offsets())
	require.Len(t, copied.Parked, 4, "the copy is its own")

	require.True(t, p.IsParked("s"))
	require.Equal(t, 2, p.Mark("s", Retry))
	require.True(t, p.Parked[0].Retry && p.Parked[2].Retry && !p.Parked[1].Retry)
	require.True(t, p.IsParked("s"))
	p.Parked[2].Retry = false
	require.Equal(t, 1, p.Mark("s", Drop), "the one that was refused")
	require.True(t, p.Parked[0].Dropped && !p.Parked[0].Retry)
	require.True(t, p.Parked[2].Retry && !p.Parked[2].Dropped, "what waits behind it is tried")
	require.True(t, p.IsParked("s"))
	require.Equal(t, 1, p.Mark("s", Drop))
	require.False(t, p.IsParked("s"))
	require.Zero(t, p.Mark("s", Retry))
	require.True(t, p.IsParked("other"))
}

func TestHealing(t *testing.T) {
	var p Progress
	p.MarkHealing([]event.StreamID{"a", "b", "a", "c"})
	require.Equal(t, []event.StreamID{"a", "b"}, p.ToHeal(2))
	copied := p.Clone()
	p.Healed("a", "")
	p.Healed("b", "it cannot be read")
	p.Healed("x", "")
	require.Equal(t, []event.StreamID{"c"}, p.ToHeal(9))
	require.Equal(t, []Healing{{Stream: "b", Failed: "it cannot be read"}, {Stream: "c"}}, p.Healing)
	require.Len(t, copied.Healing, 3, "the copy is its own")
	p.MarkHealing([]event.StreamID{"b"})
	require.Equal(t, []event.StreamID{"c", "b"}, p.ToHeal(9), "what failed is tried again")
}
