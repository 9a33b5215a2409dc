package session_test

import (
	"bytes"
	"flag"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/cqrsflow/cqrsflow/decider/decidertest"
	"github.com/cqrsflow/cqrsflow/domain/session"
	sessionv1 "github.com/cqrsflow/cqrsflow/schemas/session/v1"
)

var update = flag.Bool("update", false, "write golden files")

// lives present tokens in any order, mostly the current one.
var lives = rapid.Custom(func(t *rapid.T) []command {
	life, now, current := []command{cmd(10, start)}, 10, 0
	for range rapid.IntRange(0, 20).Draw(t, "commands") {
		now += rapid.SampledFrom([]int{0, 1, 5, 11, 600, 3601}).Draw(t, "pass")
		n := max(0, current-rapid.SampledFrom([]int{0, 0, 0, 0, 0, 1, 1, 2, 3}).Draw(t, "behind"))
		switch rapid.IntRange(0, 19).Draw(t, "command") {
		default:
			life = append(life, cmd(now, refresh(n)))
		case 1, 2, 3:
			life = append(life, cmd(now, &sessionv1.ReauthenticateSession{Rotation: rotation(n), Methods: []string{"password"},
				AuthenticatedAt: at(now - rapid.IntRange(-5, 5).Draw(t, "age"))}))
		case 4:
			life = append(life, cmd(now, &sessionv1.RevokeSession{Reason: "logout"}))
		}
		if n == current {
			current++
		}
	}
	return life
})

// The laws of every decider, and those of sessions: every token is exchanged once at most; nothing happens after a
// revocation, or after the session's end, but a revocation; the last authentication is no later than now.
func TestLaws(t *testing.T) {
	happened := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		s := session.Decider.Initial()
		exchanged := map[string]bool{}
		for _, e := range decidertest.Laws(t, session.Decider, lives.Draw(t, "life")...) {
			happened[string(e.ProtoReflect().Descriptor().Name())]++
			if s.GetStatus() == sessionv1.SessionStatus_SESSION_STATUS_REVOKED {
				t.Fatalf("%T after the session was revoked", e)
			}
			var r *sessionv1.Rotation
			now := s.GetStartedAt()
			switch e := e.(type) {
			case *sessionv1.SessionRefreshed:
				r, now = e.GetRotation(), e.GetRefreshedAt()
			case *sessionv1.SessionReauthenticated:
				r, now = e.GetRotation(), e.GetReauthenticatedAt()
				if e.GetAuthenticatedAt().AsTime().After(now.AsTime()) {
					t.Fatal("an authentication to come")
				}
			}
			if r != nil {
				if exchanged[string(r.GetPresented())] || !bytes.Equal(r.GetPresented(), s.GetToken()) {
					t.Fatalf("%x was exchanged, the token is %x", r.GetPresented(), s.GetToken())
				}
				exchanged[string(r.GetPresented())] = true
			}
			if now != nil && (!now.AsTime().Before(s.GetIdleExpiresAt().AsTime()) || !now.AsTime().Before(s.GetExpiresAt().AsTime())) {
				t.Fatalf("%T after the session's end", e)
			}
			s = session.Evolve(s, e)
			if s.GetIdleExpiresAt().AsTime().After(s.GetExpiresAt().AsTime()) {
				t.Fatal("idle beyond the session's end")
			}
		}
	})
	t.Logf("events: %v", happened)
	for _, typ := range session.Spec(nil).Events {
		if happened[typ[len("session.v1."):]] == 0 {
			t.Errorf("%s never happened: the generator tests less than it should", typ)
		}
	}
}

func TestGoldenFolds(t *testing.T) {
	decidertest.GoldenFolds(t, "testdata/folds.json", *update, session.Fingerprint, session.Decider, map[string][]proto.Message{
		"refreshed": {started, refreshed(0, 100), refreshed(1, 101), refreshed(2, 102)},
		"again": {started, refreshed(0, 100), &sessionv1.SessionReauthenticated{Rotation: rotation(1), Methods: []string{"password"}, AuthenticatedAt: at(199), ReauthenticatedAt: at(200)},
			&sessionv1.SessionReauthenticated{Methods: []string{"totp"}, AuthenticatedAt: at(201), ReauthenticatedAt: at(202)}},
		"revoked":    {started, refreshed(0, 100), refreshed(1, 101), reuse(102)},
		"to the end": {started, refreshed(0, 86000)},
		"empty":      {&sessionv1.SessionStarted{}, &sessionv1.SessionRefreshed{}, &sessionv1.SessionReauthenticated{}, &sessionv1.SessionRevoked{}},
	})
}
