package identity

import (
	"context"
	"fmt"
	"io/fs"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cqrsflow/cqrsflow/consumers/postgres"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
	emailclaimv1 "github.com/cqrsflow/cqrsflow/schemas/emailclaim/v1"
)

// Claims is the read model claims, version 1: whose an e-mail address is, by its HMAC.
type Claims struct{}

var _ postgres.ReadModel = Claims{}

// Name is "claims".
func (Claims) Name() string { return "claims" }

// Shape is 1.
func (Claims) Shape() int { return 1 }

// Migrations make the table.
func (Claims) Migrations() fs.FS { return files("claims_v1") }

// Views are claims.
func (Claims) Views() map[string]string { return map[string]string{"claims": "claims"} }

// claim is a row while a batch is folded into it.
type claim struct {
	version, stored event.Version
	user            *string
	confirmed       bool
	lapses          *time.Time
}

// Apply folds the batch.
func (Claims) Apply(ctx context.Context, tx pgx.Tx, b *runner.Batch) error {
	rows, err := loadClaims(ctx, tx, ids(b))
	if err != nil {
		return err
	}
	for i := range b.Events {
		e := &b.Events[i]
		c := rows[e.Stream]
		if c == nil {
			c = &claim{}
			rows[e.Stream] = c
		}
		next, err := b.Follows(e, c.version)
		if err != nil {
			return err
		}
		if !next {
			continue
		}
		if err := c.evolve(e); err != nil {
			return runner.Refuse(e, err)
		}
		c.version = e.Version
	}
	return storeClaims(ctx, tx, rows)
}

func (c *claim) evolve(e *event.Recorded) error {
	switch body := e.Body.(type) {
	case *emailclaimv1.EmailClaimed:
		user, lapses := body.GetUser(), at(body.GetLapsesAt(), e)
		c.user, c.confirmed, c.lapses = &user, false, &lapses
	case *emailclaimv1.ClaimConfirmed:
		c.confirmed, c.lapses = true, nil
	case *emailclaimv1.ClaimReleased:
		c.user, c.confirmed, c.lapses = nil, false, nil
	default:
		return fmt.Errorf("%w: the read model claims does not know %s", event.ErrUnknownType, e.Type)
	}
	return nil
}

func loadClaims(ctx context.Context, tx pgx.Tx, ids []string) (map[event.StreamID]*claim, error) {
	rows := make(map[event.StreamID]*claim, len(ids))
	stored, _ := tx.Query(ctx, `SELECT id, version, user_id, confirmed, lapses_at FROM claims WHERE id = ANY($1)`, ids)
	var id string
	var c claim
	_, err := pgx.ForEachRow(stored, []any{&id, &c.version, &c.user, &c.confirmed, &c.lapses}, func() error {
		row := c
		row.stored = c.version
		rows[event.StreamID(id)] = &row
		c = claim{}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("load claims: %w", err)
	}
	return rows, nil
}

func storeClaims(ctx context.Context, tx pgx.Tx, rows map[event.StreamID]*claim) error {
	var q pgx.Batch
	for _, id := range sorted(rows) {
		if c := rows[id]; c.version > c.stored {
			q.Queue(`INSERT INTO claims (id, version, user_id, confirmed, lapses_at) VALUES ($1, $2, $3, $4, $5)
				ON CONFLICT (id) DO UPDATE SET version = excluded.version, user_id = excluded.user_id, confirmed = excluded.confirmed, lapses_at = excluded.lapses_at`,
				string(id), int64(c.version), c.user, c.confirmed, c.lapses)
		}
	}
	if q.Len() == 0 {
		return nil
	}
	if err := tx.SendBatch(ctx, &q).Close(); err != nil {
		return fmt.Errorf("store claims: %w", err)
	}
	return nil
}
