package user_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/domain/user"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
)

func TestLogin(t *testing.T) {
	given(t, confirmed).
		When(cmd(3, begin("a", "password"))).Then(begun(3, "a", "password")).
		When(cmd(4, complete("a", "password", "failed", 1))).
		Then(&userv1.AttemptFailed{Attempt: "a", Factor: "password", Origin: laptop, FailedAt: at(4)}).
		When(cmd(5, begin("b", "password"))).Then(begun(5, "b", "password")).
		When(cmd(6, complete("b", "password", "succeeded", 1))).
		Then(&userv1.AttemptSucceeded{Attempt: "b", Factor: "password", Origin: laptop, SucceededAt: at(6)}).
		ThenState(&userv1.UserState{Status: userv1.UserStatus_USER_STATUS_ACTIVE, Since: at(2), EmailClaim: claim, Email: []byte("email"), Name: []byte("name"),
			Roles: []string{"clerk", "customer"}, RegisteredAt: at(1), ConfirmedAt: at(2), Credential: []byte("first"), CredentialVersion: 1,
			Password: &userv1.Guard{CountedAt: at(5)}})
}

// An attempt is completed once, in time, and as what it was begun.
func TestCompleteOnce(t *testing.T) {
	open := given(t, confirmed, begun(3, "a", "password"))
	open.When(cmd(4, begin("a", "password"))).ThenRejected(user.CodeAttemptExists)
	open.When(cmd(4, complete("b", "password", "failed", 1))).ThenRejected(user.CodeAttemptNotFound)
	open.When(cmd(62, complete("a", "password", "failed", 1))).Then(&userv1.AttemptFailed{Attempt: "a", Factor: "password", Origin: laptop, FailedAt: at(62)}).
		When(cmd(62, complete("a", "password", "succeeded", 1))).ThenRejected(user.CodeAttemptNotFound)
	open.When(cmd(63, complete("a", "password", "succeeded", 1))).ThenRejected(user.CodeAttemptExpired)
	given(t, protected, begun(11, "a", "totp")).When(cmd(12, withCode(complete("a", "recovery_code", "succeeded", 1), codes[0]))).ThenRejected(user.CodeAttemptNotFound)
}

// What is not completed counts as failed, and the history says so.
func TestExpiredAttemptsCount(t *testing.T) {
	given(t, confirmed, begun(3, "a", "password"), begun(4, "b", "password")).
		When(cmd(63, begin("c", "password"))).
		Then(&userv1.AttemptExpired{Attempt: "a", Factor: "password", NoticedAt: at(63)}, begun(63, "c", "password")).
		When(cmd(64, begin("d", "password"))).
		Then(&userv1.AttemptExpired{Attempt: "b", Factor: "password", NoticedAt: at(64)}, begun(64, "d", "password")).
		When(cmd(64, begin("e", "password"))).ThenRejected(user.CodeTooManyAttempts)
}

// What was withdrawn, because nothing could be verified, is not counted: an outage keeps nobody out.
func TestWithdrawnAttemptsDoNotCount(t *testing.T) {
	for name, past := range map[string][]proto.Message{"a user": confirmed, "nobody": nil} {
		l := live(t, 100, past)
		for i := range 200 {
			l.must(begin(fmt.Sprint(i), "password"))
			l.must(complete(fmt.Sprint(i), "password", "withdrawn", 0))
		}
		for i := range user.Attempts.From {
			l.must(begin(fmt.Sprint("f", i), "password"))
		}
		l.refused(user.CodeTooManyAttempts, begin("more", "password"))
		l.must(complete("f0", "password", "withdrawn", 0))
		l.refused(user.CodeAttemptNotFound, complete("f0", "password", "withdrawn", 0))
		if l.do(begin("again", "password")) != "" {
			t.Errorf("%s: what was withdrawn leaves no room for another attempt", name)
		}
	}
}

// Of 500 guesses at once as many are let through as one after the other would be, however they end.
func TestParallelGuessesDoNotExceedTheLimit(t *testing.T) {
	for _, factor := range []string{"password", "totp"} {
		l := live(t, 100, protected)
		let := 0
		for i := range 500 {
			switch code := l.do(begin(fmt.Sprint(i), factor)); code {
			case "":
				let++
			case user.CodeTooManyAttempts:
			default:
				t.Fatal(code)
			}
		}
		if let != user.Attempts.From {
			t.Errorf("%d of 500 guesses at once with %s were let through, want %d", let, factor, user.Attempts.From)
		}
		for i := range let {
			l.must(complete(fmt.Sprint(i), factor, "failed", 1))
			l.refused(user.CodeTooManyAttempts, begin("more", factor))
		}
	}
}

// fail fails as fast as the delays allow, and returns how long that took.
func (l *life) fail(times int, origin *typev1.Origin) time.Duration {
	l.t.Helper()
	from := l.now
	for i := range times {
		attempt := fmt.Sprintf("f%d-%d", l.now.Unix(), i)
		b := begin(attempt, "password")
		b.Origin = origin
		if l.do(b) != "" {
			l.now = l.s.GetPassword().GetRetryAt().AsTime()
			l.must(b)
		}
		l.must(complete(attempt, "password", "failed", l.s.GetCredentialVersion()))
	}
	return l.now.Sub(from)
}

// Delays begin with the fourth failure in a row and double up to a quarter of an hour; the state and the message say when
// to come again.
func TestASVS_6_1_1_DelaysGrow(t *testing.T) {
	l := live(t, 100, confirmed)
	l.fail(4, laptop)
	if waited := l.now.Sub(at(100).AsTime()); waited != 0 {
		t.Errorf("the first four attempts were delayed by %v", waited)
	}
	for _, wait := range []time.Duration{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900} {
		wait *= time.Second
		if got := l.s.GetPassword().GetRetryAt().AsTime().Sub(l.now); got != wait {
			t.Fatalf("after %d failures the state says to come again in %v, want %v", l.s.GetPassword().GetFailures(), got, wait)
		}
		_, err := user.Decide(command{Body: begin("now", "password"), Command: cmd(0, nil).Command}, &userv1.UserState{Status: userv1.UserStatus_USER_STATUS_LOCKED})
		if r, _ := decider.AsRejection(err); !strings.HasSuffix(r.Message, "try again in 900 s") {
			t.Errorf("a locked user is told %q", r.Message)
		}
		c := cmd(0, begin("now", "password"))
		c.RecordedTime = l.now
		_, err = user.Decide(c, l.s)
		if r, _ := decider.AsRejection(err); r == nil || !strings.HasSuffix(r.Message, fmt.Sprintf("try again in %d s", wait/time.Second)) {
			t.Errorf("the message is %v, want %v in it", r, wait)
		}
		l.pass(wait - 1)
		l.refused(user.CodeTooManyAttempts, begin("early", "password"))
		l.pass(1)
		if took := l.fail(1, laptop); took != 0 {
			t.Errorf("delayed by %v more", took)
		}
	}
}

// After 100 failures in a row nobody gets in, from a known device neither, until the password is reset or the user unlocked.
func TestNIST_3_2_2_AtMost100Failures(t *testing.T) {
	known := &userv1.DeviceRemembered{Device: hash('l'), RememberedAt: at(3)}
	for name, ends := range map[string]func(*life){
		"unlock": func(l *life) { l.must(&userv1.UnlockUser{}) },
		"reset": func(l *life) {
			l.must(&userv1.RequestPasswordReset{Token: hash('t'), ValidFor: seconds(60)})
			l.must(&userv1.ResetPassword{Token: hash('t'), Credential: []byte("second")})
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := live(t, 100, append(confirmed[:2:2], known))
			l.fail(60, laptop)
			l.fail(40, &typev1.Origin{Source: hash('x')})
			l.pass(10_000 * time.Hour)
			l.refused(user.CodeTooManyAttempts, begin("101", "password"))
			ends(l)
			l.must(begin("101", "password"))
			l.must(complete("101", "password", "succeeded", l.s.GetCredentialVersion()))
		})
	}
}

// Who attacks an account keeps its owner out of no device that the account knows.
func TestKnownDevicesAreNotDelayed(t *testing.T) {
	l := live(t, 100, append(confirmed[:2:2], &userv1.DeviceRemembered{Device: hash('l'), RememberedAt: at(3)}))
	stranger := begin("stranger", "password")
	stranger.Origin = &typev1.Origin{Device: hash('x')}
	l.fail(30, stranger.Origin)
	l.refused(user.CodeTooManyAttempts, stranger)
	stranger.Origin = nil
	l.refused(user.CodeTooManyAttempts, stranger)
	l.must(begin("owner", "password"))
	l.must(complete("owner", "password", "succeeded", 1))
	if l.s.GetPassword().GetFailures() != 0 || l.s.GetPassword().GetRetryAt() != nil {
		t.Errorf("success forgets the failures: %v", l.s.GetPassword())
	}
}

// Codes are guessed no faster than passwords, and a known device is no help; success of one factor says nothing of the other.
func TestNIST_3_1_4_CodesLimited(t *testing.T) {
	l := live(t, 100, append(protected[:4:4], &userv1.DeviceRemembered{Device: hash('l'), RememberedAt: at(20)}))
	for i := range user.Attempts.Ceiling {
		factor := []string{"totp", "recovery_code"}[i%2]
		if i >= user.Attempts.From {
			l.refused(user.CodeTooManyAttempts, begin(fmt.Sprint(i), factor))
			l.now = l.s.GetSecondFactor().GetRetryAt().AsTime()
		}
		l.must(begin(fmt.Sprint(i), factor))
		l.must(complete(fmt.Sprint(i), factor, "failed", 1))
		l.must(begin(fmt.Sprint("p", i), "password"))
		l.must(complete(fmt.Sprint("p", i), "password", "succeeded", 1))
	}
	l.pass(10_000 * time.Hour)
	l.refused(user.CodeTooManyAttempts, begin("more", "totp"))
	l.must(begin("p", "password"))
	l.must(&userv1.UnlockUser{})
	l.must(begin("more", "totp"))
}

// An attempt that was verified against an older password, or an older seed, decides nothing.
func TestStaleVersion(t *testing.T) {
	changed := given(t, confirmed, begun(3, "a", "password"), begun(3, "b", "password"),
		&userv1.PasswordChanged{Credential: []byte("second"), CredentialVersion: 2, ChangedAt: at(4)})
	for _, result := range []string{"failed", "succeeded"} {
		changed.When(cmd(5, complete("a", "password", result, 1))).ThenRejected(user.CodeCredentialChanged)
		changed.When(cmd(5, complete("a", "password", result, 2))).ThenRejected(user.CodeAttemptNotFound)
	}
	changed.When(cmd(5, &userv1.RehashPassword{Credential: []byte("again"), CredentialVersion: 1})).ThenRejected(user.CodeCredentialChanged)
	given(t, protected, begun(20, "a", "totp"), &userv1.TotpRemoved{SecondFactorVersion: 2, RemovedAt: at(21)}).
		When(cmd(22, withStep(complete("a", "totp", "succeeded", 1), step(22)))).ThenRejected(user.CodeCredentialChanged)
}

// An account that does not exist is answered as one that does: the same verdicts at the same times, whatever is tried.
func TestASVS_6_3_8_UnknownAccountsAlike(t *testing.T) {
	real, unknown := live(t, 100, confirmed), live(t, 100, nil)
	// Another unknown account on the same stream is none of this one's business.
	other := begin("other", "password")
	other.Subject = "hmac-of-somebody"
	unknown.must(other)
	for i := range 130 {
		attempt := fmt.Sprint(i)
		if a, b := real.do(begin(attempt, "password")), unknown.do(begin(attempt, "password")); a != b {
			t.Fatalf("attempt %d: %q for a user, %q for nobody", i, a, b)
		}
		if i%7 != 0 { // some are never completed
			if a, b := real.do(complete(attempt, "password", "failed", 1)), unknown.do(complete(attempt, "password", "failed", 0)); a != b {
				t.Fatalf("completing attempt %d: %q for a user, %q for nobody", i, a, b)
			}
		}
		g, u := real.s.GetPassword(), unknown.s.GetUnknown()
		if !proto.Equal(g, u[len(u)-1].GetPassword()) {
			t.Fatalf("after attempt %d: %v for a user, %v for nobody", i, g, u)
		}
		wait := time.Duration(i%5) * 300 * time.Second
		real.pass(wait)
		unknown.pass(wait)
	}
	if real.s.GetPassword().GetFailures() < 50 {
		t.Errorf("only %d failures: the test shows less than it should", real.s.GetPassword().GetFailures())
	}
	unknown.must(&userv1.RequestPasswordReset{Token: hash('t'), ValidFor: seconds(60)})
}

// However many unknown accounts are tried, the stream that they share remembers the last 64.
func TestUnknownAccountsDoNotGrowTheState(t *testing.T) {
	l := live(t, 100, nil)
	var after64 int
	for i := range 500 {
		b := begin(fmt.Sprint(i), "password")
		b.Subject = fmt.Sprintf("subject-%03d", i)
		l.must(b)
		c := complete(b.Attempt, "password", "failed", 0)
		c.Subject = b.Subject
		l.must(c)
		if i == user.MaxUnknown-1 {
			after64 = proto.Size(l.s)
		}
	}
	if n := len(l.s.GetUnknown()); n != user.MaxUnknown || l.s.GetUnknown()[0].GetSubject() != "subject-436" {
		t.Errorf("%d unknown accounts, the oldest %s", n, l.s.GetUnknown()[0].GetSubject())
	}
	if size := proto.Size(l.s); size > after64+after64/10 {
		t.Errorf("%d bytes after 500 accounts, %d after 64", size, after64)
	}
	// One that gave way can be completed no more; that is an answer like any other.
	l.refused(user.CodeAttemptNotFound, complete("0", "password", "failed", 0))
}
