package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/domain/account"
	"github.com/cqrsflow/cqrsflow/domain/customer"
	"github.com/cqrsflow/cqrsflow/domain/order"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/producer"
	"github.com/cqrsflow/cqrsflow/query"
	"github.com/cqrsflow/cqrsflow/query/search"
	"github.com/cqrsflow/cqrsflow/schemas/bench"
	customercodec "github.com/cqrsflow/cqrsflow/schemas/customer"
	ordercodec "github.com/cqrsflow/cqrsflow/schemas/order"
)

var start = time.Date(2026, 1, 31, 12, 0, 0, 123456000, time.UTC)

func types(t testing.TB) []*decider.Type {
	t.Helper()
	o, err := decider.NewType(order.Spec(ordercodec.Codec))
	if err != nil {
		t.Fatal(err)
	}
	c, err := decider.NewType(customer.Spec(customercodec.Codec))
	if err != nil {
		t.Fatal(err)
	}
	// An aggregate for which nothing in this package was written.
	spec := account.Spec(bench.Codec)
	spec.Commands[0].Public = true
	a, err := decider.NewType(spec)
	if err != nil {
		t.Fatal(err)
	}
	return []*decider.Type{o, c, a}
}

// processor decides commands in memory, as far as answers need it.
type processor struct {
	types map[string]*decider.Type
	// override answers instead, where it is set.
	override func(c event.Command, aggregate, contentType string, body []byte) (event.Outcome, error)

	mu struct {
		sync.Mutex
		offset    int64
		streams   map[string]decider.Snapshot
		known     map[string]event.Outcome
		published []event.Command
	}
}

func newProcessor(all []*decider.Type) *processor {
	p := &processor{types: map[string]*decider.Type{}}
	for _, t := range all {
		p.types[t.Name] = t
	}
	p.mu.streams, p.mu.known = map[string]decider.Snapshot{}, map[string]event.Outcome{}
	return p
}

func (p *processor) Publish(ctx context.Context, c event.Command, aggregate, contentType string, body []byte) (producer.Receipt, error) {
	_, err := p.Do(ctx, c, aggregate, contentType, body)
	return producer.Receipt{CommandID: c.ID}, err
}

func (p *processor) Enqueue(ctx context.Context, aggregate string, c event.Command, contentType string, body []byte, done func(event.Outcome, error)) error {
	o, err := p.Do(ctx, c, aggregate, contentType, body)
	go done(o, err)
	return nil
}

func (p *processor) Do(_ context.Context, c event.Command, aggregate, contentType string, body []byte) (event.Outcome, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.published = append(p.mu.published, c)
	if p.override != nil {
		return p.override(c, aggregate, contentType, body)
	}
	t := p.types[aggregate]
	p.mu.offset++
	o := event.Outcome{Aggregate: aggregate, Stream: c.Stream, CommandID: c.ID, Kind: event.Accepted, CommandOffset: p.mu.offset}
	key := aggregate + "/" + string(c.Stream)
	s, ok := p.mu.streams[key]
	if !ok {
		s = t.Begin()
	}
	decoded, err := t.Codec.DecodeCommand(c.Type, contentType, body)
	if err != nil {
		return o, err
	}
	if fields := t.Codec.ValidateCommand(decoded); len(fields) > 0 {
		o.Kind, o.Code, o.Message, o.Fields = event.Invalid, "invalid_command", "the command breaks the rules of its schema", fields
		return o, nil
	}
	if first, ok := p.mu.known[key+"/"+c.ID]; ok {
		o = first
		o.Replayed = true
	} else if c.ExpectedVersion != event.AnyVersion && c.ExpectedVersion != s.Version {
		o.Kind, o.Code, o.Message = event.Conflict, "version_conflict", "expected another version"
	} else if s, err = p.decide(t, c, decoded, s, &o); err != nil {
		return o, err
	}
	p.mu.streams[key] = s
	o.Version = s.Version
	if s.Version > 0 && c.ReturnState {
		o.State, err = t.Codec.EncodeState(nil, s.State)
	}
	if o.Kind == event.Accepted {
		p.mu.known[key+"/"+c.ID] = o
	}
	return o, err
}

func (p *processor) decide(t *decider.Type, c event.Command, body any, s decider.Snapshot, o *event.Outcome) (decider.Snapshot, error) {
	c.Time, c.RecordedTime = start, start
	events, err := t.Decide(c, body, s.State)
	var rejection *event.Rejection
	if errors.As(err, &rejection) {
		o.Kind, o.Code, o.Message = event.Rejected, rejection.Code, rejection.Message
		return s, nil
	} else if err != nil {
		return s, err
	}
	for _, e := range events {
		typ, _, _, err := t.Codec.EncodeEvent(nil, e)
		if err != nil {
			return s, err
		}
		s.State, s.Version = t.Evolve(s.State, e), s.Version+1
		o.Events = append(o.Events, event.Ref{Type: typ, Version: s.Version})
	}
	o.Position = event.Position{Aggregate: t.Name, Partition: 3, Offset: p.mu.offset}
	return s, nil
}

// readModel is a read model whose progress a test sets.
type readModel struct {
	through []event.Position
	err     error
	asked   []event.Position
	within  time.Duration
}

func (m *readModel) Wait(ctx context.Context, after []event.Position) ([]event.Position, error) {
	m.asked = after
	if deadline, ok := ctx.Deadline(); ok {
		m.within = time.Until(deadline)
	}
	return m.through, m.err
}

type orders struct {
	rows   map[event.StreamID]query.Order
	page   query.Page[query.Order]
	filter query.OrderFilter
	err    error
}

func (o *orders) Get(_ context.Context, id event.StreamID, customer string) (query.Order, error) {
	if r, ok := o.rows[id]; ok && (customer == "" || r.Customer == customer) || o.err != nil {
		return r, o.err
	}
	return query.Order{}, event.ErrNotFound
}

func (o *orders) List(_ context.Context, f query.OrderFilter) (query.Page[query.Order], error) {
	o.filter = f
	return o.page, o.err
}

type customers struct {
	rows   map[event.StreamID]query.Customer
	page   query.Page[query.Customer]
	filter query.CustomerFilter
	err    error
}

func (c *customers) Get(_ context.Context, id event.StreamID) (query.Customer, error) {
	if r, ok := c.rows[id]; ok || c.err != nil {
		return r, c.err
	}
	return query.Customer{}, event.ErrNotFound
}

func (c *customers) List(_ context.Context, f query.CustomerFilter) (query.Page[query.Customer], error) {
	c.filter = f
	return c.page, c.err
}

type sales []query.DaySales

func (s sales) Daily(context.Context, time.Time, time.Time) ([]query.DaySales, error) { return s, nil }

type parked map[event.StreamID]bool

func (p parked) ParkedStream(_ context.Context, _, _ string, stream event.StreamID) (bool, error) {
	return p[stream], nil
}

type history struct {
	events   []query.Event
	more     bool
	after    event.Version
	outcome  event.Outcome
	snapshot decider.Snapshot
	at       query.At
	err      error
}

func (h *history) Events(_ context.Context, _ string, _ event.StreamID, after event.Version, _ int) ([]query.Event, bool, error) {
	h.after = after
	return h.events, h.more, h.err
}

func (h *history) Outcome(context.Context, string, event.StreamID, string) (event.Outcome, error) {
	return h.outcome, h.err
}

func (h *history) State(_ context.Context, _ string, _ event.StreamID, at query.At) (decider.Snapshot, error) {
	h.at = at
	return h.snapshot, h.err
}

type searcher struct {
	request search.Request
	result  search.Result
	err     error
}

func (s *searcher) Search(_ context.Context, r search.Request) (search.Result, error) {
	s.request = r
	return s.result, s.err
}

// fixture is an API on fakes.
type fixture struct {
	t         testing.TB
	api       *API
	log       *bytes.Buffer
	processor *processor
	orders    *orders
	customers *customers
	history   *history
	search    *searcher
	parked    parked
	models    map[string]*readModel
}

func newFixture(t testing.TB, changes ...func(*Config)) *fixture {
	t.Helper()
	all := types(t)
	f := &fixture{t: t, log: &bytes.Buffer{}, processor: newProcessor(all), orders: &orders{rows: map[event.StreamID]query.Order{}},
		customers: &customers{rows: map[event.StreamID]query.Customer{}}, history: &history{}, search: &searcher{}, parked: parked{}, models: map[string]*readModel{}}
	progress := map[string]Progress{}
	for _, name := range []string{"orders", "customers", "daily_sales", "history", "experiments", "orders_search"} {
		f.models[name] = &readModel{}
		progress[name] = f.models[name]
	}
	cfg := Config{Aggregates: all, Commands: f.processor, Partitions: func(string) int32 { return 12 }, Orders: f.orders, Customers: f.customers, Sales: sales{}, History: f.history,
		Search: f.search, Parked: f.parked, Progress: progress,
		Logger: slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	for _, change := range changes {
		change(&cfg)
	}
	a, err := undocumented(cfg)
	if err != nil {
		t.Fatal(err)
	}
	f.api = a
	return f
}

// documented is a fixture that serves its documentation, too: making that takes longer than all else.
func documented(t testing.TB) *fixture {
	t.Helper()
	f := newFixture(t)
	if err := f.api.document(); err != nil {
		t.Fatal(err)
	}
	return f
}

// reply is an answer that has been read.
type reply struct {
	t      testing.TB
	status int
	header http.Header
	body   string
}

// do sends a request. Headers are names and values in turn; an empty value takes the header away.
func (f *fixture) do(method, path, body string, headers ...string) reply {
	f.t.Helper()
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, path, content)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i+1] == "" {
			r.Header.Del(headers[i])
		} else {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	return f.send(r)
}

func (f *fixture) send(r *http.Request) reply {
	f.t.Helper()
	w := httptest.NewRecorder()
	f.api.ServeHTTP(w, r)
	res := w.Result()
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return reply{t: f.t, status: res.StatusCode, header: res.Header, body: string(text)}
}

// masked is the body as indented JSON without what differs from run to run.
func (r reply) masked() string {
	r.t.Helper()
	var v any
	if err := json.Unmarshal([]byte(r.body), &v); err != nil {
		r.t.Fatalf("the body is no JSON: %v\n%s", err, r.body)
	}
	if m, ok := v.(map[string]any); ok && m["traceId"] != nil {
		m["traceId"] = "TRACE"
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		r.t.Fatal(err)
	}
	return string(b)
}

// problem checks that the answer is a whole problem, and returns it.
func (r reply) problem() Problem {
	r.t.Helper()
	if got := r.header.Get("Content-Type"); got != "application/problem+json" {
		r.t.Errorf("the content type of a %d is %q", r.status, got)
	}
	var p Problem
	d := json.NewDecoder(strings.NewReader(r.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil {
		r.t.Fatalf("not a problem: %v\n%s", err, r.body)
	}
	if p.Status != r.status || p.Type == "" || p.Title == "" || p.Code == "" || len(p.TraceID) != 32 || !strings.HasPrefix(p.Instance, "/") {
		r.t.Errorf("the problem is not whole: status %d, %s", r.status, r.body)
	}
	return p
}

func (r reply) want(status int) reply {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("the status is %d, not %d: %s", r.status, status, r.body)
	}
	return r
}

const placeBody = `{"customer":"c1","lines":[{"sku":"cd","name":"A CD","quantity":2,"price":{"amount":"5.5","currency":"USD"}}],"notes":"Wrap it."}`
