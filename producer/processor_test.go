package producer

import (
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/schemas/record"
)

func TestCommandBecomesEventsAndOutcome(t *testing.T) {
	l := newLab(t, 4)
	l.process()
	p := l.publisher()
	o := l.do(p, command("alice", "deposit"), amount(5))
	if o.Kind != event.Accepted || o.Version != 1 || state(t, o).Balance != 5 || len(o.Events) != 1 || o.Position.IsZero() {
		t.Fatalf("deposit: %+v", o)
	}
	o = l.do(p, command("alice", "withdraw"), amount(7))
	if o.Kind != event.Rejected || o.Code != "insufficient_funds" || o.Version != 1 || state(t, o).Balance != 5 {
		t.Fatalf("withdraw: %+v", o)
	}
	o = l.do(p, command("alice", "twice"), amount(2))
	if o.Kind != event.Accepted || o.Version != 3 || len(o.Events) != 2 || o.Events[1].Version != 3 {
		t.Fatalf("twice: %+v", o)
	}
	events := l.events()["alice"]
	if len(events) != 3 || !events[2].LastOfCommand || events[1].LastOfCommand || events[2].CommandOffset != o.CommandOffset || events[2].CausationID != o.CommandID {
		t.Fatalf("events: %+v", events)
	}
	if got := len(l.logged(accountTopics.Outcomes)); got != 3 {
		t.Fatalf("%d outcomes, want 3", got)
	}
}

// Whoever sends a command waits for its outcome, but for what a reactor sends: what is not accepted of that is told.
func TestARefusedCommandThatNobodyWaitsForIsTold(t *testing.T) {
	l := newLab(t, 1)
	told := make(chan string, 10)
	l.process(func(c *Config) { c.Hooks.Unheard = func(aggregate, code string) { told <- aggregate + " " + code } })
	p := l.publisher()
	l.do(p, command("alice", "withdraw"), amount(7))
	caused := command("alice", "deposit")
	caused.CausationID = "o-1/2"
	l.do(p, caused, amount(5))
	caused.Type = "account.v1.withdraw"
	if o := l.do(p, caused, amount(7)); o.Kind != event.Rejected {
		t.Fatalf("%+v", o)
	}
	l.do(p, command("alice", "deposit"), amount(5)) // its outcome comes after what is told
	if got := <-told; got != "account insufficient_funds" || len(told) > 0 {
		t.Errorf("told of %q and %d more", got, len(told))
	}
}

func TestBadCommandsAreAnswered(t *testing.T) {
	l := newLab(t, 4)
	l.process()
	p := l.publisher()
	for _, c := range []struct {
		name, op, body string
		kind           event.Kind
		code, field    string
	}{
		{"malformed body", "deposit", `{"amount":`, event.Invalid, CodeMalformed, ""},
		{"broken rule", "deposit", `{"amount":-1}`, event.Invalid, CodeInvalid, "amount"},
		{"panic", "panic", `{}`, event.Rejected, CodeInternal, ""},
		{"error that is no rejection", "unheard-of", `{}`, event.Rejected, CodeInternal, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := l.do(p, command("bob", c.op), []byte(c.body))
			if o.Kind != c.kind || o.Code != c.code || o.Version != 0 {
				t.Fatalf("%+v", o)
			}
			if c.field != "" && (len(o.Fields) != 1 || o.Fields[0].Field != c.field) {
				t.Fatalf("fields %+v", o.Fields)
			}
		})
	}
	c := command("bob", "deposit")
	c.Type = "order.v1.PlaceOrder"
	if o := l.do(p, c, amount(1)); o.Kind != event.Invalid || o.Code != CodeUnknownCommand {
		t.Fatalf("unknown command: %+v", o)
	}
	if n := len(l.events()); n != 0 {
		t.Fatalf("%d streams have events", n)
	}
	if o := l.do(p, command("bob", "deposit"), amount(1)); o.Kind != event.Accepted {
		t.Fatalf("after bad ones: %+v", o)
	}
}

func TestRepeatIsAnsweredAsTheFirst(t *testing.T) {
	l := newLab(t, 2)
	_, stop := l.process()
	p := l.publisher()
	c := command("carol", "deposit")
	c.ID = "key-1"
	first := l.do(p, c, amount(3))
	l.do(p, command("carol", "deposit"), amount(10))
	check := func(when string) {
		t.Helper()
		again := l.do(p, c, amount(3))
		if again.Kind != event.Accepted || !again.Replayed || len(again.Events) != 1 || again.Events[0] != first.Events[0] || state(t, again).Balance != 13 {
			t.Fatalf("%s: repeat: %+v", when, again)
		}
		if o := l.do(p, c, amount(4)); o.Kind != event.Invalid || o.Code != CodeCommandIDReused {
			t.Fatalf("%s: other body: %+v", when, o)
		}
	}
	check("at once")
	stop()
	_, stop = l.process()
	check("after a restart")
	stop()
	l.dir = t.TempDir()
	l.process()
	check("after losing the local store")
	// What was not accepted is decided anew.
	w := command("carol", "withdraw")
	w.ID = "key-2"
	if o := l.do(p, w, amount(50)); o.Kind != event.Rejected {
		t.Fatalf("%+v", o)
	}
	l.do(p, command("carol", "deposit"), amount(100))
	if o := l.do(p, w, amount(50)); o.Kind != event.Accepted || o.Replayed {
		t.Fatalf("%+v", o)
	}
}

func TestExpectedVersion(t *testing.T) {
	l := newLab(t, 1)
	l.process()
	p := l.publisher()
	c := command("dora", "deposit")
	c.ExpectedVersion = 0
	if o := l.do(p, c, amount(1)); o.Kind != event.Accepted {
		t.Fatalf("%+v", o)
	}
	if o := l.do(p, c, amount(1)); o.Kind != event.Conflict || o.Code != CodeVersionConflict || o.Version != 1 || state(t, o).Balance != 1 {
		t.Fatalf("%+v", o)
	}
	c.ExpectedVersion = 1
	if o := l.do(p, c, amount(1)); o.Kind != event.Accepted || o.Version != 2 {
		t.Fatalf("%+v", o)
	}
}

func TestWrongPartitionIsRefused(t *testing.T) {
	l := newLab(t, 4)
	l.process()
	p := l.publisher()
	right := p.types["account"].partitions
	p.types["account"].partitions = 1 // as a client that partitions by another rule would do
	var o event.Outcome
	for _, id := range []string{"a", "b", "c", "d", "e", "f"} { // not all of them belong on partition 0
		if o = l.do(p, command(id, "deposit"), amount(1)); o.Kind == event.Invalid {
			break
		}
	}
	if o.Kind != event.Invalid || o.Code != CodeWrongPartition {
		t.Fatalf("%+v", o)
	}
	p.types["account"].partitions = right
	if got := l.do(p, command(string(o.Stream), "deposit"), amount(1)); got.Kind != event.Accepted || got.Version != 1 {
		t.Fatalf("%+v", got)
	}
}

func TestSnapshotsAndRestore(t *testing.T) {
	// States in heads, states in snapshots, and states that grow out of the one into the other.
	for name, inline := range map[string]int{"inline": 1 << 10, "snapshots": -1, "growing": len(`{"balance":9,"events":9}`)} {
		t.Run(name, func(t *testing.T) { testSnapshotsAndRestore(t, inline) })
	}
}

func testSnapshotsAndRestore(t *testing.T, inline int) {
	l := newLab(t, 2)
	small := func(c *Config) {
		c.SnapshotEvery, c.RoundEvents, c.RoundStep, c.InlineBytes = 7, 20, 3, inline
		c.CacheBytes = 1 << 20
	}
	_, stop := l.process(small)
	p := l.publisher()
	streams := []string{"s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8"}
	for i := range 30 {
		for _, s := range streams {
			if o := l.do(p, command(s, "deposit"), amount(1)); o.Version != event.Version(i+1) || state(t, o).Balance != int64(i+1) {
				t.Fatalf("%s after %d: %+v", s, i, o)
			}
		}
	}
	markers, snapshots := 0, 0
	for _, r := range l.logged(accountTopics.Snapshots) {
		if string(r.Key) == markerKey {
			markers++
		} else {
			snapshots++
		}
	}
	if markers < 4 || snapshots < 20 {
		t.Fatalf("%d markers and %d snapshots were written", markers, snapshots)
	}
	stop()
	check := func(when string, balance int64) {
		t.Helper()
		for _, s := range streams {
			o := l.do(p, command(s, "deposit"), amount(1))
			if got := state(t, o); o.Version != event.Version(balance) || got.Balance != balance || got.Events != int(balance) {
				t.Fatalf("%s: %s: %+v %+v", when, s, o, got)
			}
		}
	}
	_, stop = l.process(small)
	check("warm restart", 31)
	stop()
	// The next process finds a store that the log has left behind.
	behind := l.dir
	l.dir = t.TempDir()
	_, stop = l.process(small)
	check("another store", 32)
	check("another store", 33)
	stop()
	l.dir = behind
	_, stop = l.process(small)
	check("caught up", 34)
	check("caught up", 35)
	stop()
	l.dir = t.TempDir()
	_, stop = l.process(small)
	check("restored from the snapshots topic", 36)
	stop()
	l.dir = t.TempDir()
	l.typ.Fingerprint++ // as if folding had changed: no snapshot may be used
	l.process(small)
	check("refolded from the events", 37)
	l.events()
}

func TestPartitionsMoveBetweenWorkers(t *testing.T) {
	l := newLab(t, 6)
	_, stop1 := l.process()
	p := l.publisher()
	ctx := l.context(60 * time.Second)
	const n = 300
	results := make(chan event.Outcome, 3*n)
	send := func() {
		for i := range n {
			c := command("s"+string(rune('a'+i%20)), "deposit")
			if err := p.Enqueue(ctx, "account", c, record.JSON, amount(1), func(o event.Outcome, err error) {
				if err != nil {
					t.Error(err)
				}
				results <- o
			}); err != nil {
				t.Error(err)
			}
		}
	}
	send()
	other := t.TempDir()
	_, stop2 := l.process(func(c *Config) { c.Instance, c.Dir, c.Workers = "other", other, 2 })
	send()
	stop1()
	send()
	for range 3 * n {
		select {
		case o := <-results:
			if o.Kind != event.Accepted || o.Replayed {
				t.Fatalf("%+v", o)
			}
		case <-ctx.Done():
			t.Fatal("outcomes are missing")
		}
	}
	stop2()
	total := 0
	for _, events := range l.events() {
		total += len(events)
	}
	if total != 3*n {
		t.Fatalf("%d events, want %d", total, 3*n)
	}
}
