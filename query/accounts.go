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

// User is a row of the read model users.
type User struct {
	ID string
	// Status is registered, active, locked, disabled or erased; Reason says why a user is locked or disabled.
	Status, Reason string
	Roles          []string
	// Email and Name are encrypted; of who is erased there are none.
	Email, Name []byte
	// TOTP says that there is a second factor.
	TOTP         bool
	RegisteredAt time.Time
	// ConfirmedAt, LastLoginAt and ErasedAt are nil where that has not happened.
	ConfirmedAt, LastLoginAt, ErasedAt *time.Time
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

// Claims are the claims of addresses that a user has: one, or none.
func (q *Accounts) Claims(ctx context.Context, user string) ([]string, error) {
	rows, _ := q.pool.Query(ctx, `SELECT id FROM claims WHERE user_id = $1 ORDER BY id`, user) // its error comes back from CollectRows
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return out, storeError(ctx, "read claims", err)
}

const usersSelect = `SELECT id, status, reason, roles, email, name, totp, registered_at, confirmed_at, last_login_at, erased_at FROM users `

// User returns a user, or event.ErrNotFound.
func (q *Accounts) User(ctx context.Context, id string) (User, error) {
	users, err := q.users(ctx, usersSelect+`WHERE id = $1`, id)
	switch {
	case err != nil:
		return User{}, fmt.Errorf("user %s: %w", id, err)
	case len(users) == 0:
		return User{}, fmt.Errorf("user %s: %w", id, event.ErrNotFound)
	}
	return users[0], nil
}

// Users returns a page of at most limit users, the latest first. The cursor is from the page before, or empty; one from elsewhere is
// ErrBadCursor.
func (q *Accounts) Users(ctx context.Context, limit int, after string) (Page[User], error) {
	by := order{key: sortKey{column: "registered_at", cast: "timestamptz"}, desc: true}
	hash := fingerprint("users")
	var w where
	if after != "" {
		c, err := parseCursor(after, hash, by.key)
		if err != nil {
			return Page[User]{}, err
		}
		by.after(c, "id", &w)
	}
	rows, err := q.users(ctx, fmt.Sprintf("%s %s ORDER BY %s LIMIT %s", usersSelect, &w, by.by("id"), w.arg(limit+1)), w.args...)
	if err != nil {
		return Page[User]{}, fmt.Errorf("list users: %w", err)
	}
	return page(rows, limit, hash, func(u User) (string, string) { return u.RegisteredAt.UTC().Format(time.RFC3339Nano), u.ID }), nil
}

func (q *Accounts) users(ctx context.Context, sql string, args ...any) ([]User, error) {
	rows, _ := q.pool.Query(ctx, sql, args...) // its error comes back from CollectRows
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (User, error) {
		var u User
		err := row.Scan(&u.ID, &u.Status, &u.Reason, &u.Roles, &u.Email, &u.Name, &u.TOTP, &u.RegisteredAt, &u.ConfirmedAt, &u.LastLoginAt, &u.ErasedAt)
		return u, err
	})
	return out, storeError(ctx, "read users", err)
}
