package identity

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cqrsflow/cqrsflow/consumers/postgres"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
)

// Users is the read model users, version 1: one row a user. Streams of accounts that do not exist have none.
type Users struct{}

var _ postgres.ReadModel = Users{}

// Name is "users".
func (Users) Name() string { return "users" }

// Shape is 1.
func (Users) Shape() int { return 1 }

// Migrations make the table.
func (Users) Migrations() fs.FS { return files("users_v1") }

// Views are users.
func (Users) Views() map[string]string { return map[string]string{"users": "users"} }

// user is a row while a batch is folded into it.
type user struct {
	version, stored event.Version
	status, reason  string
	roles           []string
	email, name     []byte
	claim           *string
	totp            bool
	registered      time.Time
	confirmed       *time.Time
	lastLogin       *time.Time
	erased          *time.Time
}

// Apply folds the batch.
func (Users) Apply(ctx context.Context, tx pgx.Tx, b *runner.Batch) error {
	rows, err := loadUsers(ctx, tx, ids(b))
	if err != nil {
		return err
	}
	for i := range b.Events {
		e := &b.Events[i]
		u := rows[e.Stream]
		if u == nil {
			if _, begins := e.Body.(*userv1.UserRegistered); !begins {
				continue // attempts at an account that does not exist
			}
			u = &user{version: e.Version - 1, roles: []string{}}
			rows[e.Stream] = u
		}
		next, err := b.Follows(e, u.version)
		if err != nil {
			return err
		}
		if !next {
			continue
		}
		u.evolve(e)
		u.version = e.Version
	}
	return storeUsers(ctx, tx, rows)
}

// evolve changes what a row shows of an event; most events say nothing that it shows.
func (u *user) evolve(e *event.Recorded) {
	when := func(t time.Time) *time.Time { return &t }
	switch body := e.Body.(type) {
	case *userv1.UserRegistered:
		claim := body.GetEmailClaim()
		u.status, u.roles, u.email, u.name, u.claim = "registered", roles(body.GetRoles()), body.GetEmail(), body.GetName(), &claim
		u.registered = at(body.GetRegisteredAt(), e)
	case *userv1.EmailConfirmed:
		u.status, u.confirmed = "active", when(at(body.GetConfirmedAt(), e))
	case *userv1.AttemptSucceeded:
		u.lastLogin = when(at(body.GetSucceededAt(), e))
	case *userv1.TotpActivated:
		u.totp = true
	case *userv1.TotpRemoved:
		u.totp = false
	case *userv1.RolesSet:
		u.roles = roles(body.GetRoles())
	case *userv1.UserLocked:
		u.status, u.reason = "locked", body.GetReason()
	case *userv1.UserUnlocked:
		if u.status == "locked" {
			u.status, u.reason = "registered", ""
			if u.confirmed != nil {
				u.status = "active"
			}
		}
	case *userv1.UserDisabled:
		u.status, u.reason = "disabled", body.GetReason()
	case *userv1.UserErased:
		*u = user{stored: u.stored, status: "erased", roles: []string{}, registered: u.registered, erased: when(at(body.GetErasedAt(), e))}
	}
}

// roles is never nil, which SQL would take for null.
func roles(r []string) []string { return append([]string{}, r...) }

func loadUsers(ctx context.Context, tx pgx.Tx, ids []string) (map[event.StreamID]*user, error) {
	rows := make(map[event.StreamID]*user, len(ids))
	stored, _ := tx.Query(ctx, `SELECT id, version, status, reason, roles, email, name, email_claim, totp, registered_at, confirmed_at, last_login_at, erased_at
		FROM users WHERE id = ANY($1)`, ids)
	var id string
	var u user
	_, err := pgx.ForEachRow(stored, []any{&id, &u.version, &u.status, &u.reason, &u.roles, &u.email, &u.name, &u.claim, &u.totp, &u.registered, &u.confirmed,
		&u.lastLogin, &u.erased}, func() error {
		row := u
		row.stored = u.version
		row.roles, row.email, row.name = slices.Clone(u.roles), slices.Clone(u.email), slices.Clone(u.name)
		rows[event.StreamID(id)] = &row
		u = user{}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("load users: %w", err)
	}
	return rows, nil
}

func storeUsers(ctx context.Context, tx pgx.Tx, rows map[event.StreamID]*user) error {
	var q pgx.Batch
	for _, id := range sorted(rows) { // in one order, so that no two transactions wait for each other
		u := rows[id]
		if u.version == u.stored {
			continue
		}
		q.Queue(`INSERT INTO users (id, version, status, reason, roles, email, name, email_claim, totp, registered_at, confirmed_at, last_login_at, erased_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
			ON CONFLICT (id) DO UPDATE SET version = excluded.version, status = excluded.status, reason = excluded.reason, roles = excluded.roles,
				email = excluded.email, name = excluded.name, email_claim = excluded.email_claim, totp = excluded.totp, registered_at = excluded.registered_at,
				confirmed_at = excluded.confirmed_at, last_login_at = excluded.last_login_at, erased_at = excluded.erased_at`,
			string(id), int64(u.version), u.status, u.reason, u.roles, u.email, u.name, u.claim, u.totp, u.registered, u.confirmed, u.lastLogin, u.erased)
	}
	if q.Len() == 0 {
		return nil
	}
	if err := tx.SendBatch(ctx, &q).Close(); err != nil {
		return fmt.Errorf("store users: %w", err)
	}
	return nil
}

func sorted[V any](rows map[event.StreamID]V) []event.StreamID {
	out := make([]event.StreamID, 0, len(rows))
	for id := range rows {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}
