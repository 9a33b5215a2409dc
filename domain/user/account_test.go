package user_test

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/domain/user"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
)

func TestDevices(t *testing.T) {
	remembered := &userv1.DeviceRemembered{Device: hash('l'), Label: []byte("laptop"), RememberedAt: at(3)}
	known := given(t, confirmed).When(cmd(3, &userv1.RememberDevice{Device: hash('l'), Label: []byte("laptop")})).Then(remembered)
	known.When(cmd(4, &userv1.RememberDevice{Device: hash('l'), Label: []byte("laptop")})).ThenNothing()
	renamed := known.When(cmd(4, &userv1.RememberDevice{Device: hash('l'), Label: []byte("old laptop")})).
		Then(&userv1.DeviceRemembered{Device: hash('l'), Label: []byte("old laptop"), RememberedAt: at(4)})
	if n := len(renamed.State().GetDevices()); n != 1 {
		t.Errorf("one device under another name makes %d", n)
	}
	begins := begun(5, "a", "password")
	begins.KnownDevice = true
	known.When(cmd(5, begin("a", "password"))).Then(begins)
	forgotten := known.When(cmd(6, &userv1.ForgetDevice{Device: hash('l')})).Then(&userv1.DeviceForgotten{Device: hash('l'), ForgottenAt: at(6)})
	forgotten.When(cmd(7, &userv1.ForgetDevice{Device: hash('l')})).ThenNothing()
	forgotten.When(cmd(7, begin("a", "password"))).Then(begun(7, "a", "password"))
	l := live(t, 10, confirmed)
	for i := range 12 {
		l.must(&userv1.RememberDevice{Device: hash(byte(i))})
	}
	if d := l.s.GetDevices(); len(d) != user.MaxDevices || d[0].GetDevice()[0] != 2 {
		t.Errorf("%d devices, the oldest %v", len(d), d[0])
	}
}

func TestRoles(t *testing.T) {
	s := given(t, confirmed)
	s.When(cmd(3, &userv1.SetRoles{Roles: []string{"customer", "clerk"}})).ThenNothing()
	s.When(cmd(3, &userv1.SetRoles{Roles: []string{"emperor"}})).ThenRejected(user.CodeUnknownRole)
	s.When(cmd(3, &userv1.SetRoles{})).Then(&userv1.RolesSet{SetAt: at(3)})
}

// A lock holds on every path: who is locked can neither begin nor complete, nor take the way of the mail.
func TestASVS_6_3_4_LockHoldsOnEveryPath(t *testing.T) {
	open := []proto.Message{begun(3, "a", "password"), &userv1.PasswordResetRequested{Token: hash('t'), ExpiresAt: at(100), RequestedAt: at(3)}}
	s := given(t, append(confirmed[:2:2], &userv1.DeviceRemembered{Device: hash('l'), RememberedAt: at(3)}), open...).
		When(cmd(4, &userv1.LockUser{Reason: "reported_stolen"})).Then(&userv1.UserLocked{Reason: "reported_stolen", LockedAt: at(4)})
	s.When(cmd(5, begin("b", "password"))).ThenRejected(user.CodeTooManyAttempts)
	s.When(cmd(5, complete("a", "password", "succeeded", 1))).ThenRejected(user.CodeLocked)
	s.When(cmd(5, &userv1.ChangePassword{Attempt: "a", CredentialVersion: 1, Credential: []byte("second")})).ThenRejected(user.CodeLocked)
	s.When(cmd(5, &userv1.ResetPassword{Token: hash('t'), Credential: []byte("second")})).ThenRejected(user.CodeLocked)
	s.When(cmd(70, &userv1.RequestPasswordReset{Token: hash('u'), ValidFor: seconds(60)})).ThenRejected(user.CodeLocked)
	s.When(cmd(6, &userv1.UnlockUser{})).Then(&userv1.UserUnlocked{UnlockedAt: at(6)}).
		When(cmd(7, complete("a", "password", "succeeded", 1))).Then(&userv1.AttemptSucceeded{Attempt: "a", Factor: "password", Origin: laptop, SucceededAt: at(7)})
	given(t, registered, &userv1.UserLocked{LockedAt: at(3)}, &userv1.UserUnlocked{UnlockedAt: at(4)}).
		When(cmd(5, &userv1.RehashPassword{Credential: []byte("again"), CredentialVersion: 1})).ThenRejected(user.CodeEmailNotConfirmed)
}

// Unlocking forgets failures of both factors; what is open may still fail.
func TestUnlockForgetsFailures(t *testing.T) {
	events := protected[:4:4]
	for i := range 5 {
		for _, factor := range []string{"password", "totp"} {
			attempt := fmt.Sprint(factor, i)
			events = append(events, begun(20, attempt, factor), &userv1.AttemptFailed{Attempt: attempt, Factor: factor, FailedAt: at(20)})
		}
	}
	events = append(events, begun(21, "open", "password"))
	s := given(t, events)
	s.When(cmd(21, begin("b", "password"))).ThenRejected(user.CodeTooManyAttempts)
	s.When(cmd(21, begin("b", "totp"))).ThenRejected(user.CodeTooManyAttempts)
	unlocked := s.When(cmd(22, &userv1.UnlockUser{})).Then(&userv1.UserUnlocked{UnlockedAt: at(22)})
	unlocked.When(cmd(22, begin("b", "password"))).Then(begun(22, "b", "password"))
	unlocked.When(cmd(22, begin("b", "totp"))).Then(begun(22, "b", "totp"))
	unlocked.When(cmd(22, complete("open", "password", "failed", 1))).Then(&userv1.AttemptFailed{Attempt: "open", Factor: "password", Origin: laptop, FailedAt: at(22)})
}

// Nothing is left of who is forgotten but that and when; the event names the claim that is to be released.
func TestForget(t *testing.T) {
	given(t, protected, begun(20, "a", "password"), &userv1.DeviceRemembered{Device: hash('l'), RememberedAt: at(21)}, &userv1.UserLocked{Reason: "x", LockedAt: at(22)}).
		When(cmd(23, &userv1.ForgetUser{})).Then(&userv1.UserErased{EmailClaim: claim, ErasedAt: at(23)}).
		ThenState(&userv1.UserState{Status: userv1.UserStatus_USER_STATUS_ERASED, Since: at(23)})
}
