package topology

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/cqrsflow/cqrsflow/event"
)

const orderEvents, orderCommands, orderOutcomes = "cqrsflow.order.events", "cqrsflow.order.commands", "cqrsflow.order.outcomes"

// commitBeyond has a group commit an offset beyond the end of a partition: what a cut off log looks like.
func commitBeyond(t *testing.T, adm *kadm.Client, group, topic string, partition int32, at int64) {
	t.Helper()
	var o kadm.Offsets
	o.AddOffset(topic, partition, at, -1)
	if err := adm.CommitAllOffsets(ctxOf(t), group, o); err != nil {
		t.Fatal(err)
	}
}

func accepted(t *testing.T, top *Topology) Acceptances {
	t.Helper()
	a, err := Accepted(ctxOf(t), top.client, top.client.Opts(), "")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A topic that is the same and ends earlier: consumer groups show it, once.
func TestCutOff(t *testing.T) {
	client, top := applied(t, single, "order", "customer")
	adm := kadm.NewClient(client)
	if a := accepted(t, top); a != nil {
		t.Errorf("accepted before anything was lost: %v", a)
	}
	commitBeyond(t, adm, "cqrsflow.orders.v1", orderEvents, 3, 7)
	commitBeyond(t, adm, "cqrsflow.history.v1", orderEvents, 3, 9)
	commitBeyond(t, adm, "somebody.else", orderCommands, 2, 5)
	if found, err := top.Verify(ctxOf(t)); err != nil || len(found) != 1 || found[0].Level != Problem || found[0].Topic != orderEvents || found[0].Want != "9" || found[0].Got != "0" {
		t.Errorf("verify: %+v, %v", found, err)
	}
	if _, err := top.Check(ctxOf(t)); err != nil {
		t.Errorf("a lost partition is no reason for all roles not to start: %v", err)
	}
	three := int32(3)
	lost, err := top.AcceptLoss(ctxOf(t))
	want := []Loss{{Aggregate: "order", Topic: orderEvents, Partition: &three, Group: "cqrsflow.history.v1", Committed: 9}}
	if diff := cmp.Diff(want, lost); diff != "" || err != nil {
		t.Errorf("%v, %s", err, diff)
	}
	a := accepted(t, top)
	got := a.Of("order", 3)
	if len(a) != 1 || got.Since() == 0 || got.LostAt(orderEvents) != got.Since() || got.LostAt(orderCommands) != 0 || got.Commands != nil {
		t.Errorf("accepted: %+v", got)
	}
	id := [16]byte{1}
	if got.Incarnation(orderEvents, id) == id || got.Incarnation(orderCommands, id) != id || a.Of("order", 2).Incarnation(orderEvents, id) != id {
		t.Error("which topics count as others is wrong")
	}
	if lost, err := top.AcceptLoss(ctxOf(t)); err != nil || len(lost) > 0 {
		t.Errorf("once more: %v, %v", lost, err)
	}
	if found, err := top.Verify(ctxOf(t)); err != nil || len(found) > 0 {
		t.Errorf("verify after: %v, %v", found, err)
	}
	// Another offset shows another loss.
	commitBeyond(t, adm, "cqrsflow.orders.v1", orderEvents, 3, 8)
	if lost, err := top.AcceptLoss(ctxOf(t)); err != nil || len(lost) != 1 || lost[0].Committed != 8 {
		t.Errorf("a second loss: %v, %v", lost, err)
	}
	if again := accepted(t, top).Of("order", 3); again.Since() <= got.Since() {
		t.Errorf("the epoch went from %d to %d", got.Since(), again.Since())
	}
}

func TestNamedLosses(t *testing.T) {
	_, top := applied(t, single, "order")
	for what, want := range map[string]string{
		"order":                    "write TOPIC or TOPIC/PARTITION with one of the topics cqrsflow.order.commands",
		orderEvents + "/4":         "has the partitions 0 to 3",
		orderEvents + "/x":         "has the partitions 0 to 3",
		"cqrsflow.order.snapshots": "is a cache",
	} {
		_, err := top.AcceptLoss(ctxOf(t), orderEvents+"/1", what)
		contains(t, err, event.ErrConfig, want)
	}
	if a := accepted(t, top); a != nil {
		t.Errorf("accepted all the same: %v", a)
	}
	if lost, err := top.AcceptLoss(ctxOf(t), orderEvents+"/1", orderOutcomes); err != nil || len(lost) != 2 {
		t.Errorf("%v, %v", lost, err)
	}
	a := accepted(t, top)
	if len(a) != 4 || a.Of("order", 1).LostAt(orderEvents) == 0 || a.Of("order", 0).LostAt(orderEvents) != 0 || a.Of("order", 0).LostAt(orderOutcomes) == 0 {
		t.Errorf("accepted: %v", a)
	}
}

// What is written down of one loss after the other.
func TestAcceptances(t *testing.T) {
	topics := TopicsOf("", "order")
	o := &observed{topics: map[string]observedTopic{}}
	for i, name := range topics.All() {
		o.topics[name] = observedTopic{id: [16]byte{byte(i + 1)}, partitions: 1}
	}
	ends := func(commands, events, outcomes int64) *committed {
		c := &committed{ends: kadm.ListedOffsets{}}
		for name, at := range map[string]int64{topics.Commands: commands, topics.Events: events, topics.Outcomes: outcomes} {
			c.ends[name] = map[int32]kadm.ListedOffset{0: {Topic: name, Offset: at}}
		}
		return c
	}
	now := time.UnixMilli(1000)
	made := func(topic string) Loss {
		return Loss{Aggregate: "order", Topic: topic, Recorded: "before", Actual: "after"}
	}
	cut := func(topic string) Loss { return Loss{Aggregate: "order", Topic: topic} }

	first := o.acceptances("order", topics, []Loss{cut(orderCommands)}, ends(40, 120, 80), nil, now)
	want := &Acceptance{Format: 1, Epoch: 1000, Lost: map[string]int64{orderCommands: 1000}, Cut: map[string]int64{orderCommands: 1000},
		Topics:   map[string]string{orderCommands: idText([16]byte{1}), orderEvents: idText([16]byte{2}), orderOutcomes: idText([16]byte{3})},
		Ends:     map[string]int64{orderCommands: 40, orderEvents: 120, orderOutcomes: 80},
		Commands: &CommandsLoss{Next: 40, Events: 120, Outcomes: 80}}
	if diff := cmp.Diff(Acceptances{"order/0": want}, first); diff != "" {
		t.Fatal(diff)
	}
	// The clock was put back. Events are cut off before where the command offsets began anew.
	second := o.acceptances("order", topics, []Loss{cut(orderEvents)}, ends(60, 100, 90), first, time.UnixMilli(500)).Of("order", 0)
	if second.Epoch != 1001 || second.LostAt(orderCommands) != 1000 || second.LostAt(orderEvents) != 1001 ||
		*second.Commands != (CommandsLoss{Next: 40, Events: 100, Outcomes: 80}) || len(second.Cut) != 2 {
		t.Errorf("%+v %+v", second, second.Commands)
	}
	// Commands are made again: all of them are decided, and the topic's ID says enough.
	third := o.acceptances("order", topics, []Loss{made(orderCommands)}, ends(5, 110, 95), Acceptances{"order/0": second}, now).Of("order", 0)
	if third.Epoch != 1002 || *third.Commands != (CommandsLoss{Next: 0, Events: 110, Outcomes: 95}) || third.Cut[orderCommands] != 0 || third.Cut[orderEvents] != 1001 {
		t.Errorf("%+v %+v", third, third.Commands)
	}
}
