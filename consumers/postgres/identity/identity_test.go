package identity_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cqrsflow/cqrsflow/consumers/internal/logtest"
	"github.com/cqrsflow/cqrsflow/consumers/internal/pgtest"
	"github.com/cqrsflow/cqrsflow/consumers/postgres"
	"github.com/cqrsflow/cqrsflow/consumers/postgres/identity"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	emailclaimv1 "github.com/cqrsflow/cqrsflow/schemas/emailclaim/v1"
	sessionv1 "github.com/cqrsflow/cqrsflow/schemas/session/v1"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func at(minute int) *timestamppb.Timestamp {
	return timestamppb.New(time.Date(2026, 1, 2, 0, minute, 0, 0, time.UTC))
}

// side is a database that follows a log.
type side struct {
	t     *testing.T
	log   *logtest.Log
	store *postgres.Store
}

func newSide(t *testing.T) *side {
	t.Helper()
	url := pgtest.URL(t)
	if err := postgres.Migrate(t.Context(), url, postgres.Models(identity.Projections()...)...); err != nil {
		t.Fatal(err)
	}
	store, err := postgres.Open(t.Context(), postgres.Config{URL: url, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return &side{t, logtest.New(t, 2, "user", "session", "emailclaim"), store}
}

// follow runs the read models until they have read all of the log.
func (s *side) follow() {
	s.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var done []chan error
	defer func() {
		cancel()
		for _, end := range done {
			if err := <-end; err != nil {
				s.t.Error(err)
			}
		}
	}()
	for _, p := range identity.Projections() {
		r, err := s.store.Runner(p, 1, runner.Config{Client: s.log.Client(), Aggregates: logtest.Types(s.t, "user", "session", "emailclaim"), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			s.t.Fatal(err)
		}
		end := make(chan error, 1)
		go func() { end <- r.Run(ctx) }()
		done = append(done, end)
		logtest.Until(s.t, "a projection is ready", func() bool { ok, _ := r.Ready(); return ok })
	}
}

func (s *side) append(aggregate, stream string, events ...proto.Message) {
	s.t.Helper()
	for _, e := range events {
		s.log.Append(s.t, aggregate, logtest.One(stream, e))
	}
}

// row is the only row of a query, as JSON.
func (s *side) row(sql string) map[string]any {
	s.t.Helper()
	rows, _ := s.store.Pool().Query(s.t.Context(), "SELECT to_jsonb(q) FROM ("+sql+") q")
	text, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[[]byte])
	if err != nil {
		s.t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		s.t.Fatal(err)
	}
	return m
}

// want compares some columns of a row, as text.
func want(t *testing.T, row map[string]any, columns map[string]string) {
	t.Helper()
	for name, value := range columns {
		if got := fmt.Sprint(row[name]); got != value {
			t.Errorf("%s is %s, want %s", name, got, value)
		}
	}
}

var registered = &userv1.UserRegistered{EmailClaim: "hmac", Email: []byte("sealed email"), Name: []byte("sealed name"), Roles: []string{"clerk"}, RegisteredAt: at(1)}

func TestUsers(t *testing.T) {
	s := newSide(t)
	s.append("user", "u-1", registered, &userv1.EmailConfirmed{ConfirmedAt: at(2)}, &userv1.AttemptBegun{Attempt: "a", Factor: "password"},
		&userv1.AttemptSucceeded{Attempt: "a", Factor: "password", SucceededAt: at(3)}, &userv1.TotpActivated{})
	s.follow()
	want(t, s.row("SELECT * FROM users"), map[string]string{"id": "u-1", "version": "5", "status": "active", "roles": "[clerk]", "totp": "true", "email_claim": "hmac",
		"last_login_at": "2026-01-02T00:03:00+00:00"})
	s.append("user", "u-1", &userv1.UserLocked{Reason: "stolen"}, &userv1.RolesSet{Roles: nil}, &userv1.TotpRemoved{})
	s.follow()
	want(t, s.row("SELECT * FROM users"), map[string]string{"version": "8", "status": "locked", "reason": "stolen", "roles": "[]", "totp": "false"})
	s.append("user", "u-1", &userv1.UserUnlocked{})
	s.follow()
	want(t, s.row("SELECT * FROM users"), map[string]string{"status": "active", "reason": ""})
}

// Who is forgotten leaves an ID and when: no ciphertext, no name of an address.
func TestForgottenUsersAreBlank(t *testing.T) {
	s := newSide(t)
	s.append("user", "u-1", registered, &userv1.EmailConfirmed{ConfirmedAt: at(2)}, &userv1.UserErased{EmailClaim: "hmac", ErasedAt: at(9)})
	s.follow()
	row := s.row("SELECT * FROM users")
	want(t, row, map[string]string{"status": "erased", "email": "<nil>", "name": "<nil>", "email_claim": "<nil>", "roles": "[]", "confirmed_at": "<nil>",
		"erased_at": "2026-01-02T00:09:00+00:00"})
	if text := fmt.Sprint(row); strings.Contains(text, "hmac") || strings.Contains(text, fmt.Sprintf("%x", "sealed")) {
		t.Errorf("something is left: %s", text)
	}
}

// The streams of accounts that do not exist are no users.
func TestNobodyIsNoUser(t *testing.T) {
	s := newSide(t)
	s.append("user", "nobody-0001", &userv1.AttemptBegun{Attempt: "a", Factor: "password", Subject: "x"}, &userv1.AttemptFailed{Attempt: "a", Factor: "password", Subject: "x"})
	s.append("user", "u-1", registered)
	s.follow()
	want(t, s.row("SELECT id FROM users"), map[string]string{"id": "u-1"})
}

func TestSessions(t *testing.T) {
	s := newSide(t)
	s.append("session", "s-1", &sessionv1.SessionStarted{User: "u-1", Methods: []string{"password"}, AuthenticatedAt: at(1), StartedAt: at(1), ExpiresAt: at(90),
		Idle: durationpb.New(time.Hour), Origin: &typev1.Origin{DeviceLabel: []byte("sealed label")}}, &sessionv1.SessionRefreshed{RefreshedAt: at(20)})
	s.follow()
	want(t, s.row("SELECT * FROM sessions"), map[string]string{"user_id": "u-1", "seen_at": "2026-01-02T00:20:00+00:00", "idle_expires_at": "2026-01-02T01:20:00+00:00", "revoked_at": "<nil>"})
	s.append("session", "s-1", &sessionv1.SessionRefreshed{RefreshedAt: at(50)})
	s.follow()
	want(t, s.row("SELECT * FROM sessions"), map[string]string{"idle_expires_at": "2026-01-02T01:30:00+00:00"}) // never beyond its end
	s.append("session", "s-1", &sessionv1.SessionRevoked{User: "u-1", Reason: "logout", RevokedAt: at(51)})
	s.follow()
	want(t, s.row("SELECT * FROM sessions"), map[string]string{"reason": "logout", "device_label": "<nil>", "revoked_at": "2026-01-02T00:51:00+00:00", "version": "4"})
}

func TestClaims(t *testing.T) {
	s := newSide(t)
	s.append("emailclaim", "hmac", &emailclaimv1.EmailClaimed{User: "u-1", LapsesAt: at(9)})
	s.follow()
	want(t, s.row("SELECT * FROM claims"), map[string]string{"id": "hmac", "user_id": "u-1", "confirmed": "false", "lapses_at": "2026-01-02T00:09:00+00:00"})
	s.append("emailclaim", "hmac", &emailclaimv1.ClaimConfirmed{User: "u-1"})
	s.follow()
	want(t, s.row("SELECT * FROM claims"), map[string]string{"confirmed": "true", "lapses_at": "<nil>"})
	s.append("emailclaim", "hmac", &emailclaimv1.ClaimReleased{User: "u-1"})
	s.follow()
	want(t, s.row("SELECT * FROM claims"), map[string]string{"user_id": "<nil>", "confirmed": "false"})
}
