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
	sessionv1 "github.com/cqrsflow/cqrsflow/schemas/session/v1"
)

// Sessions is the read model sessions, version 1: one row a session.
type Sessions struct{}

var _ postgres.ReadModel = Sessions{}

// Name is "sessions".
func (Sessions) Name() string { return "sessions" }

// Shape is 1.
func (Sessions) Shape() int { return 1 }

// Migrations make the table.
func (Sessions) Migrations() fs.FS { return files("sessions_v1") }

// Views are sessions.
func (Sessions) Views() map[string]string { return map[string]string{"sessions": "sessions"} }

// session is a row while a batch is folded into it.
type session struct {
	version, stored event.Version
	user            string
	methods         []string
	authenticated   time.Time
	started, seen   time.Time
	expires, idle   time.Time
	idleSeconds     int64
	label           []byte
	revoked         *time.Time
	reason          string
}

// Apply folds the batch.
func (Sessions) Apply(ctx context.Context, tx pgx.Tx, b *runner.Batch) error {
	rows, err := loadSessions(ctx, tx, ids(b))
	if err != nil {
		return err
	}
	for i := range b.Events {
		e := &b.Events[i]
		s := rows[e.Stream]
		if s == nil {
			s = &session{methods: []string{}}
			rows[e.Stream] = s
		}
		next, err := b.Follows(e, s.version)
		if err != nil {
			return err
		}
		if !next {
			continue
		}
		if err := s.evolve(e); err != nil {
			return runner.Refuse(e, err)
		}
		s.version = e.Version
	}
	return storeSessions(ctx, tx, rows)
}

func (s *session) evolve(e *event.Recorded) error {
	switch body := e.Body.(type) {
	case *sessionv1.SessionStarted:
		s.user, s.methods, s.label = body.GetUser(), roles(body.GetMethods()), body.GetOrigin().GetDeviceLabel()
		s.authenticated, s.started, s.expires = at(body.GetAuthenticatedAt(), e), at(body.GetStartedAt(), e), at(body.GetExpiresAt(), e)
		s.idleSeconds = body.GetIdle().GetSeconds()
		s.alive(s.started)
	case *sessionv1.SessionRefreshed:
		s.alive(at(body.GetRefreshedAt(), e))
	case *sessionv1.SessionReauthenticated:
		s.methods, s.authenticated = roles(body.GetMethods()), at(body.GetAuthenticatedAt(), e)
		s.alive(at(body.GetReauthenticatedAt(), e))
	case *sessionv1.SessionRevoked:
		when := at(body.GetRevokedAt(), e)
		s.revoked, s.reason, s.label = &when, body.GetReason(), nil
	default:
		return fmt.Errorf("%w: the read model sessions does not know %s", event.ErrUnknownType, e.Type)
	}
	return nil
}

// alive begins the idle time anew, as the aggregate does.
func (s *session) alive(now time.Time) {
	s.seen, s.idle = now, now.Add(time.Duration(s.idleSeconds)*time.Second)
	if s.idle.After(s.expires) {
		s.idle = s.expires
	}
}

func loadSessions(ctx context.Context, tx pgx.Tx, ids []string) (map[event.StreamID]*session, error) {
	rows := make(map[event.StreamID]*session, len(ids))
	stored, _ := tx.Query(ctx, `SELECT id, version, user_id, methods, authenticated_at, started_at, seen_at, expires_at, idle_expires_at, idle_seconds, device_label,
		revoked_at, reason FROM sessions WHERE id = ANY($1)`, ids)
	var id string
	var s session
	_, err := pgx.ForEachRow(stored, []any{&id, &s.version, &s.user, &s.methods, &s.authenticated, &s.started, &s.seen, &s.expires, &s.idle, &s.idleSeconds, &s.label,
		&s.revoked, &s.reason}, func() error {
		row := s
		row.stored = s.version
		row.methods, row.label = slices.Clone(s.methods), slices.Clone(s.label)
		rows[event.StreamID(id)] = &row
		s = session{}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("load sessions: %w", err)
	}
	return rows, nil
}

func storeSessions(ctx context.Context, tx pgx.Tx, rows map[event.StreamID]*session) error {
	var q pgx.Batch
	for _, id := range sorted(rows) {
		s := rows[id]
		if s.version == s.stored {
			continue
		}
		q.Queue(`INSERT INTO sessions (id, version, user_id, methods, authenticated_at, started_at, seen_at, expires_at, idle_expires_at, idle_seconds,
				device_label, revoked_at, reason)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
			ON CONFLICT (id) DO UPDATE SET version = excluded.version, methods = excluded.methods, authenticated_at = excluded.authenticated_at,
				seen_at = excluded.seen_at, idle_expires_at = excluded.idle_expires_at, device_label = excluded.device_label, revoked_at = excluded.revoked_at,
				reason = excluded.reason`,
			string(id), int64(s.version), s.user, s.methods, s.authenticated, s.started, s.seen, s.expires, s.idle, s.idleSeconds, s.label, s.revoked, s.reason)
	}
	if q.Len() == 0 {
		return nil
	}
	if err := tx.SendBatch(ctx, &q).Close(); err != nil {
		return fmt.Errorf("store sessions: %w", err)
	}
	return nil
}
