package user_test

import (
	"bytes"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/decider/decidertest"
	"github.com/cqrsflow/cqrsflow/domain/user"
	"github.com/cqrsflow/cqrsflow/event"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
)

type command = decider.Command[proto.Message]

var epoch = time.Date(1997, 1, 1, 0, 0, 0, 0, time.UTC)

// at is the n-th second: each command and event of a test has one of its own, so that times cannot be mixed up.
func at(n int) *timestamppb.Timestamp {
	return timestamppb.New(epoch.Add(time.Duration(n) * time.Second))
}

// cmd is a command that is recorded in the n-th second. When it says it happened is of no account.
func cmd(n int, body proto.Message) command {
	return command{Command: event.Command{Stream: "user-1", Time: epoch.AddDate(5, 0, 0), RecordedTime: at(n).AsTime(), Principal: "service:identity"}, Body: body}
}

func hash(c byte) []byte { return bytes.Repeat([]byte{c}, 32) }

func seconds(n int) *durationpb.Duration { return durationpb.New(time.Duration(n) * time.Second) }

// step is the time step of the n-th second.
func step(n int) int64 { return at(n).GetSeconds() / 30 }

const claim = "hmac-of-ann"

var (
	laptop = &typev1.Origin{Source: hash('s'), Device: hash('l'), DeviceLabel: []byte("laptop")}
	codes  = [][]byte{hash('1'), hash('2'), hash('3')}
)

// by is an authentication in the n-th second.
func by(n int, methods ...string) *typev1.Authentication {
	return &typev1.Authentication{Session: "session-1", AuthenticatedAt: at(n), Methods: methods}
}

// begin and complete are what a login consists of.
func begin(attempt, factor string) *userv1.BeginAttempt {
	return &userv1.BeginAttempt{Attempt: attempt, Factor: factor, Subject: claim, Origin: laptop}
}

func complete(attempt, factor, result string, version int64) *userv1.CompleteAttempt {
	return &userv1.CompleteAttempt{Attempt: attempt, Factor: factor, Subject: claim, CredentialVersion: version, Result: result, Origin: laptop}
}

func withStep(c *userv1.CompleteAttempt, step int64) *userv1.CompleteAttempt {
	c.TotpStep = step
	return c
}

func withCode(c *userv1.CompleteAttempt, code []byte) *userv1.CompleteAttempt {
	c.RecoveryCode = code
	return c
}

func begun(n int, attempt, factor string) *userv1.AttemptBegun {
	return &userv1.AttemptBegun{Attempt: attempt, Factor: factor, Origin: laptop, BegunAt: at(n), ExpiresAt: at(n + 60)}
}

// Commands and histories of each status.
var (
	register = &userv1.RegisterUser{EmailClaim: claim, Email: []byte("email"), Name: []byte("name"), Credential: []byte("first"), Roles: []string{"customer", "clerk"},
		Confirmation: hash('c'), ConfirmationValidFor: seconds(1000), Origin: laptop}
	registered = []proto.Message{&userv1.UserRegistered{EmailClaim: claim, Email: []byte("email"), Name: []byte("name"), Credential: []byte("first"),
		Roles: []string{"clerk", "customer"}, Confirmation: hash('c'), ConfirmationExpiresAt: at(1001), Origin: laptop, RegisteredAt: at(1)}}
	confirmed = append(registered[:1:1], &userv1.EmailConfirmed{Origin: laptop, ConfirmedAt: at(2)})
	locked    = append(confirmed[:2:2], &userv1.UserLocked{Reason: "reported_stolen", LockedAt: at(3)})
	disabled  = append(confirmed[:2:2], &userv1.UserDisabled{Reason: "left_company", DisabledAt: at(3)})
	erased    = append(confirmed[:2:2], &userv1.UserErased{EmailClaim: claim, ErasedAt: at(3)})
	// protected has a second factor, which was activated in second 10.
	protected = append(confirmed[:2:2],
		&userv1.TotpEnrolmentBegun{Seed: []byte("seed"), SecondFactorVersion: 1, ExpiresAt: at(905), Origin: laptop, BegunAt: at(5)},
		&userv1.TotpActivated{TotpStep: step(10), RecoveryCodes: codes, Origin: laptop, ActivatedAt: at(10)})
)

type scenario = decidertest.Scenario[command, proto.Message, *userv1.UserState]

func given(t *testing.T, events []proto.Message, more ...proto.Message) *scenario {
	t.Helper()
	return decidertest.Given(t, user.Decider, append(events[:len(events):len(events)], more...)...)
}

// life is a user to whom much happens, of which only the verdicts matter.
type life struct {
	t   *testing.T
	s   *userv1.UserState
	now time.Time
}

func live(t *testing.T, n int, events []proto.Message) *life {
	return &life{t: t, s: user.Decider.Fold(events...), now: at(n).AsTime()}
}

// do returns the code of the rejection, empty where the command was accepted.
func (l *life) do(body proto.Message) string {
	l.t.Helper()
	events, err := user.Decide(command{Command: event.Command{Stream: "user-1", RecordedTime: l.now}, Body: body}, l.s)
	if r, ok := decider.AsRejection(err); ok {
		return r.Code
	}
	if err != nil {
		l.t.Fatal(err)
	}
	l.s = user.Decider.FoldFrom(l.s, events...)
	return ""
}

func (l *life) must(body proto.Message) {
	l.t.Helper()
	if code := l.do(body); code != "" {
		l.t.Fatalf("%s was rejected with %s", body.ProtoReflect().Descriptor().Name(), code)
	}
}

func (l *life) refused(code string, body proto.Message) {
	l.t.Helper()
	if got := l.do(body); got != code {
		l.t.Fatalf("%s: %q, want %q", body.ProtoReflect().Descriptor().Name(), got, code)
	}
}

func (l *life) pass(d time.Duration) { l.now = l.now.Add(d) }
