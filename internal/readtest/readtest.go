// Package readtest gives tests of the read side a PostgreSQL whose read models are filled by the real
// sinks, from events that the real deciders made, without a broker between.
package readtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/consumers/history"
	sinks "github.com/cqrsflow/cqrsflow/consumers/postgres"
	"github.com/cqrsflow/cqrsflow/consumers/postgres/shop"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/aggregates"
	"github.com/cqrsflow/cqrsflow/internal/embedded/postgres"
)

var (
	// dir is where the server keeps its data; Main makes it.
	dir       string
	databases atomic.Int64
	// start starts the server when the first test needs it.
	start = sync.OnceValues(func() (*postgres.Server, error) {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute) // binaries may have to be fetched
		defer cancel()
		return postgres.Start(ctx, postgres.Config{DataDir: dir, Logger: slog.New(slog.DiscardHandler)})
	})
	started atomic.Pointer[postgres.Server]
)

// Main runs a package's tests, around one server if any of them needs it. TestMain calls it.
func Main(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "embedded PostgreSQL for tests:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if dir, err = os.MkdirTemp("", "cqrsflow-readtest-"); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	code = m.Run()
	if server := started.Load(); server != nil {
		err = server.Close()
	}
	return code, err
}

// Partition is the partition that everything is in.
const Partition = 3

// Side is a read side of a test's own.
type Side struct {
	t testing.TB
	// URL of its database.
	URL string

	store    *sinks.Store
	sessions map[string]runner.Session // by projection, aggregate and source
	next     map[string]int64
	streams  map[string]decider.Snapshot
	commands int64
	appended map[string]int64 // offset of the last command that appended events, by aggregate
}

// Projections are the names of what a Side fills.
var Projections = []string{"orders", "customers", "daily_sales", "history"}

// New makes an empty database with all read models.
func New(t testing.TB) *Side {
	t.Helper()
	s := &Side{t: t, URL: database(t), sessions: map[string]runner.Session{}, next: map[string]int64{}, streams: map[string]decider.Snapshot{}, appended: map[string]int64{}}
	projections := append(shop.Projections(), history.Projection())
	if err := sinks.Migrate(t.Context(), s.URL, sinks.Models(projections...)...); err != nil {
		t.Fatal(err)
	}
	store, err := sinks.Open(t.Context(), sinks.Config{URL: s.URL, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s.store = store
	ctx, cancel := context.WithCancel(context.Background())
	told := make(chan error, 1)
	go func() { told <- store.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-told; err != nil {
			t.Errorf("notifier: %v", err)
		}
		store.Close()
	})
	for _, p := range projections {
		sink, err := store.Sink(p.Model, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range aggregates.Names() {
			for _, source := range []runner.Source{runner.Events, runner.Outcomes} {
				session, err := sink.Open(t.Context(), runner.Partition{Aggregate: a, Source: source, Topic: "cqrsflow." + a + "." + string(source), TopicID: [16]byte{7}, Number: Partition})
				if err != nil {
					t.Fatal(err)
				}
				s.sessions[key(p.Model.Name(), a, source)] = session
			}
		}
	}
	return s
}

func key(projection, aggregate string, source runner.Source) string {
	return projection + "/" + aggregate + "/" + string(source)
}

func database(t testing.TB) string {
	t.Helper()
	server, err := start()
	if err != nil {
		t.Fatalf("embedded PostgreSQL: %v", err)
	}
	started.Store(server)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }() // the test goes on without it
	name := fmt.Sprintf("read_%d", databases.Add(1))
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

// Exec changes the database behind the sinks' back.
func (s *Side) Exec(sql string, args ...any) {
	s.t.Helper()
	if _, err := s.store.Pool().Exec(s.t.Context(), sql, args...); err != nil {
		s.t.Fatal(err)
	}
}

// Command decides a command that happened, and was recorded, at a time, and applies what comes of it to
// every read model. It returns the outcome, with the state.
func (s *Side) Command(aggregate, stream string, body proto.Message, at time.Time) event.Outcome {
	s.t.Helper()
	events, o := s.Decide(aggregate, stream, body, at, at)
	for _, p := range Projections {
		s.Apply(p, events...)
	}
	s.ApplyOutcome(o)
	return o
}

// Decide decides a command that happened at one time and was recorded at another, and applies nothing.
func (s *Side) Decide(aggregate, stream string, body proto.Message, happened, recorded time.Time) ([]event.Recorded, event.Outcome) {
	s.t.Helper()
	t, ok := aggregates.Lookup(aggregate)
	if !ok {
		s.t.Fatalf("no aggregate type %s", aggregate)
	}
	before, ok := s.streams[aggregate+"/"+stream]
	if !ok {
		before = t.Begin()
	}
	s.commands++
	offset := s.commands
	c := event.Command{ID: fmt.Sprintf("command-%d", offset), Type: string(proto.MessageName(body)), Stream: event.StreamID(stream), Time: happened, RecordedTime: recorded, Version: before.Version}
	o := event.Outcome{Aggregate: aggregate, Stream: c.Stream, CommandID: c.ID, Kind: event.Accepted, RecordedTime: recorded, Partition: Partition, CommandOffset: offset, Offset: offset, Digest: []byte{1}}
	bodies, err := t.Decide(c, body, before.State)
	var no *event.Rejection
	if errors.As(err, &no) {
		o.Kind, o.Code, o.Message = event.Rejected, no.Code, no.Message
	} else if err != nil {
		s.t.Fatal(err)
	}
	var events []event.Recorded
	after := before
	for i, b := range bodies {
		e := event.Recorded{Body: b, Envelope: event.Envelope{Aggregate: aggregate, Stream: c.Stream, Version: after.Version + 1, Time: happened, RecordedTime: recorded,
			CausationID: c.ID, CommandOffset: offset, LastOfCommand: i == len(bodies)-1, Partition: Partition, Offset: 10*offset + int64(i)}}
		if e.Type, e.ContentType, e.Data, err = t.Codec.EncodeEvent(nil, b); err != nil {
			s.t.Fatal(err)
		}
		after.State, after.Version = t.Evolve(after.State, b), e.Version
		o.Events = append(o.Events, event.Ref{Type: e.Type, Version: e.Version})
		events = append(events, e)
	}
	s.streams[aggregate+"/"+stream] = after
	if o.Version = after.Version; o.Version > 0 {
		if o.State, err = t.Codec.EncodeState(nil, after.State); err != nil {
			s.t.Fatal(err)
		}
	}
	if len(events) > 0 {
		s.appended[aggregate] = offset
	}
	if at, ok := s.appended[aggregate]; ok {
		o.Position = event.Position{Aggregate: aggregate, Partition: Partition, Offset: at}
	}
	return events, o
}

// Apply applies events of one aggregate type to a read model, as one batch; those that it does not read
// are left out, as its runner would.
func (s *Side) Apply(projection string, events ...event.Recorded) {
	s.t.Helper()
	if len(events) == 0 || !reads(projection, events[0].Aggregate) {
		return
	}
	last := events[len(events)-1]
	b := s.batch(projection, last.Aggregate, runner.Events, last.Offset+1)
	b.To.CommandOffset = last.CommandOffset
	for _, e := range events {
		if projection != "daily_sales" || e.Type == "order.v1.OrderPaid" {
			b.Events = append(b.Events, e)
		}
	}
	s.apply(projection, b)
}

// ApplyOutcome adds an outcome to the history.
func (s *Side) ApplyOutcome(o event.Outcome) {
	s.t.Helper()
	b := s.batch("history", o.Aggregate, runner.Outcomes, o.Offset+1)
	o.State = nil
	b.Outcomes = []event.Outcome{o}
	s.apply("history", b)
}

// Park sets an event of a stream aside in a projection.
func (s *Side) Park(projection, aggregate, stream string) {
	s.t.Helper()
	b := s.batch(projection, aggregate, runner.Events, s.next[key(projection, aggregate, runner.Events)]+1)
	b.Park = []runner.Pointer{{Stream: event.StreamID(stream), Offset: b.From.Next, Reason: "poison", Attempts: 1, ParkedAt: time.Now()}}
	s.apply(projection, b)
}

func reads(projection, aggregate string) bool {
	switch projection {
	case "customers":
		return aggregate == "customer"
	case "history":
		return true
	}
	return aggregate == "order"
}

func (s *Side) batch(projection, aggregate string, source runner.Source, next int64) *runner.Batch {
	k := key(projection, aggregate, source)
	from, found := s.sessions[k].Checkpoint()
	if !found {
		from.CommandOffset = -1
	}
	to := runner.Checkpoint{TopicID: [16]byte{7}, Next: next, CommandOffset: from.CommandOffset}
	s.next[k] = next
	return &runner.Batch{Partition: runner.Partition{Aggregate: aggregate, Source: source, Topic: "cqrsflow." + aggregate + "." + string(source), TopicID: [16]byte{7}, Number: Partition}, From: from, To: to}
}

func (s *Side) apply(projection string, b *runner.Batch) {
	s.t.Helper()
	if err := s.sessions[key(projection, b.Partition.Aggregate, b.Partition.Source)].Apply(s.t.Context(), b); err != nil {
		s.t.Fatal(err)
	}
}
