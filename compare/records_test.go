package compare_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cqrsflow/cqrsflow/compare"
	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/domain/order"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/event/principal"
	"github.com/cqrsflow/cqrsflow/internal/secret"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
	"github.com/cqrsflow/cqrsflow/schemas/record"
	"github.com/cqrsflow/cqrsflow/topology"
)

// byHand writes to the topics of partition 0 what a processor of another time could have written.
type byHand struct {
	*lab
	cl       *kgo.Client
	enc      record.Encoder
	commands int64
	versions map[event.StreamID]event.Version
	// without leaves the events out, as where their marker has not arrived yet.
	without bool
}

var then = time.Date(1997, 1, 1, 8, 0, 0, 0, time.UTC)

func (l *lab) byHand() *byHand {
	l.t.Helper()
	cl, err := kgo.NewClient(append(l.kafka, kgo.TransactionalID("by-hand"), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(cl.Close)
	return &byHand{lab: l, cl: cl, versions: map[event.StreamID]event.Version{}}
}

// decided writes a command, the events that it had, and its outcome. Reading them needs commit.
func (w *byHand) decided(stream event.StreamID, command proto.Message, variant string, offset int64, events ...proto.Message) {
	w.t.Helper()
	body := func(m proto.Message) []byte {
		b, err := proto.Marshal(m)
		if err != nil {
			w.t.Fatal(err)
		}
		return append([]byte{}, b...)
	}
	name := func(m proto.Message) string { return string(m.ProtoReflect().Descriptor().FullName()) }
	id := fmt.Sprint("c-", w.commands)
	records := []*kgo.Record{w.enc.Command(&event.Command{ID: id, Type: name(command), Stream: stream, ExpectedVersion: event.AnyVersion},
		topics.Commands, 0, record.Protobuf, body(command))}
	w.commands++
	o := event.Outcome{Aggregate: order.Name, Stream: stream, CommandID: id, Kind: event.Accepted, RecordedTime: then, CommandOffset: offset, Variant: variant}
	for i, e := range events {
		w.versions[stream]++
		env := event.Envelope{Aggregate: order.Name, Stream: stream, Version: w.versions[stream], Type: name(e), Time: then, RecordedTime: then, CausationID: id,
			CommandOffset: offset, LastOfCommand: i == len(events)-1, ContentType: record.Protobuf, Data: body(e), Variant: variant}
		if !w.without {
			records = append(records, w.enc.Event(&env, topics.Events))
		}
		o.Events = append(o.Events, event.Ref{Type: env.Type, Version: env.Version})
	}
	o.Version = w.versions[stream]
	records = append(records, w.enc.Outcome(&o, topics.Outcomes))
	if err := w.cl.ProduceSync(w.context(), records...).FirstErr(); err != nil {
		w.t.Fatal(err)
	}
}

// in runs f in a transaction.
func (w *byHand) in(commit kgo.TransactionEndTry, f func()) {
	w.t.Helper()
	if err := w.cl.BeginTransaction(); err != nil {
		w.t.Fatal(err)
	}
	f()
	if err := w.cl.EndTransaction(w.context(), commit); err != nil {
		w.t.Fatal(err)
	}
}

// placedFor is what placing gives.
func placedFor(t *testing.T, d decide, c proto.Message, s *orderv1.OrderState) proto.Message {
	t.Helper()
	events, err := d(decider.Command[proto.Message]{Command: event.Command{Stream: "o", Time: then}, Body: c}, s)
	if err != nil {
		t.Fatal(err)
	}
	return events[0]
}

// offsets of commands in transactions: a marker takes one after each, so each command here has a transaction of its own.
func (w *byHand) one(stream event.StreamID, command proto.Message, variant string, events ...proto.Message) {
	w.t.Helper()
	w.in(kgo.TryCommit, func() { w.decided(stream, command, variant, 2*w.commands, events...) })
}

// The control is held against the decisions that it made itself: an experiment's variant made others. Events of types
// that are not written any more count as what they mean today.
func TestWhoDecidedLive(t *testing.T) {
	l := newLab(t, 1)
	typ := orders(t, nil)
	w := l.byHand()
	paidAs := func(d decide, stream event.StreamID, variant string) {
		placed := placedFor(t, order.Decide, place("11.77"), &orderv1.OrderState{})
		w.one(stream, place("11.77"), "", placed)
		w.one(stream, &orderv1.PayOrder{}, variant, placedFor(t, d, &orderv1.PayOrder{}, order.Evolve(&orderv1.OrderState{}, placed)))
	}
	paidAs(order.Decide, "o-1", "")
	paidAs(order.DecideV2, "o-2", "shipping=v2")
	paidAs(order.Decide, "o-3", "shipping=v1")
	w.one("o-1", &orderv1.AnnotateOrder{Text: "ring twice"}, "", &orderv1.OrderAnnotated{Text: "ring twice", AnnotatedAt: timestamppb.New(then)})
	r := l.run(typ)
	if r.Commands != 7 || r.Differ != 3 || !r.Deterministic || r.Determinism.Checked != 6 {
		t.Errorf("%+v\n%+v", r, r.Determinism)
	}
	if r := l.run(typ, func(c *compare.Config) { c.Control, c.Candidate = "v2", "v1" }); !r.Deterministic || r.Determinism.Checked != 1 {
		t.Errorf("of v2: %+v", r.Determinism)
	}
	// Aborted and open transactions are not there.
	w.in(kgo.TryAbort, func() { w.decided("o-4", place("1.00"), "", 2*w.commands) })
	if err := w.cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	w.decided("o-5", place("1.00"), "", 2*w.commands)
	if r := l.run(typ); r.Commands != 7 || !r.Deterministic {
		t.Errorf("%d commands, %+v", r.Commands, r.Skipped)
	}
	if err := w.cl.EndTransaction(w.context(), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
}

// An outcome can be seen before its events: the comparison ends there, and takes nothing for a difference.
func TestATransactionThatIsBeingCommitted(t *testing.T) {
	l := newLab(t, 1)
	w := l.byHand()
	w.one("o-1", place("1.00"), "", placedFor(t, order.Decide, place("1.00"), &orderv1.OrderState{}))
	w.without = true
	w.one("o-2", place("1.00"), "", placedFor(t, order.Decide, place("1.00"), &orderv1.OrderState{}))
	r := l.run(orders(t, nil))
	if r.Commands != 1 || len(r.Skipped) != 0 || !r.Deterministic {
		t.Errorf("%d commands, skipped %v, %+v", r.Commands, r.Skipped, r.Determinism)
	}
}

// Decide gets in a replay, to the microsecond, what it got live: who asked, too, where that was signed.
func TestDecideGetsWhatItGotLive(t *testing.T) {
	l := newLab(t, 2)
	keys, err := principal.NewKeyring(secret.Generate("a"))
	if err != nil {
		t.Fatal(err)
	}
	l.signer = &principal.Signer{Keys: keys, As: principal.Principal{Kind: principal.User, ID: "ann"}}
	var mu sync.Mutex
	got := map[string]event.Command{}
	replayed := false
	typ := ordersDecided(t, func(c decider.Command[proto.Message], s *orderv1.OrderState) ([]proto.Message, error) {
		mu.Lock()
		defer mu.Unlock()
		if !replayed {
			got[c.ID] = c.Command
		} else if diff := cmp.Diff(got[c.ID], c.Command); diff != "" {
			t.Errorf("%s (-live +replay):\n%s", c.ID, diff)
		}
		return order.Decide(c, s)
	})
	l.serve(typ, func(l live) {
		for i := range 5 {
			id := event.StreamID(fmt.Sprint("o-", i))
			body, err := proto.Marshal(place("11.77"))
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range []event.Command{
				{ID: string(id) + "-1", Stream: id, Type: "order.v1.PlaceOrder", ExpectedVersion: 0, Time: then.Add(123456789), CorrelationID: "b", TraceParent: "c"},
				{ID: string(id) + "-2", Stream: id, Type: "order.v1.PayOrder", ExpectedVersion: event.AnyVersion, ReturnState: true, CausationID: "a"},
				{ID: string(id) + "-3", Stream: id, Type: "order.v1.PayOrder", ExpectedVersion: event.AnyVersion},
			} {
				if _, err := l.pub.Do(l.context(), c, order.Name, record.Protobuf, body); err != nil {
					t.Fatal(err)
				}
				body = nil
			}
		}
	})
	mu.Lock()
	replayed = true
	mu.Unlock()
	if len(got) != 15 || got["o-0-1"].Principal != "user:ann" {
		t.Fatalf("%d decided live", len(got))
	}
	if r := l.run(typ, func(c *compare.Config) { c.Candidate = "v1" }); r.Commands != 15 || r.Differ != 0 || !r.Deterministic {
		t.Errorf("%+v", r)
	}
}

// Where the commands topic was lost and began again, offsets of commands mean two things: that is said, not guessed.
func TestCommandsThatBeganAgain(t *testing.T) {
	l := newLab(t, 1)
	w := l.byHand()
	w.in(kgo.TryCommit, func() {
		w.decided("o-1", place("1.00"), "", 9, placedFor(t, order.Decide, place("1.00"), &orderv1.OrderState{}))
	})
	w.in(kgo.TryCommit, func() {
		w.decided("o-2", place("1.00"), "", 2, placedFor(t, order.Decide, place("1.00"), &orderv1.OrderState{}))
	})
	w.in(kgo.TryCommit, func() { w.decided("o-3", place("1.00"), "", 10) })
	_, err := compare.Run(l.context(), l.config(orders(t, nil)))
	if !errors.Is(err, event.ErrCorrupt) || !strings.Contains(err.Error(), "was lost and began again") {
		t.Errorf("%v", err)
	}
}

// Once the loss of the commands was accepted, what was decided since is compared, on states that what was decided before has made;
// the report says so.
func TestAcceptedLossOfCommands(t *testing.T) {
	l := newLab(t, 1)
	w := l.byHand()
	placed := placedFor(t, order.Decide, place("1.00"), &orderv1.OrderState{})
	w.in(kgo.TryCommit, func() { w.decided("o-1", place("1.00"), "", 9, placed) })
	w.in(kgo.TryCommit, func() { w.decided("o-2", place("1.00"), "", 2, placed) })
	w.in(kgo.TryCommit, func() {
		w.decided("o-1", &orderv1.PayOrder{}, "", 4, placedFor(t, order.Decide, &orderv1.PayOrder{}, order.Evolve(&orderv1.OrderState{}, placed)))
	})
	l.accepted(`{"format":1,"epoch":5,"lost":{"cqrsflow.order.commands":5},"topics":{},"ends":{},"commands":{"next":2,"events":2,"outcomes":2}}`)
	r := l.run(orders(t, nil))
	if r.Commands != 2 || !r.Deterministic || r.Determinism.Checked != 2 || r.Range.Lost != 1 || r.Range.Expired != 1 || r.Differ != 1 {
		t.Errorf("%+v", r)
	}
	var text strings.Builder
	if err := r.Table(&text); err != nil || !strings.Contains(text.String(), "1 of them were lost with the topic of commands") {
		t.Errorf("%v\n%s", err, &text)
	}
}

// accepted writes down that a loss of partition 0 was accepted.
func (l *lab) accepted(acceptance string) {
	l.t.Helper()
	cl, err := kgo.NewClient(l.kafka...)
	if err != nil {
		l.t.Fatal(err)
	}
	defer cl.Close()
	topic := topology.LossesTopic("")
	if _, err := kadm.NewClient(cl).CreateTopic(l.context(), 1, 1, nil, topic); err != nil {
		l.t.Fatal(err)
	}
	if err := cl.ProduceSync(l.context(), &kgo.Record{Topic: topic, Key: []byte("order/0"), Value: []byte(acceptance)}).FirstErr(); err != nil {
		l.t.Fatal(err)
	}
}

// On the live state, a version that refuses orders differs where it refuses; on its own way, in all that follows.
func TestDiverge(t *testing.T) {
	l := newLab(t, 1)
	typ := orders(t, map[string]decide{"closed": func(c decider.Command[proto.Message], s *orderv1.OrderState) ([]proto.Message, error) {
		if _, ok := c.Body.(*orderv1.PlaceOrder); ok && c.Stream != "o-0" {
			return nil, event.Reject("closed", "we are closed")
		}
		if int(c.Version) == 0 && s.GetStatus() != 0 {
			panic("the version is not that of the state")
		}
		return order.Decide(c, s)
	}})
	l.history(typ, 20)
	codes := func(r *compare.Report) (out []string) {
		for _, d := range r.Differences {
			out = append(out, fmt.Sprint(d.Control, "/", d.Candidate, " ", d.Count))
		}
		slices.Sort(out)
		return out
	}
	r := l.run(typ, candidateOf("closed"))
	if got := codes(r); !slices.Equal(got, []string{"order.v1.OrderPlaced/closed 19"}) {
		t.Errorf("live: %q", got)
	}
	for _, bytes := range []int64{0, 1} {
		r = l.run(typ, candidateOf("closed"), func(c *compare.Config) {
			c.Diverge = true
			compare.StateBytesForTest(c, bytes)
		})
		want := []string{"order.v1.OrderPaid/order_not_found 19", "order.v1.OrderPlaced/closed 19", "order_already_paid/order_not_found 19"}
		if got := codes(r); !slices.Equal(got, want) || r.Mode != "diverge" || !r.Deterministic {
			t.Errorf("diverge: %q, deterministic %v", got, r.Deterministic)
		}
	}
}
