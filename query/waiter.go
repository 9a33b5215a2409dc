package query

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/cqrsflow/cqrsflow/event"
)

// Channel is the Postgres notification channel that the SQL sink uses after a checkpoint has moved.
const Channel = "cqrsflow_checkpoints"

// Model is a read model as a query sees it: its projection's name and the aggregate types whose events
// the projection reads. Positions of other aggregate types are ignored when waiting for it.
type Model struct {
	Name string
	// Aggregates read; none means all.
	Aggregates []string
}

func (m Model) reads(aggregate string) bool {
	return len(m.Aggregates) == 0 || slices.Contains(m.Aggregates, aggregate)
}

// WaiterConfig configures a Waiter.
type WaiterConfig struct {
	// Pool is where the checkpoints are. Required. The Waiter opens one connection of its own, with the pool's settings.
	Pool *pgxpool.Pool
	// Recheck is how often the checkpoints are read again while somebody waits, as notifications can be
	// lost. Default 250 ms; at least 1 ms.
	Recheck time.Duration
	// IdleRecheck is how often they are read when nobody waits: how old Positions can be. Default 1 s.
	IdleRecheck time.Duration
	// Logger; nil is slog.Default().
	Logger *slog.Logger
}

func (c *WaiterConfig) validate() error {
	c.Recheck = cmp.Or(c.Recheck, 250*time.Millisecond)
	c.IdleRecheck = cmp.Or(c.IdleRecheck, time.Second)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	switch {
	case c.Pool == nil:
		return fmt.Errorf("%w: waiter: Pool is missing", event.ErrConfig)
	case c.Recheck < time.Millisecond:
		return fmt.Errorf("%w: waiter: Recheck is %v; it must be at least 1ms", event.ErrConfig, c.Recheck)
	case c.IdleRecheck < c.Recheck:
		return fmt.Errorf("%w: waiter: IdleRecheck is %v; it must be at least Recheck, %v", event.ErrConfig, c.IdleRecheck, c.Recheck)
	}
	return nil
}

// Waiter knows how far the SQL read models are, and lets callers wait until one has applied given
// positions. One Waiter with one LISTEN connection serves a process. It works while Run runs. It is safe
// for concurrent use.
type Waiter struct {
	cfg     WaiterConfig
	kick    chan struct{}
	waiting atomic.Int64

	mu struct {
		sync.Mutex
		marks   marks
		err     error         // of the last attempt to read
		changed chan struct{} // closed and replaced after every attempt
	}
}

// marks are the command offsets of the active checkpoints by projection, ordered by aggregate and partition; nil
// before the first read.
type marks map[string][]event.Position

// NewWaiter makes a Waiter. Its error wraps event.ErrConfig.
func NewWaiter(cfg WaiterConfig) (*Waiter, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	w := &Waiter{cfg: cfg, kick: make(chan struct{}, 1)}
	w.mu.changed = make(chan struct{})
	return w, nil
}

// Run follows the checkpoints until the context ends, which is no error. It survives a Postgres that goes away.
func (w *Waiter) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { w.listen(ctx); return nil })
	g.Go(func() error { w.follow(ctx); return nil })
	return g.Wait()
}

// Wait returns once the read model has applied the positions, with how far it is then: one position a
// partition that has applied any. It reports ErrBehind when the context's deadline passed first,
// event.ErrUnavailable when the checkpoints could not be read by then, or else why the context ended.
func (w *Waiter) Wait(ctx context.Context, m Model, after []event.Position) ([]event.Position, error) {
	w.waiting.Add(1)
	defer w.waiting.Add(-1)
	for first := true; ; first = false {
		known, changed, err := w.state()
		if known != nil && covers(known[m.Name], m, after) {
			return through(known[m.Name], m), nil
		}
		if first {
			w.wake()
		}
		select {
		case <-changed:
		case <-ctx.Done():
			switch {
			case !errors.Is(ctx.Err(), context.DeadlineExceeded):
				return nil, fmt.Errorf("wait for read model %s: %w", m.Name, ctx.Err())
			case known == nil || err != nil:
				return nil, fmt.Errorf("wait for read model %s: %w", m.Name, cmp.Or(err, event.ErrUnavailable))
			}
			return through(known[m.Name], m), fmt.Errorf("wait for read model %s: %w", m.Name, ErrBehind)
		}
	}
}

// Positions says how far the read model is, at least: it is never ahead of what a query made afterwards reads.
func (w *Waiter) Positions(ctx context.Context, m Model) ([]event.Position, error) {
	return w.Wait(ctx, m, nil)
}

// state is what was read last, a channel that is closed after the next attempt, and why the last one failed.
func (w *Waiter) state() (marks, <-chan struct{}, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.marks, w.mu.changed, w.mu.err
}

func (w *Waiter) wake() {
	select {
	case w.kick <- struct{}{}:
	default: // one is pending already
	}
}

// follow reads the checkpoints when it is kicked, and on a tick. Without anybody waiting, kicks only
// shorten the idle tick: a busy projection must not cost a query per notification that nobody needs.
func (w *Waiter) follow(ctx context.Context) {
	var last time.Time
	for {
		w.read(ctx)
		last = time.Now()
		for {
			every := w.cfg.IdleRecheck
			if w.waiting.Load() > 0 {
				every = w.cfg.Recheck
			}
			timer := time.NewTimer(time.Until(last.Add(every)))
			kicked := false
			select {
			case <-ctx.Done():
				timer.Stop()
				return
			case <-w.kick:
				timer.Stop()
				kicked = true
			case <-timer.C:
			}
			if !kicked || w.waiting.Load() > 0 || time.Since(last) >= w.cfg.Recheck {
				break
			}
		}
	}
}

const checkpointsSQL = `
SELECT c.projection, c.aggregate, c.partition, c.command_offset
FROM cqrsflow.checkpoints c
JOIN cqrsflow.projections p ON p.projection = c.projection AND p.active_version = c.version
WHERE c.source = 'events'
ORDER BY c.projection, c.aggregate, c.partition`

func (w *Waiter) read(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	known := marks{}
	var name string
	var p event.Position
	rows, _ := w.cfg.Pool.Query(ctx, checkpointsSQL) // its error comes back from ForEachRow
	_, err := pgx.ForEachRow(rows, []any{&name, &p.Aggregate, &p.Partition, &p.Offset}, func() error {
		known[name] = append(known[name], p)
		return nil
	})
	if err != nil {
		if ctx.Err() == nil {
			w.cfg.Logger.Warn("checkpoints cannot be read", "error", err)
		}
		err = fmt.Errorf("read checkpoints: %w: %w", event.ErrUnavailable, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.err = err; err == nil {
		w.mu.marks = known
	}
	close(w.mu.changed)
	w.mu.changed = make(chan struct{})
}

// listen turns notifications into kicks and connects anew, with growing pauses, when the connection is lost.
func (w *Waiter) listen(ctx context.Context) {
	const first, most = 100 * time.Millisecond, 5 * time.Second
	pause := first
	for ctx.Err() == nil {
		connected, err := w.listenOnce(ctx)
		if ctx.Err() != nil {
			return
		}
		if connected {
			pause = first
		}
		w.cfg.Logger.Warn("notifications of checkpoints are interrupted", "error", err, "retry", pause)
		select {
		case <-ctx.Done():
		case <-time.After(pause/2 + rand.N(pause)):
		}
		pause = min(2*pause, most)
	}
}

func (w *Waiter) listenOnce(ctx context.Context) (connected bool, err error) {
	dial, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := pgx.ConnectConfig(dial, w.cfg.Pool.Config().ConnConfig)
	if err != nil {
		return false, err
	}
	defer func() {
		bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Close(bye) // it is lost or no longer needed: nothing to do about a failure
	}()
	if _, err := conn.Exec(dial, "LISTEN "+Channel); err != nil {
		return false, err
	}
	for {
		w.wake() // the first time: whatever was missed while nobody listened
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return true, err
		}
	}
}

// covers reports whether the checkpoints have applied all positions that concern the model.
func covers(known []event.Position, m Model, after []event.Position) bool {
	for _, want := range after {
		if want.IsZero() || !m.reads(want.Aggregate) {
			continue
		}
		if !slices.ContainsFunc(known, func(p event.Position) bool {
			return p.Aggregate == want.Aggregate && p.Partition == want.Partition && p.Offset >= want.Offset
		}) {
			return false
		}
	}
	return true
}

// through are the positions to report: those of partitions that have applied anything.
func through(known []event.Position, m Model) []event.Position {
	out := make([]event.Position, 0, len(known))
	for _, p := range known {
		if p.Offset >= 0 && m.reads(p.Aggregate) {
			out = append(out, p)
		}
	}
	return out
}

// Tracker is a Waiter bound to one read model.
type Tracker struct {
	waiter *Waiter
	model  Model
}

// Of binds the Waiter to a read model.
func (w *Waiter) Of(m Model) Tracker { return Tracker{waiter: w, model: m} }

// Wait is Waiter.Wait for the read model.
func (t Tracker) Wait(ctx context.Context, after []event.Position) ([]event.Position, error) {
	return t.waiter.Wait(ctx, t.model, after)
}
