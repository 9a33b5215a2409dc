package reactor_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/cqrsflow/cqrsflow/consumers/internal/logtest"
	"github.com/cqrsflow/cqrsflow/consumers/reactor"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/partlog"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
	"github.com/cqrsflow/cqrsflow/topology"
)

// inPartition returns the n-th stream ID of a partition.
func inPartition(partition, of int32, n int) string {
	for i := 0; ; i++ {
		id := fmt.Sprintf("s-%d", i)
		if topology.PartitionOf(id, of) == partition {
			if n == 0 {
				return id
			}
			n--
		}
	}
}

// refusing is the reaction of purchases, but for the customers that refuse returns an error for or panics over.
func refusing(cfg reactor.Config, refuse func(customer string) error) reactor.Config {
	react := cfg.React
	cfg.React = func(e *event.Recorded) ([]reactor.Command, error) {
		if p, ok := e.Body.(*orderv1.OrderPaid); ok {
			if err := refuse(p.GetCustomer()); err != nil {
				return nil, err
			}
		}
		return react(e)
	}
	return cfg
}

// customers are those that commands were sent to, in the order of each partition.
func customers(t *testing.T, log *logtest.Log) (out []string) {
	t.Helper()
	for _, rec := range commands(t, log) {
		out = append(out, string(rec.Key))
	}
	return out
}

func sent(t *testing.T, log *logtest.Log, want ...string) {
	t.Helper()
	got := customers(t, log)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("purchases of %v, want %v", got, want)
	}
}

func parked(t *testing.T, r *reactor.Reactor) []reactor.ParkedEvent {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	list, err := r.Parked(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func pointers(list []reactor.ParkedEvent) (out []string) {
	for _, p := range list {
		if p.Dropped {
			continue
		}
		out = append(out, fmt.Sprintf("%s@%d attempts %d", p.Stream, p.Offset, p.Attempts))
	}
	return out
}

func hasParked(t *testing.T, r *reactor.Reactor, want ...string) {
	t.Helper()
	if got := pointers(parked(t, r)); !slices.Equal(got, want) {
		t.Errorf("parked: %q, want %q", got, want)
	}
}

func mustMark(t *testing.T, n int, f func(context.Context, string, event.StreamID) (int, error), stream string) {
	t.Helper()
	got, err := f(t.Context(), "order", event.StreamID(stream))
	if err != nil || got != n {
		t.Fatalf("%d events, %v; want %d", got, err, n)
	}
}

func TestAPoisonEventParksItsStreamAndNothingElse(t *testing.T) {
	panics := func(customer string) error {
		if customer == "c-bad" {
			panic("out of range")
		}
		return nil
	}
	refuses := func(customer string) error {
		if customer == "c-bad" {
			return errors.New("no such customer")
		}
		return nil
	}
	for name, c := range map[string]struct {
		bad    func(stream string) logtest.Command
		refuse func(string) error
		reason string
	}{
		"undecodable": {func(s string) logtest.Command { return logtest.Raw(s, "order.v1.OrderPaid", []byte("\xff\xff")) }, func(string) error { return nil }, "undecodable"},
		"panics":      {func(s string) logtest.Command { return paid(s, "c-bad") }, panics, "out of range"},
		"refused":     {func(s string) logtest.Command { return paid(s, "c-bad") }, refuses, "no such customer"},
		"no stream":   {func(s string) logtest.Command { return paid(s, "no stream") }, func(string) error { return nil }, "stream ID"},
	} {
		t.Run(name, func(t *testing.T) {
			log := logtest.New(t, 2, "order", "customer")
			bad, good := inPartition(0, 2, 0), inPartition(0, 2, 1)
			log.Append(t, "order", paid(bad, "c-1"), paid(good, "c-2"), c.bad(bad), paid(bad, "c-4"), logtest.One(bad, &orderv1.OrderPlaced{Customer: "x"}), paid(good, "c-5"))
			var told atomic.Int32
			cfg := refusing(config(t, log), c.refuse)
			cfg.From, cfg.OnParked = reactor.Start, func(n int) { told.Add(int32(n)) }
			r, stop := start(t, cfg)
			logtest.Until(t, "the stream is parked", func() bool { return r.Status().Parked == 1 })
			log.Append(t, "order", paid(bad, "c-7"), paid(good, "c-6"))
			logtest.Until(t, "what follows is reacted to", func() bool { return r.Status().Commands == 4 })
			if ok, why := r.Ready(); !ok {
				t.Errorf("not ready: %s", why)
			}
			if told.Load() != 3 || r.Status().SetAside != 3 {
				t.Errorf("told of %d parked events, counted %d; want 3", told.Load(), r.Status().SetAside)
			}
			stop()
			sent(t, log, "c-1", "c-2", "c-5", "c-6")
			// The order placed in between is not wanted, so it is not parked.
			hasParked(t, r, bad+"@2 attempts 1", bad+"@3 attempts 0", bad+"@7 attempts 0")
			list := parked(t, r)
			if !strings.Contains(list[0].Reason, c.reason) || list[1].Reason != "behind the event at offset 2" || list[0].ParkedAt.IsZero() {
				t.Errorf("reasons: %+v", list)
			}
		})
	}
}

func TestRetryWithNewCodeReactsInOrder(t *testing.T) {
	log := logtest.New(t, 2, "order", "customer")
	stream, other := inPartition(1, 2, 0), inPartition(1, 2, 1)
	// All of one customer, so that their order shows on one partition.
	var broken atomic.Bool
	broken.Store(true)
	var tried atomic.Int32
	cfg := refusing(config(t, log), func(string) error {
		if broken.Load() {
			tried.Add(1)
			return errors.New("not yet")
		}
		return nil
	})
	cfg.From = reactor.Start
	events := log.Append(t, "order", paid(stream, "c-1"), paid(stream, "c-1"), paid(stream, "c-1"))
	r, stop := start(t, cfg)
	logtest.Until(t, "parked", func() bool { return r.Status().Parked == 1 })

	// With the old code a retry parks again, once; a second operator's mark of the same sight does not count.
	mustMark(t, 3, r.Retry, stream)
	logtest.Until(t, "tried again", func() bool { return tried.Load() == 2 && parked(t, r)[0].Attempts == 2 })
	hasParked(t, r, stream+"@0 attempts 2", stream+"@1 attempts 0", stream+"@2 attempts 0")
	for _, p := range parked(t, r) {
		if p.Retry {
			t.Errorf("still marked: %+v", p)
		}
	}
	stop()

	// A restart with code that can: nothing happens by itself, and what arrives waits.
	broken.Store(false)
	log.Append(t, "order", paid(other, "c-2"), paid(stream, "c-1"))
	r, stop = start(t, cfg)
	logtest.Until(t, "the other stream is reacted to", func() bool { return r.Status().Commands == 1 })
	if r.Status().Parked != 1 {
		t.Errorf("%d streams are parked after a restart", r.Status().Parked)
	}
	if n, err := r.Retry(t.Context(), "", ""); n != 4 || err != nil { // all there are
		t.Fatal(n, err)
	}
	logtest.Until(t, "nothing is parked", func() bool { return r.Status().Parked == 0 })
	log.Append(t, "order", paid(stream, "c-1"))
	logtest.Until(t, "the stream flows again", func() bool { return r.Status().Commands == 6 })
	stop()
	hasParked(t, r)
	var got []string
	for _, rec := range commands(t, log) {
		if string(rec.Key) == "c-1" {
			for _, h := range rec.Headers {
				if h.Key == "ce_causationid" {
					got = append(got, string(h.Value))
				}
			}
		}
	}
	var want []string
	for v := 1; v <= 5; v++ {
		want = append(want, fmt.Sprintf("%s/%d", stream, v))
	}
	if !slices.Equal(got, want) {
		t.Errorf("commands because of %v, want %v", got, want)
	}
	if ids(commands(t, log))[reactor.CommandID("purchases", &events[0], 0)] != 1 {
		t.Error("the ID of a parked event's command is another one")
	}
	if n, err := r.Retry(t.Context(), "order", event.StreamID(stream)); n != 0 || err != nil {
		t.Errorf("retry of nothing: %d, %v", n, err)
	}
}

func TestDropGivesUpOneEvent(t *testing.T) {
	log := logtest.New(t, 2, "order", "customer")
	stream := inPartition(0, 2, 0)
	log.Append(t, "order", paid(stream, "c-bad"), paid(stream, "c-2"), paid(stream, "c-bad"), paid(stream, "c-4"))
	cfg := refusing(config(t, log), func(customer string) error {
		if customer == "c-bad" {
			return errors.New("never")
		}
		return nil
	})
	cfg.From = reactor.Start
	r, stop := start(t, cfg)
	logtest.Until(t, "parked", func() bool { return r.Status().Parked == 1 })
	stop()

	// Two operators drop the same event while the reactor is away: one event is given up, not two.
	mustMark(t, 1, r.Drop, stream)
	mustMark(t, 1, r.Drop, stream)
	mustMark(t, 3, r.Retry, stream) // which does not bring it back
	if list := parked(t, r); len(list) != 4 || !list[0].Dropped || list[1].Dropped || !list[1].Retry {
		t.Errorf("after the mark: %+v", list)
	}
	r, stop = start(t, cfg)
	logtest.Until(t, "the next bad one parks it", func() bool { return slices.Contains(pointers(parked(t, r)), stream+"@2 attempts 1") })
	hasParked(t, r, stream+"@2 attempts 1", stream+"@3 attempts 0")
	sent(t, log, "c-2")
	mustMark(t, 1, r.Drop, stream)
	logtest.Until(t, "nothing is parked", func() bool { return r.Status().Parked == 0 })
	stop()
	sent(t, log, "c-2", "c-4")
	hasParked(t, r)
	if _, err := r.Drop(t.Context(), "", ""); !errors.Is(err, event.ErrInvalid) {
		t.Errorf("drop of everything: %v", err)
	}
}

// Marks that were made for what has been tried meanwhile, and records that only look like pointers, do nothing.
func TestWhatIsNoMarkDoesNothing(t *testing.T) {
	log := logtest.New(t, 2, "order", "customer")
	stream, other := inPartition(0, 2, 0), inPartition(0, 2, 1)
	var tried atomic.Int32
	cfg := refusing(config(t, log), func(customer string) error {
		if customer == "c-bad" {
			tried.Add(1)
			return errors.New("never")
		}
		return nil
	})
	cfg.From = reactor.Start
	log.Append(t, "order", paid(stream, "c-bad"))
	r, stop := start(t, cfg)
	logtest.Until(t, "parked", func() bool { return r.Status().Parked == 1 })
	mustMark(t, 1, r.Retry, stream)
	logtest.Until(t, "tried again", func() bool { return tried.Load() == 2 && r.Status().Transactions >= 2 })
	stop()
	write(t, log, "purchases!"+stream, `{"format":1,"action":"drop","offset":0,"attempts":1}`) // of one try ago
	write(t, log, "purchases!"+other, `{"format":1,"action":"drop","offset":0,"attempts":1}`)  // nothing of it is parked
	write(t, log, "purchases@17", `{"format":1,"stream":"`+other+`","version":1}`)             // outside a transaction
	write(t, log, "another@0", `{"format":9}`)
	write(t, log, "purchases!"+other, `no JSON`)
	r, stop = start(t, cfg)
	log.Append(t, "order", paid(other, "c-1"))
	logtest.Until(t, "the other stream flows", func() bool { return r.Status().Commands == 1 })
	mustMark(t, 1, r.Retry, stream) // a good one, so that the marks before it have been seen
	logtest.Until(t, "tried again", func() bool { return tried.Load() == 3 })
	stop()
	hasParked(t, r, stream+"@0 attempts 3")
}

// write writes a record to partition 0 of the parked topic, outside any transaction.
func write(t *testing.T, log *logtest.Log, key, value string) {
	t.Helper()
	cl, err := kgo.NewClient(append(log.Client(), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	rec := &kgo.Record{Topic: topology.TopicsOf("", "order").Parked, Key: []byte(key), Value: []byte(value)}
	if err := cl.ProduceSync(t.Context(), rec).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// A pointer and the offset past its event are one transaction: where that is aborted, nothing is parked, and nothing is
// once it is committed twice.
func TestNothingIsParkedByAnAbortedTransaction(t *testing.T) {
	log := logtest.New(t, 2, "order", "customer")
	stream, good := inPartition(0, 2, 0), inPartition(0, 2, 1)
	var failing atomic.Bool
	failing.Store(true)
	var failed atomic.Int32
	log.Cluster.ControlKey(int16(kmsg.TxnOffsetCommit), func(req kmsg.Request) (kmsg.Response, error, bool) {
		log.Cluster.KeepControl()
		c := req.(*kmsg.TxnOffsetCommitRequest)
		if !strings.Contains(c.TransactionalID, "purchases") || !failing.Load() {
			return nil, nil, false
		}
		if c.MemberID == "" || c.Generation < 0 {
			t.Errorf("an offset is committed by no member: %q, generation %d", c.MemberID, c.Generation)
		}
		failed.Add(1)
		resp := c.ResponseKind().(*kmsg.TxnOffsetCommitResponse)
		for _, topic := range c.Topics {
			rt := kmsg.NewTxnOffsetCommitResponseTopic()
			rt.Topic, rt.TopicID = topic.Topic, topic.TopicID
			for _, part := range topic.Partitions {
				rp := kmsg.NewTxnOffsetCommitResponseTopicPartition()
				rp.Partition, rp.ErrorCode = part.Partition, kerr.RebalanceInProgress.Code
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		return resp, nil, true
	})
	log.Append(t, "order", paid(stream, "c-bad"), paid(good, "c-1"), paid(stream, "c-2"))
	cfg := refusing(config(t, log), func(customer string) error {
		if customer == "c-bad" {
			return errors.New("never")
		}
		return nil
	})
	cfg.From = reactor.Start
	r, stop := start(t, cfg)
	logtest.Until(t, "transactions were aborted", func() bool { return failed.Load() >= 2 })
	if s := r.Status(); s.Parked != 0 || s.SetAside != 0 || s.Commands != 0 {
		t.Errorf("after aborts: %+v", s)
	}
	hasParked(t, r)
	failing.Store(false)
	logtest.Until(t, "it is parked", func() bool { return r.Status().Parked == 1 })
	hasParked(t, r, stream+"@0 attempts 1", stream+"@2 attempts 0")

	// The same of a try: commands, pointers and mark are aborted together, and the mark still counts then.
	before := failed.Load()
	failing.Store(true)
	mustMark(t, 1, r.Drop, stream)
	logtest.Until(t, "tries were aborted", func() bool { return failed.Load() >= before+2 })
	sent(t, log, "c-1")
	if list := parked(t, r); len(list) != 2 || !list[0].Dropped {
		t.Errorf("after aborted tries: %+v", list)
	}
	failing.Store(false)
	logtest.Until(t, "nothing is parked", func() bool { return r.Status().Parked == 0 })
	stop()
	sent(t, log, "c-1", "c-2")
	hasParked(t, r)
}

// An end whose outcome is unknown starts a new session; what was committed after all is not parked, or sent, anew.
func TestAnUnknownEndOfAParkingTransaction(t *testing.T) {
	log := logtest.New(t, 2, "order", "customer")
	stream := inPartition(0, 2, 0)
	var unknown atomic.Int32
	log.Cluster.ControlKey(int16(kmsg.EndTxn), func(req kmsg.Request) (kmsg.Response, error, bool) {
		log.Cluster.KeepControl()
		end := req.(*kmsg.EndTxnRequest)
		if !strings.Contains(end.TransactionalID, "purchases") || unknown.Add(1)%2 == 0 {
			return nil, nil, false
		}
		resp := end.ResponseKind().(*kmsg.EndTxnResponse)
		resp.ErrorCode = kerr.InvalidProducerEpoch.Code
		return resp, nil, true
	})
	log.Append(t, "order", paid(stream, "c-bad"), paid(stream, "c-2"))
	cfg := refusing(config(t, log), func(customer string) error {
		if customer == "c-bad" {
			return errors.New("never")
		}
		return nil
	})
	cfg.From = reactor.Start
	r, stop := start(t, cfg)
	logtest.Until(t, "parked", func() bool { return len(parked(t, r)) == 2 && r.Status().Parked == 1 })
	mustMark(t, 1, r.Drop, stream)
	logtest.Until(t, "nothing is parked", func() bool { return len(parked(t, r)) == 0 && len(commands(t, log)) > 0 })
	stop()
	if unknown.Load() < 3 {
		t.Fatal("no EndTxn failed: the test tests nothing")
	}
	sent(t, log, "c-2")
}

func TestParkedStreamsMoveWithTheirPartition(t *testing.T) {
	const partitions = 4
	log := logtest.New(t, partitions, "order", "customer")
	var broken atomic.Bool
	broken.Store(true)
	cfg := refusing(config(t, log), func(customer string) error {
		if broken.Load() && strings.HasPrefix(customer, "bad") {
			return errors.New("not yet")
		}
		return nil
	})
	cfg.From = reactor.Start
	var want []string
	for p := range int32(partitions) {
		log.Append(t, "order", paid(inPartition(p, partitions, 0), fmt.Sprintf("bad-%d", p)))
		want = append(want, fmt.Sprintf("bad-%d", p))
	}
	first, stopFirst := start(t, cfg)
	logtest.Until(t, "all are parked", func() bool { return first.Status().Parked == partitions })
	cfg.Instance = "b"
	second, stopSecond := start(t, cfg)
	logtest.Until(t, "each has half of them", func() bool { return first.Status().Parked == partitions/2 && second.Status().Parked == partitions/2 })
	for p := range int32(partitions) { // behind them, wherever they are now
		log.Append(t, "order", paid(inPartition(p, partitions, 0), fmt.Sprintf("next-%d", p)), paid(inPartition(p, partitions, 1), fmt.Sprintf("good-%d", p)))
		want = append(want, fmt.Sprintf("next-%d", p), fmt.Sprintf("good-%d", p))
	}
	logtest.Until(t, "the others flow", func() bool { return first.Status().Commands+second.Status().Commands == partitions })
	logtest.Until(t, "all wait", func() bool { return len(parked(t, first)) == 2*partitions })
	stopFirst()
	logtest.Until(t, "the second has all", func() bool { return second.Status().Parked == partitions })
	broken.Store(false)
	if n, err := first.Retry(t.Context(), "", ""); n != 2*partitions || err != nil { // whoever owns them
		t.Fatal(n, err)
	}
	logtest.Until(t, "nothing is parked", func() bool { return second.Status().Parked == 0 })
	stopSecond()
	sent(t, log, want...)
	hasParked(t, second)
}

// A try is one transaction of bounded size; a longer stream goes on from there, after a restart as well.
func TestALongStreamIsTriedInSteps(t *testing.T) {
	log := logtest.New(t, 1, "order", "customer")
	const n = 1203
	var cmds []logtest.Command
	for range n {
		cmds = append(cmds, paid("o-1", "c-1"))
	}
	log.Append(t, "order", cmds...)
	var broken atomic.Bool
	broken.Store(true)
	cfg := refusing(config(t, log), func(string) error {
		if broken.Load() {
			return errors.New("not yet")
		}
		return nil
	})
	cfg.From = reactor.Start
	r, _ := start(t, cfg)
	logtest.Until(t, "all are parked", func() bool { return r.Status().SetAside == n })
	broken.Store(false)
	before := r.Status().Transactions
	mustMark(t, n, r.Retry, "o-1")
	logtest.Until(t, "nothing is parked", func() bool { return r.Status().Parked == 0 })
	if steps := r.Status().Transactions - before; steps != 3 {
		t.Errorf("%d transactions, want 3", steps)
	}
	recs := commands(t, log)
	if len(recs) != n || len(ids(recs)) != n {
		t.Errorf("%d commands, %d of them different; want %d", len(recs), len(ids(recs)), n)
	}
	for i, rec := range recs {
		for _, h := range rec.Headers {
			if h.Key == "ce_causationid" && string(h.Value) != fmt.Sprintf("o-1/%d", i+1) {
				t.Fatalf("command %d is because of %s", i, h.Value)
			}
		}
	}
}

// writeCommitted writes a record to partition 0 of the parked topic in a transaction, as the owner of a partition does.
func writeCommitted(t *testing.T, log *logtest.Log, key, value string) {
	t.Helper()
	cl, err := kgo.NewClient(append(log.Client(), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID("owner"))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	rec := &kgo.Record{Topic: topology.TopicsOf("", "order").Parked, Key: []byte(key), Value: []byte(value)}
	if err := cl.ProduceSync(t.Context(), rec).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := cl.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
}

// Pointers of a log that was lost and made again hide no event of the new one, and trying them says what they are.
func TestPointersOfALostLog(t *testing.T) {
	log := logtest.New(t, 1, "order", "customer")
	writeCommitted(t, log, "purchases@0", `{"format":1,"stream":"gone-1","version":3,"attempts":1}`)
	writeCommitted(t, log, "purchases@1", `{"format":1,"stream":"gone-2","version":3,"attempts":1}`)
	writeCommitted(t, log, "purchases@2", `{"format":1,"stream":"gone-3","version":3,"attempts":1}`)
	writeCommitted(t, log, "purchases@7777", `{"format":1,"stream":"gone-4","version":3,"attempts":1}`)
	log.Append(t, "order", paid("o-1", "c-1"), logtest.Raw("o-2", "order.v1.OrderPaid", []byte("\xff")), logtest.One("o-3", &orderv1.OrderPlaced{Customer: "x"}))
	cfg := config(t, log)
	cfg.From = reactor.Start
	r, stop := start(t, cfg)
	logtest.Until(t, "it has gone through", func() bool { return r.Status().Commands == 1 && r.Status().SetAside == 1 })
	hasParked(t, r, "o-2@1 attempts 1", "gone-3@2 attempts 1", "gone-4@7777 attempts 1")
	for _, s := range []string{"gone-3", "gone-4"} {
		mustMark(t, 1, r.Retry, s)
		logtest.Until(t, "it was tried", func() bool {
			return slices.ContainsFunc(parked(t, r), func(p reactor.ParkedEvent) bool { return string(p.Stream) == s && (p.Attempts == 2) })
		})
		mustMark(t, 1, r.Drop, s)
	}
	logtest.Until(t, "they are given up", func() bool { return r.Status().Parked == 1 })
	stop()
	sent(t, log, "c-1")
	hasParked(t, r, "o-2@1 attempts 1")
}

// A pointer that the program cannot read stops the reactor: going on would lose the event.
func TestAPointerOfALaterVersionStopsIt(t *testing.T) {
	log := logtest.New(t, 1, "order", "customer")
	log.Append(t, "order", paid("o-1", "c-1"))
	writeCommitted(t, log, "purchases@0", `{"format":2,"stream":"o-1"}`)
	cfg := config(t, log)
	cfg.From = reactor.Start
	r, stop := start(t, cfg)
	logtest.Until(t, "it says why", func() bool { return strings.Contains(r.Status().Reason, "it has format 2") })
	if _, err := r.Parked(t.Context()); !errors.Is(err, event.ErrCorrupt) {
		t.Errorf("Parked: %v", err)
	}
	stop()
	sent(t, log)
}

// What is parked survives compaction, which may leave the end of the log empty of anything to see.
func TestThePointersAreOneRecordEach(t *testing.T) {
	log := logtest.New(t, 1, "order", "customer")
	log.Append(t, "order", paid("o-1", "c-1"), paid("o-2", "c-2"))
	cfg := refusing(config(t, log), func(string) error { return errors.New("never") })
	cfg.From = reactor.Start
	r, stop := start(t, cfg)
	logtest.Until(t, "parked", func() bool { return r.Status().Parked == 2 })
	for range 3 {
		at := parked(t, r)[0].Attempts
		mustMark(t, 1, r.Retry, "o-1")
		logtest.Until(t, "tried", func() bool { return parked(t, r)[0].Attempts == at+1 })
	}
	stop()
	last := map[string]string{} // what compaction leaves
	topic := topology.TopicsOf("", "order").Parked
	err := partlog.Read(t.Context(), log.Client(), partlog.Span{Topic: topic, To: log.Cluster.PartitionInfo(topic, 0).HighWatermark}, nil, nil, func(rec *kgo.Record) error {
		if last[string(rec.Key)] = string(rec.Value); rec.Value == nil {
			delete(last, string(rec.Key))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(last) != 2 || !strings.Contains(last["purchases@0"], `"attempts":4`) || !strings.Contains(last["purchases@1"], `"stream":"o-2"`) {
		t.Errorf("%v", last)
	}
}
