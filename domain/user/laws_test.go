package user_test

import (
	"flag"
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/decider/decidertest"
	"github.com/cqrsflow/cqrsflow/domain/user"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
)

var update = flag.Bool("update", false, "write golden files")

// lives are some way along the usual one, then anything; time passes in between.
var lives = rapid.Custom(func(t *rapid.T) []command {
	usual := []command{
		cmd(1, register), cmd(2, &userv1.ConfirmEmail{Confirmation: hash('c')}),
		cmd(5, &userv1.BeginTotpEnrolment{Seed: []byte("seed"), Authentication: by(4, "password")}),
		cmd(10, &userv1.ActivateTotp{SecondFactorVersion: 1, TotpStep: step(10), RecoveryCodes: codes, Authentication: by(4, "password")}),
	}
	n := rapid.SampledFrom([]int{0, 0, 1, 1, 1, 2, 2, 4, 4, 4}).Draw(t, "usual")
	life, now := usual[:n:n], 70
	for range rapid.IntRange(3, 7).Draw(t, "bursts") {
		for _, body := range burst(t, now) {
			life = append(life, cmd(now, body))
			now += rapid.SampledFrom([]int{0, 0, 0, 1, 30}).Draw(t, "pass")
		}
		now += rapid.SampledFrom([]int{0, 0, 1, 70, 400}).Draw(t, "pass")
	}
	return life
})

// burst is what belongs together, or makes sense only after something else.
func burst(t *rapid.T, now int) []proto.Message {
	attempt := fmt.Sprint(rapid.IntRange(1, 6).Draw(t, "attempt"))
	factor := rapid.SampledFrom([]string{"password", "password", "totp", "recovery_code"}).Draw(t, "factor")
	version := rapid.SampledFrom([]int64{0, 1, 1, 1, 1, 2}).Draw(t, "version")
	recent := by(now-rapid.SampledFrom([]int{0, 0, 0, 400}).Draw(t, "age"), "password", "totp")
	b := begin(attempt, factor)
	b.Subject = rapid.SampledFrom([]string{claim, claim, "hmac-of-somebody"}).Draw(t, "subject")
	b.Origin = rapid.SampledFrom([]*typev1.Origin{nil, laptop}).Draw(t, "origin")
	c := complete(attempt, factor, rapid.SampledFrom([]string{"succeeded", "failed", "failed", "withdrawn"}).Draw(t, "result"), version)
	c.Subject = b.Subject
	if c.Result == "succeeded" && factor == "totp" {
		c.TotpStep = step(now) + rapid.Int64Range(-2, 2).Draw(t, "step")
	}
	if c.Result == "succeeded" && factor == "recovery_code" {
		c.RecoveryCode = rapid.SampledFrom(codes).Draw(t, "code")
	}
	return rapid.SampledFrom([][]proto.Message{
		{b, c}, {b, c}, {b, c, c}, {b, c}, {b}, {b}, {c},
		{register},
		{&userv1.ResendConfirmation{Confirmation: hash('d'), ValidFor: seconds(100)}},
		{&userv1.ConfirmEmail{Confirmation: hash('d')}},
		{&userv1.RehashPassword{Credential: []byte("again"), CredentialVersion: version}},
		{begin("change", "password"), &userv1.ChangePassword{Attempt: "change", CredentialVersion: version, Credential: []byte("other")}},
		{&userv1.RequestPasswordReset{Token: hash('t'), ValidFor: seconds(100)}, &userv1.ResetPassword{Token: hash('t'), Credential: []byte("other")}},
		{&userv1.RemoveTotp{Authentication: recent}, &userv1.BeginTotpEnrolment{Seed: []byte("other"), Authentication: recent},
			&userv1.ActivateTotp{SecondFactorVersion: 3, TotpStep: step(now), RecoveryCodes: codes, Authentication: recent}},
		{&userv1.ReplaceRecoveryCodes{RecoveryCodes: codes[:1], Authentication: recent}},
		{&userv1.RememberDevice{Device: hash('l')}},
		{&userv1.RememberDevice{Device: hash('l')}, &userv1.ForgetDevice{Device: hash('l')}},
		{&userv1.SetRoles{Roles: rapid.SampledFrom([][]string{nil, {"customer"}, {"admin"}}).Draw(t, "roles")}},
		{&userv1.LockUser{Reason: "x"}, &userv1.UnlockUser{}},
		{&userv1.UnlockUser{}},
	}).Draw(t, "burst")
}

// The laws of every decider, and what holds for every user: an attempt ends once; of a seed, each time step is used once, in
// order; a recovery code is used once; nobody erased has a past.
func TestLaws(t *testing.T) {
	reached := map[userv1.UserStatus]int{}
	happened := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		events := decidertest.Laws(t, user.Decider, lives.Draw(t, "life")...)
		open, last, left := map[string]bool{}, int64(0), map[string]bool{}
		s := user.Decider.Initial()
		for _, e := range events {
			happened[string(e.ProtoReflect().Descriptor().Name())]++
			if s.GetStatus() == userv1.UserStatus_USER_STATUS_ERASED {
				t.Fatalf("%T happened to a user who is erased", e)
			}
			kept := s.GetStatus() == userv1.UserStatus_USER_STATUS_LOCKED || s.GetStatus() == userv1.UserStatus_USER_STATUS_DISABLED
			ended := func(attempt, factor, subject string) {
				key := attempt + factor + subject
				if !open[key] {
					t.Fatalf("attempt %s ended, but was not open", key)
				}
				delete(open, key)
			}
			switch e := e.(type) {
			case *userv1.UserRegistered:
				open = map[string]bool{}
			case *userv1.AttemptBegun:
				if kept {
					t.Fatal("an attempt began though the user is kept out")
				}
				open[e.GetAttempt()+e.GetFactor()+e.GetSubject()] = true
			case *userv1.AttemptFailed:
				ended(e.GetAttempt(), e.GetFactor(), e.GetSubject())
			case *userv1.AttemptWithdrawn:
				ended(e.GetAttempt(), e.GetFactor(), e.GetSubject())
			case *userv1.AttemptExpired:
				ended(e.GetAttempt(), e.GetFactor(), e.GetSubject())
			case *userv1.AttemptSucceeded:
				if s.GetStatus() != userv1.UserStatus_USER_STATUS_ACTIVE {
					t.Fatalf("an attempt succeeded though the user is %v", s.GetStatus())
				}
				ended(e.GetAttempt(), e.GetFactor(), "")
				if e.GetFactor() == "totp" && e.GetTotpStep() <= last {
					t.Fatalf("time step %d was used after %d", e.GetTotpStep(), last)
				}
				last = max(last, e.GetTotpStep())
				if e.GetFactor() == "recovery_code" && !left[string(e.GetRecoveryCode())] {
					t.Fatalf("recovery code %s was used, but not there", e.GetRecoveryCode())
				}
				delete(left, string(e.GetRecoveryCode()))
			case *userv1.TotpActivated:
				last, left = e.GetTotpStep(), set(e.GetRecoveryCodes())
			case *userv1.RecoveryCodesReplaced:
				left = set(e.GetRecoveryCodes())
			case *userv1.TotpRemoved:
				left = nil
			}
			s = user.Evolve(s, e)
		}
		reached[s.GetStatus()]++
		for _, end := range []proto.Message{&userv1.LockUser{Reason: "x"}, &userv1.DisableUser{Reason: "x"}, &userv1.ForgetUser{}} {
			over, err := user.Decide(cmd(10_000, end), s)
			if _, rejected := decider.AsRejection(err); err != nil && !rejected {
				t.Fatal(err)
			}
			s := user.Decider.FoldFrom(s, over...)
			reached[s.GetStatus()]++
			if _, err := user.Decide(cmd(100_000, begin("last", "password")), s); len(over) > 0 && err == nil {
				t.Fatalf("an attempt may begin after %T", end)
			}
			if s.GetStatus() == userv1.UserStatus_USER_STATUS_ERASED && !proto.Equal(s, &userv1.UserState{Status: s.GetStatus(), Since: s.GetSince()}) {
				t.Fatalf("an erased user has a past: %v", s)
			}
		}
	})
	t.Logf("histories by status: %v", reached)
	t.Logf("events: %v", happened)
	for status, name := range userv1.UserStatus_name {
		if reached[userv1.UserStatus(status)] == 0 {
			t.Errorf("no history led to %s: the generator tests less than it should", name)
		}
	}
	for _, e := range []string{"AttemptBegun", "AttemptFailed", "AttemptWithdrawn", "AttemptExpired", "AttemptSucceeded", "TotpActivated"} {
		if happened[e] == 0 {
			t.Errorf("%s never happened: the generator tests less than it should", e)
		}
	}
}

func set(codes [][]byte) map[string]bool {
	s := map[string]bool{}
	for _, c := range codes {
		s[string(c)] = true
	}
	return s
}

// Histories for the golden folds hold every event that can happen.
func histories() map[string][]proto.Message {
	empty := []proto.Message{
		&userv1.UserRegistered{}, &userv1.ConfirmationResent{}, &userv1.EmailConfirmed{}, &userv1.AttemptBegun{}, &userv1.AttemptFailed{}, &userv1.AttemptSucceeded{},
		&userv1.AttemptExpired{}, &userv1.AttemptWithdrawn{}, &userv1.PasswordRehashed{}, &userv1.PasswordChanged{}, &userv1.PasswordResetRequested{}, &userv1.PasswordReset{},
		&userv1.TotpEnrolmentBegun{}, &userv1.TotpActivated{}, &userv1.TotpRemoved{}, &userv1.RecoveryCodesReplaced{}, &userv1.DeviceRemembered{}, &userv1.DeviceForgotten{},
		&userv1.RolesSet{}, &userv1.UserLocked{}, &userv1.UserUnlocked{}, &userv1.UserDisabled{}, &userv1.UserErased{},
	}
	delayed := confirmed[:2:2]
	for i := range 6 {
		attempt := fmt.Sprint(i)
		delayed = append(delayed, begun(10*i+10, attempt, "password"), &userv1.AttemptFailed{Attempt: attempt, Factor: "password", FailedAt: at(10*i + 11)})
	}
	unknown := &userv1.AttemptBegun{Attempt: "a", Factor: "password", Subject: "nobody", BegunAt: at(1), ExpiresAt: at(61)}
	var many []proto.Message
	for i := range user.MaxUnknown + 2 {
		many = append(many, &userv1.AttemptBegun{Attempt: "a", Factor: "password", Subject: fmt.Sprint(i), BegunAt: at(i), ExpiresAt: at(i + 60)})
	}
	return map[string][]proto.Message{
		"disabled": disabled, "erased": erased, "locked": append(locked[:3:3], &userv1.UserUnlocked{UnlockedAt: at(4)}),
		"resent":  append(registered[:1:1], &userv1.ConfirmationResent{Confirmation: hash('d'), ExpiresAt: at(500), ResentAt: at(70)}),
		"delayed": append(delayed[:len(delayed):len(delayed)], begun(100, "open", "password"), &userv1.AttemptExpired{Attempt: "open", Factor: "password", NoticedAt: at(200)}),
		"passwords": append(confirmed[:2:2], &userv1.DeviceRemembered{Device: hash('l'), RememberedAt: at(3)}, &userv1.PasswordRehashed{Credential: []byte("again")}, begun(3, "a", "password"),
			&userv1.AttemptSucceeded{Attempt: "a", Factor: "password"}, &userv1.PasswordChanged{Credential: []byte("second"), CredentialVersion: 2, ChangedAt: at(5)},
			&userv1.PasswordResetRequested{Token: hash('t'), ExpiresAt: at(100), RequestedAt: at(6)},
			&userv1.PasswordReset{Credential: []byte("third"), CredentialVersion: 3, ResetAt: at(7)}),
		"factors": append(protected[:4:4], begun(20, "a", "totp"), &userv1.AttemptSucceeded{Attempt: "a", Factor: "totp", TotpStep: step(50)},
			&userv1.AttemptFailed{Attempt: "c", Factor: "totp", FailedAt: at(21)}, &userv1.UserUnlocked{UnlockedAt: at(21)}, begun(21, "b", "recovery_code"), &userv1.AttemptSucceeded{Attempt: "b", Factor: "recovery_code", RecoveryCode: codes[1]},
			&userv1.RecoveryCodesReplaced{RecoveryCodes: codes[:1]}, &userv1.TotpRemoved{SecondFactorVersion: 2}),
		"devices and roles": append(confirmed[:2:2], &userv1.DeviceRemembered{Device: hash('l'), Label: []byte("laptop"), RememberedAt: at(3)},
			&userv1.DeviceRemembered{Device: hash('p'), RememberedAt: at(4)}, &userv1.DeviceForgotten{Device: hash('l')}, &userv1.RolesSet{Roles: []string{"admin"}}),
		"many unknown": many,
		"unknown": {unknown, &userv1.AttemptFailed{Attempt: "a", Factor: "password", Subject: "nobody", FailedAt: at(2)},
			&userv1.AttemptBegun{Attempt: "b", Factor: "password", Subject: "somebody", BegunAt: at(3), ExpiresAt: at(63)},
			&userv1.AttemptExpired{Attempt: "b", Factor: "password", Subject: "somebody", NoticedAt: at(70)}},
		"withdrawn": append(delayed[:len(delayed):len(delayed)], begun(100, "open", "password"), &userv1.AttemptWithdrawn{Attempt: "open", Factor: "password", WithdrawnAt: at(101)}),
		// Events with nothing set are events too: a fold never fails.
		"empty": empty,
	}
}

func TestGoldenFolds(t *testing.T) {
	decidertest.GoldenFolds(t, "testdata/folds.json", *update, user.Fingerprint, user.Decider, histories())
	seen := map[string]bool{}
	for _, h := range histories() {
		for _, e := range h {
			seen[string(e.ProtoReflect().Descriptor().FullName())] = true
		}
	}
	for _, typ := range user.Spec(nil).Events {
		if !seen[typ] {
			t.Errorf("no golden history has a %s", typ)
		}
	}
}
