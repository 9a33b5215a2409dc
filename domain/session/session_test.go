package session_test

import (
	"bytes"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/decider/decidertest"
	"github.com/cqrsflow/cqrsflow/domain/session"
	"github.com/cqrsflow/cqrsflow/event"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	sessionv1 "github.com/cqrsflow/cqrsflow/schemas/session/v1"
)

type command = decider.Command[proto.Message]

var epoch = time.Date(1997, 1, 1, 0, 0, 0, 0, time.UTC)

// at is the n-th second.
func at(n int) *timestamppb.Timestamp {
	return timestamppb.New(epoch.Add(time.Duration(n) * time.Second))
}

// cmd is a command that is recorded in the n-th second. When it says it happened is of no account.
func cmd(n int, body proto.Message) command {
	return command{Command: event.Command{Stream: "session-1", Time: epoch.AddDate(5, 0, 0), RecordedTime: at(n).AsTime()}, Body: body}
}

func hours(n int) *durationpb.Duration { return durationpb.New(time.Duration(n) * time.Hour) }

// token is the hash of the n-th refresh token.
func token(n int) []byte {
	return append([]byte{byte(n >> 8), byte(n)}, bytes.Repeat([]byte{'t'}, 30)...)
}

// rotation presents the n-th token, for the next one.
func rotation(n int) *sessionv1.Rotation {
	return &sessionv1.Rotation{Presented: token(n), Successor: token(n + 1), SuccessorCiphertext: append([]byte("sealed"), token(n+1)...)}
}

func refresh(n int) *sessionv1.RefreshSession {
	return &sessionv1.RefreshSession{Rotation: rotation(n), Origin: laptop}
}

func refreshed(n, second int) *sessionv1.SessionRefreshed {
	return &sessionv1.SessionRefreshed{Rotation: rotation(n), Origin: laptop, RefreshedAt: at(second)}
}

var (
	laptop  = &typev1.Origin{Source: token(1000), DeviceLabel: []byte("laptop")}
	start   = &sessionv1.StartSession{User: "user-1", Methods: []string{"password", "totp"}, AuthenticatedAt: at(8), Token: token(0), Lifetime: hours(24), Idle: hours(1), Origin: laptop}
	started = &sessionv1.SessionStarted{User: "user-1", Methods: []string{"password", "totp"}, AuthenticatedAt: at(8), Token: token(0), ExpiresAt: at(10 + 86400), Idle: hours(1), Origin: laptop, StartedAt: at(10)}
	reused  = &sessionv1.SessionRevoked{Reason: "reuse", User: "user-1", Origin: laptop}
)

func reuse(n int) *sessionv1.SessionRevoked {
	e := proto.CloneOf(reused)
	e.RevokedAt = at(n)
	return e
}

func given(t *testing.T, events ...proto.Message) *decidertest.Scenario[command, proto.Message, *sessionv1.SessionState] {
	t.Helper()
	return decidertest.Given(t, session.Decider, events...)
}

func TestStartRefreshRevoke(t *testing.T) {
	given(t).When(cmd(10, start)).Then(started).
		When(cmd(100, refresh(0))).Then(refreshed(0, 100)).
		When(cmd(200, refresh(1))).Then(refreshed(1, 200)).
		When(cmd(300, &sessionv1.RevokeSession{Reason: "logout", User: "user-1", Origin: laptop})).
		Then(&sessionv1.SessionRevoked{Reason: "logout", User: "user-1", Origin: laptop, RevokedAt: at(300)}).
		ThenState(&sessionv1.SessionState{Status: sessionv1.SessionStatus_SESSION_STATUS_REVOKED, User: "user-1", Methods: []string{"password", "totp"}, AuthenticatedAt: at(8),
			Origin: laptop, StartedAt: at(10), RefreshedAt: at(200), ExpiresAt: at(10 + 86400), IdleExpiresAt: at(3800), Idle: hours(1), Reason: "logout", RevokedAt: at(300)})
	given(t, started).When(cmd(11, start)).ThenRejected(session.CodeAlreadyStarted)
	given(t).When(cmd(11, refresh(0))).ThenRejected(session.CodeNotFound)
	given(t).When(cmd(11, &sessionv1.ReauthenticateSession{Rotation: rotation(0)})).ThenRejected(session.CodeNotFound)
	given(t).When(cmd(11, &sessionv1.RevokeSession{Reason: "logout"})).ThenRejected(session.CodeNotFound)
	given(t, started).When(cmd(11, started)).ThenFails(event.ErrUnknownType)
	// An authentication that another partition's clock puts into the future happened now.
	early := proto.CloneOf(started)
	early.StartedAt, early.AuthenticatedAt, early.ExpiresAt = at(5), at(5), at(5+86400)
	given(t).When(cmd(5, start)).Then(early)
}

// Whoever presents the last token again within ten seconds gets what the first answer was; later, or with an older one,
// the session ends.
func TestRFC9700_4_14_2_ReuseRevokes(t *testing.T) {
	rotated := given(t, started, refreshed(0, 100))
	rotated.When(cmd(100, refresh(0))).ThenNothing()
	rotated.When(cmd(110, refresh(0))).ThenNothing()
	if s := rotated.State(); !bytes.Equal(s.GetTokenCiphertext(), rotation(0).GetSuccessorCiphertext()) || !bytes.Equal(s.GetToken(), token(1)) {
		t.Errorf("the state does not have the answer: %v", s)
	}
	rotated.When(cmd(111, refresh(0))).Then(reuse(111)).When(cmd(112, refresh(1))).ThenRejected(session.CodeRevoked)
	twice := given(t, started, refreshed(0, 100), refreshed(1, 101))
	twice.When(cmd(102, refresh(1))).ThenNothing()
	revoked := twice.When(cmd(102, refresh(0))).Then(reuse(102))
	for _, s := range []*sessionv1.SessionState{revoked.State()} {
		if s.GetStatus() != sessionv1.SessionStatus_SESSION_STATUS_REVOKED || s.GetReason() != session.ReasonReuse || s.Token != nil || s.TokenCiphertext != nil || s.Older != nil {
			t.Errorf("%v", s)
		}
	}
	twice.When(cmd(102, &sessionv1.ReauthenticateSession{Rotation: rotation(0), Methods: []string{"password"}, AuthenticatedAt: at(101), Origin: laptop})).Then(reuse(102))
}

// Who only knows the session's ID cannot end it.
func TestUnknownTokenEndsNothing(t *testing.T) {
	s := given(t, started, refreshed(0, 100), refreshed(1, 101))
	s.When(cmd(102, refresh(7))).ThenRejected(session.CodeTokenUnknown)
	s.When(cmd(102, &sessionv1.RefreshSession{Rotation: &sessionv1.Rotation{}})).ThenRejected(session.CodeTokenUnknown)
	given(t, started).When(cmd(11, &sessionv1.RefreshSession{Rotation: &sessionv1.Rotation{}})).ThenRejected(session.CodeTokenUnknown)
	s.When(cmd(102, &sessionv1.ReauthenticateSession{Rotation: rotation(7)})).ThenRejected(session.CodeTokenUnknown)
}

// A session remembers its older tokens, but not without bound.
func TestOlderTokensAreBounded(t *testing.T) {
	s := session.Decider.Fold(started)
	for i := range 1200 {
		s = session.Evolve(s, refreshed(i, 11+i))
	}
	if n := len(s.GetOlder()); n != session.MaxOlder {
		t.Errorf("%d older tokens", n)
	}
	for presented, want := range map[int]string{1198: "reuse", 200: "reuse", 198: session.CodeTokenUnknown} {
		events, err := session.Decide(cmd(1300, refresh(presented)), s)
		if r, ok := decider.AsRejection(err); ok && r.Code != want || !ok && (len(events) != 1 || events[0].(*sessionv1.SessionRevoked).GetReason() != want) {
			t.Errorf("token %d: %v, %v, want %s", presented, events, err, want)
		}
	}
}

// An hour without a refresh ends a session, and so do 24 hours whatever happens in them: refreshing does not move that end,
// nor does authenticating again.
func TestASVS_7_3_1_IdleAndAbsolute(t *testing.T) {
	s := given(t, started)
	s.When(cmd(10+3599, refresh(0))).Then(refreshed(0, 10+3599))
	s.When(cmd(10+3600, refresh(0))).ThenRejected(session.CodeExpired)
	s.When(cmd(10+3600, &sessionv1.ReauthenticateSession{Rotation: rotation(0)})).ThenRejected(session.CodeExpired)
}

func TestASVS_10_4_8_RefreshHasAbsoluteExpiry(t *testing.T) {
	state, n := session.Decider.Fold(started), 0
	for second := 10; second+3000 < 10+86400; n++ {
		second += 3000
		body := proto.Message(refresh(n))
		if n%2 == 1 {
			body = &sessionv1.ReauthenticateSession{Rotation: rotation(n), Methods: []string{"password"}, AuthenticatedAt: at(second)}
		}
		events, err := session.Decide(cmd(second, body), state)
		if err != nil {
			t.Fatal(second, err)
		}
		state = session.Decider.FoldFrom(state, events...)
		if state.GetIdleExpiresAt().AsTime().After(at(10 + 86400).AsTime()) {
			t.Fatalf("idle until %v, after the end", state.GetIdleExpiresAt().AsTime())
		}
	}
	if _, err := session.Decide(cmd(10+86399, refresh(n)), state); err != nil {
		t.Error(err)
	}
	_, err := session.Decide(cmd(10+86400, refresh(n)), state)
	if r, ok := decider.AsRejection(err); !ok || r.Code != session.CodeExpired {
		t.Errorf("after 24 hours: %v", err)
	}
}

// A new authentication gives a new token, and its methods replace those before.
func TestASVS_7_2_4_NewTokenAtEveryAuthentication(t *testing.T) {
	again := func(n, second int) *sessionv1.ReauthenticateSession {
		return &sessionv1.ReauthenticateSession{Rotation: rotation(n), Methods: []string{"password", "recovery_code"}, AuthenticatedAt: at(second), Origin: laptop}
	}
	event := func(r *sessionv1.Rotation, authenticated, second int) *sessionv1.SessionReauthenticated {
		return &sessionv1.SessionReauthenticated{Rotation: r, Methods: []string{"password", "recovery_code"}, AuthenticatedAt: at(authenticated), Origin: laptop, ReauthenticatedAt: at(second)}
	}
	done := given(t, started).When(cmd(100, again(0, 99))).Then(event(rotation(0), 99, 100))
	done.ThenState(&sessionv1.SessionState{Status: sessionv1.SessionStatus_SESSION_STATUS_ACTIVE, User: "user-1", Methods: []string{"password", "recovery_code"}, AuthenticatedAt: at(99),
		Origin: laptop, StartedAt: at(10), RefreshedAt: at(100), ExpiresAt: at(10 + 86400), IdleExpiresAt: at(3700), Idle: hours(1), Token: token(1), Presented: token(0),
		TokenCiphertext: rotation(0).GetSuccessorCiphertext(), RotatedAt: at(100)})
	done.When(cmd(105, again(0, 99))).ThenNothing()
	done.When(cmd(111, again(0, 99))).Then(reuse(111))
	// Where a refresh came in between, the token is new already, but the authentication still has to be noted.
	noted := given(t, started, refreshed(0, 100)).When(cmd(105, again(0, 99))).Then(event(nil, 99, 105))
	if s := noted.State(); !bytes.Equal(s.GetToken(), token(1)) || s.GetRotatedAt().AsTime() != at(100).AsTime() {
		t.Errorf("%v", s)
	}
	// A time to come counts as now.
	given(t, started).When(cmd(100, again(0, 200))).Then(event(rotation(0), 100, 100))
}

// What is revoked is dead, on every path, and stays so.
func TestASVS_7_4_1_RevokedIsDead(t *testing.T) {
	for _, reason := range []string{"logout", "ended_by_user", "ended_by_administrator", "password_changed", "locked", "disabled", "erased"} {
		revoke := &sessionv1.RevokeSession{Reason: reason}
		s := given(t, started, refreshed(0, 100)).When(cmd(101, revoke)).Then(&sessionv1.SessionRevoked{Reason: reason, User: "user-1", RevokedAt: at(101)})
		for n := range 3 {
			s.When(cmd(102, refresh(n))).ThenRejected(session.CodeRevoked)
			s.When(cmd(102, &sessionv1.ReauthenticateSession{Rotation: rotation(n)})).ThenRejected(session.CodeRevoked)
		}
		s.When(cmd(102, start)).ThenRejected(session.CodeAlreadyStarted)
		s.When(cmd(102, &sessionv1.RevokeSession{Reason: "logout"})).ThenNothing()
	}
	// Time has ended it; a revocation is still worth noting.
	given(t, started).When(cmd(100_000, &sessionv1.RevokeSession{Reason: "erased"})).Then(&sessionv1.SessionRevoked{Reason: "erased", User: "user-1", RevokedAt: at(100_000)})
}

// A user ends the own sessions; that another one exists is not told.
func TestASVS_7_5_2_OnlyOwnSessions(t *testing.T) {
	s := given(t, started)
	s.When(cmd(11, &sessionv1.RevokeSession{Reason: "ended_by_user", User: "user-2"})).ThenRejected(session.CodeNotFound)
	s.When(cmd(11, &sessionv1.RevokeSession{Reason: "ended_by_user", User: "user-1"})).Then(&sessionv1.SessionRevoked{Reason: "ended_by_user", User: "user-1", RevokedAt: at(11)})
	revoked := given(t, started, reuse(11))
	revoked.When(cmd(12, &sessionv1.RevokeSession{Reason: "ended_by_user", User: "user-2"})).ThenRejected(session.CodeNotFound)
}
