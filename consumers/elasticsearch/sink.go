package elasticsearch

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"github.com/cqrsflow/cqrsflow/consumers/internal/searchsink"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
)

// Config configures a Sink. Client is required: it says which version of the read model is written.
type Config struct {
	Client *Client
	// BulkBytes is about how large one bulk request is; default 4 MiB, at least 1 KiB. A document that
	// is larger goes alone.
	BulkBytes int
	// Attempts is how often an overloaded server is asked again for the same documents, with growing
	// pauses from RetryMin (default 50 ms), before the batch fails; default 5, at least 1.
	Attempts int
	RetryMin time.Duration
	// MaxParked is how many events of a partition may be parked: where more are refused, something is
	// wrong with all of them, and the partition waits instead. Default 10,000, at least 1.
	MaxParked int
	// CacheBytes is about how much memory a partition's session has for the documents that it wrote last,
	// which it need not read again; default 4 MiB, at least 1 KiB.
	CacheBytes int
	// Evolve is how events change documents; nil is searchindex.Orders.
	Evolve searchindex.Evolve
	// Logger; nil is slog.Default().
	Logger *slog.Logger
}

func (c Config) withDefaults() (Config, error) {
	c.BulkBytes = cmp.Or(c.BulkBytes, 4<<20)
	c.Attempts = cmp.Or(c.Attempts, 5)
	c.RetryMin = cmp.Or(c.RetryMin, 50*time.Millisecond)
	c.MaxParked = cmp.Or(c.MaxParked, 10_000)
	c.CacheBytes = cmp.Or(c.CacheBytes, 4<<20)
	if c.Evolve == nil {
		c.Evolve = searchindex.Orders
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	bad := func(field string, value any, bound string) (Config, error) {
		return c, fmt.Errorf("%w: Elasticsearch sink: %s is %v; it must be %s", event.ErrConfig, field, value, bound)
	}
	switch {
	case c.Client == nil:
		return bad("Client", "nil", "set")
	case c.BulkBytes < 1<<10:
		return bad("BulkBytes", c.BulkBytes, "1024 or more")
	case c.Attempts < 1:
		return bad("Attempts", c.Attempts, "1 or more")
	case c.RetryMin < 0:
		return bad("RetryMin", c.RetryMin, "positive")
	case c.MaxParked < 1:
		return bad("MaxParked", c.MaxParked, "1 or more")
	case c.CacheBytes < 1<<10:
		return bad("CacheBytes", c.CacheBytes, "1024 or more")
	}
	return c, nil
}

// Sink writes the search read model to Elasticsearch. It is safe for concurrent use.
type Sink struct {
	cfg Config
	now func() time.Time
}

var (
	_ runner.Sink   = (*Sink)(nil)
	_ runner.Healer = (*session)(nil)
)

// New makes the sink. It does not talk to the server yet; opening a partition makes the indexes that are
// missing. The client stays the caller's to close. Its error wraps event.ErrConfig.
func New(cfg Config) (*Sink, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Sink{cfg: cfg, now: time.Now}, nil
}

// Open takes the partition over: sessions opened before are fenced.
func (s *Sink) Open(ctx context.Context, p runner.Partition) (runner.Session, error) {
	if err := searchsink.CheckPartition(p); err != nil {
		return nil, err
	}
	generation, err := s.cfg.Client.Setup(ctx)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", p, err)
	}
	id := searchindex.ProgressID(p.Aggregate, string(p.Source), p.Number)
	for {
		stored, found, err := s.cfg.Client.ReadProgress(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", p, err)
		}
		next := stored.Progress
		if found && next.Generation != generation {
			s.cfg.Logger.Warn("the search index was made anew; it is filled from the start of the log", "index", s.cfg.Client.Index, "partition", p.String())
			found = false
		}
		if !found {
			next = searchindex.Progress{Aggregate: p.Aggregate, Source: string(p.Source), Partition: p.Number, Generation: generation}
		}
		next.Owner = uuid.NewString()
		next.UpdatedAt = s.now()
		stored, ok, err := s.cfg.Client.PutProgress(ctx, next, stored)
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", p, err)
		}
		if ok {
			return &session{sink: s, stored: stored, written: newWritten(s.cfg.CacheBytes), fold: searchsink.Fold{Evolve: s.cfg.Evolve}}, nil
		}
		// Somebody else has written it in between: the last one to come is the owner.
	}
}
