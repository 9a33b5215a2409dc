package api

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/event/principal"
	"github.com/cqrsflow/cqrsflow/experiment"
	"github.com/cqrsflow/cqrsflow/experiment/results"
	"github.com/cqrsflow/cqrsflow/producer"
	"github.com/cqrsflow/cqrsflow/query"
	"github.com/cqrsflow/cqrsflow/services/apidoc"
)

// Commands takes commands and brings back what became of them; *producer.Publisher does.
type Commands interface {
	// Publish returns once the command is durable.
	Publish(ctx context.Context, c event.Command, aggregate, contentType string, body []byte) (producer.Receipt, error)
	// Do waits for the outcome until the context's deadline. event.ErrUnavailable: not taken.
	// event.ErrOutcomeUnknown: taken, or perhaps, and no outcome in time.
	Do(ctx context.Context, c event.Command, aggregate, contentType string, body []byte) (event.Outcome, error)
	// Enqueue returns before the command is durable; commands of one stream keep their order. done is
	// called once, from another goroutine, with what Do would have returned, unless Enqueue fails.
	Enqueue(ctx context.Context, aggregate string, c event.Command, contentType string, body []byte, done func(event.Outcome, error)) error
}

// Progress says how far a read model is; query.Tracker does.
type Progress interface {
	// Wait returns once the positions are applied, with how far it is then; query.ErrBehind at the deadline.
	Wait(ctx context.Context, after []event.Position) ([]event.Position, error)
}

// Orders reads the read model orders; *query.Orders does.
type Orders interface {
	// Get finds an order, that of a customer where that is not empty.
	Get(ctx context.Context, id event.StreamID, customer string) (query.Order, error)
	List(ctx context.Context, f query.OrderFilter) (query.Page[query.Order], error)
}

// Customers reads the read model customers; *query.Customers does.
type Customers interface {
	Get(ctx context.Context, id event.StreamID) (query.Customer, error)
	List(ctx context.Context, f query.CustomerFilter) (query.Page[query.Customer], error)
}

// DailySales reads the read model daily_sales; *query.Sales does.
type DailySales interface {
	Daily(ctx context.Context, from, to time.Time) ([]query.DaySales, error)
}

// History reads streams; *query.History does.
type History interface {
	Events(ctx context.Context, aggregate string, stream event.StreamID, after event.Version, limit int) ([]query.Event, bool, error)
	Outcome(ctx context.Context, aggregate string, stream event.StreamID, commandID string) (event.Outcome, error)
	State(ctx context.Context, aggregate string, stream event.StreamID, at query.At) (decider.Snapshot, error)
}

// Experiments reads the read model experiments; *query.Experiments does.
type Experiments interface {
	Get(ctx context.Context, id event.StreamID) (query.Experiment, error)
	List(ctx context.Context, f query.ExperimentFilter) (query.Page[query.Experiment], error)
	Results(ctx context.Context, id event.StreamID, plan int) (*results.Report, error)
}

// Assigner knows which experiments run; *internal/experiments.Follower does. It answers at once, and is safe for concurrent use.
type Assigner interface {
	// Tries reports whether commands of an aggregate type are tried by any experiment at present.
	Tries(aggregate string) bool
	// Assign is the assignment of a command of an aggregate type, in text form; empty for none. unit says who or what the command
	// is of, for each kind of unit; empty where that is not known.
	Assign(aggregate string, unit func(kind string) string) string
	// Variant is what a unit sees of an experiment; event.ErrNotFound where there is no such experiment.
	Variant(id event.StreamID, unit string) (experiment.Shown, error)
}

// Parked tells which streams a projection has set aside; *query.Parked does.
type Parked interface {
	ParkedStream(ctx context.Context, projection, aggregate string, stream event.StreamID) (bool, error)
}

// Topics name an aggregate type's topics.
type Topics struct {
	Type                       *decider.Type
	Commands, Events, Outcomes string
}

// Config is what the API serves. What is nil has no endpoints; at least one thing must be there.
type Config struct {
	// Aggregates are the registered types. Required.
	Aggregates []*decider.Type
	// Topics are what the AsyncAPI document describes; none, no document.
	Topics   []Topics
	Commands Commands
	// Authenticate says who sends a request to an operation that is not open. An error that wraps event.ErrUnavailable says that
	// nobody can tell, any other that the request is not authenticated. Nil: whoever the request's context names.
	Authenticate Authenticate
	// Access says who may do and see what; nil: everybody everything.
	Access Access
	// Partitions is how many partitions the topics of an aggregate type have: positions in others are refused. Nil: none is.
	Partitions func(aggregate string) int32
	Orders     Orders
	Customers  Customers
	Sales      DailySales
	History    History
	Search     Search
	// Experiments needs an Assigner. Assigner alone assigns commands, and shows no experiments.
	Experiments Experiments
	Assigner    Assigner
	// Parked is required where a read model of SQL is there.
	Parked Parked
	// Progress of every read model that is read or can be waited for, by the projection's name.
	Progress map[string]Progress
	// WaitFor are the read models behind each word of Cqrs-Wait-For. Default: sql, search and history.
	// Those without Progress count as behind.
	WaitFor map[string][]string
	// Principals sign commands as who asks for them (principal.FromContext); nil signs nothing, and nobody's are not signed.
	Principals *principal.Keyring
	// Gateway says that one stands before the API: what it answers itself is documented, too.
	Gateway bool
	// Described are operations that others serve under the same address, and Problems what these answer with besides: for the document.
	Described []apidoc.Operation
	Problems  []apidoc.Problem
	// MaxBody bounds the body of a command in bytes, MaxBatchBody that of a batch. Defaults 1 MiB and 16 MiB.
	MaxBody, MaxBatchBody int64
	// QueryTimeout bounds the reading of a query, after the waiting for positions. Default 15 s.
	QueryTimeout time.Duration
	// Tracer makes a span of every request whose trace is sampled; nil: none.
	Tracer oteltrace.Tracer
	// Logger; nil is slog.Default().
	Logger *slog.Logger
}

// ReadPostgres fills in what is read from Postgres: orders, customers, sales, history, and the progress of these.
func (c *Config) ReadPostgres(pool *pgxpool.Pool, w *query.Waiter) {
	c.Orders, c.Customers, c.Sales = query.NewOrders(pool), query.NewCustomers(pool), query.NewSales(pool)
	c.History, c.Parked, c.Experiments = query.NewHistory(pool, c.Aggregates...), query.NewParked(pool), query.NewExperiments(pool)
	if c.Progress == nil {
		c.Progress = map[string]Progress{}
	}
	for _, m := range []query.Model{query.OrdersModel, query.CustomersModel, query.SalesModel, query.HistoryModel, query.ExperimentsModel} {
		c.Progress[m.Name] = w.Of(m)
	}
}

func (c *Config) validate() error {
	c.MaxBody = cmp.Or(c.MaxBody, 1<<20)
	c.MaxBatchBody = cmp.Or(c.MaxBatchBody, 16<<20)
	c.QueryTimeout = cmp.Or(c.QueryTimeout, defaultQueryTimeout)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.WaitFor == nil {
		c.WaitFor = map[string][]string{
			"sql":     {query.OrdersModel.Name, query.CustomersModel.Name, query.SalesModel.Name, query.ExperimentsModel.Name},
			"search":  {searchModel.Name},
			"history": {query.HistoryModel.Name},
		}
	}
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: api: "+format, append([]any{event.ErrConfig}, args...)...)
	}
	switch {
	case len(c.Aggregates) == 0:
		return bad("Aggregates is empty")
	case c.MaxBody < 1:
		return bad("MaxBody is %d; it must be at least 1", c.MaxBody)
	case c.MaxBatchBody < c.MaxBody:
		return bad("MaxBatchBody is %d; it must be at least MaxBody, %d", c.MaxBatchBody, c.MaxBody)
	case c.QueryTimeout < 0:
		return bad("QueryTimeout is %v; it must be positive", c.QueryTimeout)
	case c.Parked == nil && (c.Orders != nil || c.Customers != nil || c.History != nil || c.Experiments != nil):
		return bad("Parked is missing")
	}
	needed := map[string]bool{query.OrdersModel.Name: c.Orders != nil, query.CustomersModel.Name: c.Customers != nil,
		query.SalesModel.Name: c.Sales != nil, query.HistoryModel.Name: c.History != nil, query.ExperimentsModel.Name: c.Experiments != nil, searchModel.Name: c.Search != nil}
	any := c.Commands != nil
	for name, there := range needed {
		any = any || there
		if there && c.Progress[name] == nil {
			return bad("Progress of %s is missing", name)
		}
	}
	if !any {
		return bad("there is nothing to serve")
	}
	return nil
}

func (a *API) waitNames() []string {
	names := make([]string, 0, len(a.cfg.WaitFor))
	for name := range a.cfg.WaitFor {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
