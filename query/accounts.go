package query

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/cqrsflow/cqrsflow/event"
)

// The read models of Accounts.
var (
	UsersModel    = Model{Name: "users", Aggregates: []string{"user"}}
	SessionsModel = Model{Name: "sessions", Aggregates: []string{"session"}}
	ClaimsModel   = Model{Name: "claims", Aggregates: []string{"emailclaim"}}
)

// Session is a row of the read model sessions.
type Session struct {
	ID, User        string
	Methods         []string
	AuthenticatedAt time.Time
	StartedAt       time.Time
	// SeenAt is when it was last refreshed, or else started.
	SeenAt time.Time
	// ExpiresAt is its end at the latest, IdleExpiresAt unless it is refreshed before.
	ExpiresAt, IdleExpiresAt time.Time
	// DeviceLabel is what the client called itself, encrypted.
	DeviceLabel []byte
}

// Accounts reads users, their sessions, and whose an e-mail address is. What is personal comes as it is stored: encrypted.
type Accounts struct{ pool *pgxpool.Pool }

// NewAccounts reads through the pool.
func NewAccounts(pool *pgxpool.Pool) *Accounts { return &Accounts{pool: pool} }

// ByClaim returns the ID of the user who claims the address of that HMAC, or event.ErrNotFound.
func (q *Accounts) ByClaim(ctx context.Context, claim string) (string, error) {
	var user *string
	err := q.pool.QueryRow(ctx, `SELECT user_id FROM claims WHERE id = $1`, claim).Scan(&user)
	switch {
	case errors.Is(err, pgx.ErrNoRows), err == nil && user == nil:
		return "", fmt.Errorf("the claim of an address: %w", event.ErrNotFound)
	case err != nil:
		return "", storeError(ctx, "read a claim", err)
	}
	return *user, nil
}

// Sessions are those of a user that were not revoked, the latest first; time may have ended some of them.
func (q *Accounts) Sessions(ctx context.Context, user string) ([]Session, error) {
	rows, _ := q.pool.Query(ctx, `SELECT id, user_id, methods, authenticated_at, started_at, seen_at, expires_at, idle_expires_at, device_label FROM sessions
		WHERE user_id = $1 AND revoked_at IS NULL ORDER BY started_at DESC, id`, user) // its error comes back from CollectRows
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Session, error) {
		var s Session
		err := row.Scan(&s.ID, &s.User, &s.Methods, &s.AuthenticatedAt, &s.StartedAt, &s.SeenAt, &s.ExpiresAt, &s.IdleExpiresAt, &s.DeviceLabel)
		return s, err
	})
	return out, storeError(ctx, "read sessions", err)
}
