package postgres

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// Channel is the channel on which sinks announce that a projection's checkpoints moved; the payload
// is the projection's name.
const Channel = "cqrsflow_checkpoints"

// quiet is the least time between two announcements.
const quiet = 10 * time.Millisecond

// notifier announces checkpoints, coalesced, on a connection of its own: NOTIFY takes a lock over the
// whole server from its transaction's commit on, so it must not ride on the batches' transactions.
type notifier struct {
	cfg  *pgx.ConnConfig
	log  *slog.Logger
	wake chan struct{}

	mu struct {
		sync.Mutex
		dirty []string
	}
}

func newNotifier(cfg *pgx.ConnConfig, log *slog.Logger) *notifier {
	return &notifier{cfg: cfg.Copy(), log: log, wake: make(chan struct{}, 1)}
}

// moved notes that a checkpoint of the projection has been committed.
func (n *notifier) moved(projection string) {
	n.mu.Lock()
	if !slices.Contains(n.mu.dirty, projection) {
		n.mu.dirty = append(n.mu.dirty, projection)
	}
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

func (n *notifier) take() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	dirty := n.mu.dirty
	n.mu.dirty = nil
	return dirty
}

func (n *notifier) run(ctx context.Context) error {
	var conn *pgx.Conn
	hangUp := func() {
		if conn != nil {
			bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			_ = conn.Close(bye)
			conn = nil
		}
	}
	defer hangUp()
	pause := quiet
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-n.wake:
		}
		dirty := n.take()
		var err error
		if conn == nil {
			conn, err = pgx.ConnectConfig(ctx, n.cfg)
		}
		if err == nil && len(dirty) > 0 {
			_, err = conn.Exec(ctx, `SELECT pg_notify($1, name) FROM unnest($2::text[]) AS name`, Channel, dirty)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			if pause == quiet {
				n.log.Warn("announcing checkpoints failed; readers look for themselves meanwhile", "error", err)
			}
			hangUp()
			pause = min(max(2*pause, 100*time.Millisecond), 5*time.Second)
			for _, name := range dirty {
				n.moved(name)
			}
		default:
			pause = quiet
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		}
	}
}
