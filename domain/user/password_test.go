package user_test

import (
	"testing"

	"github.com/cqrsflow/cqrsflow/domain/user"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
)

// Changing the password takes an attempt with the current one, which serves for that change only.
func TestASVS_6_2_3_ChangeNeedsCurrentPassword(t *testing.T) {
	change := func(attempt string, version int64) *userv1.ChangePassword {
		return &userv1.ChangePassword{Attempt: attempt, CredentialVersion: version, Credential: []byte("second"), EndOtherSessions: true, Origin: laptop}
	}
	s := given(t, confirmed)
	s.When(cmd(3, change("a", 1))).ThenRejected(user.CodeAttemptNotFound)
	open := given(t, confirmed, &userv1.PasswordResetRequested{Token: hash('t'), ExpiresAt: at(99), RequestedAt: at(3)}, begun(3, "a", "password"), begun(3, "b", "password"))
	open.When(cmd(4, change("a", 2))).ThenRejected(user.CodeCredentialChanged)
	open.When(cmd(63, change("a", 1))).ThenRejected(user.CodeAttemptExpired)
	changed := open.When(cmd(4, change("a", 1))).Then(
		&userv1.AttemptSucceeded{Attempt: "a", Factor: "password", Origin: laptop, SucceededAt: at(4)},
		&userv1.PasswordChanged{Credential: []byte("second"), CredentialVersion: 2, EndOtherSessions: true, Origin: laptop, ChangedAt: at(4)})
	changed.ThenState(&userv1.UserState{Status: userv1.UserStatus_USER_STATUS_ACTIVE, Since: at(2), EmailClaim: claim, Email: []byte("email"), Name: []byte("name"),
		Roles: []string{"clerk", "customer"}, RegisteredAt: at(1), ConfirmedAt: at(2), Credential: []byte("second"), CredentialVersion: 2, PasswordChangedAt: at(4), SessionsEndedAt: at(4),
		SessionKept: laptop.GetSession()})
	changed.When(cmd(5, change("a", 2))).ThenRejected(user.CodeAttemptNotFound)
	// Neither an attempt of before nor a reset of before outlives it.
	changed.When(cmd(5, change("b", 2))).ThenRejected(user.CodeAttemptNotFound)
	changed.When(cmd(5, &userv1.ResetPassword{Token: hash('t'), Credential: []byte("third")})).ThenRejected(user.CodeTokenInvalid)
	given(t, protected, begun(20, "a", "totp")).When(cmd(21, change("a", 1))).ThenRejected(user.CodeAttemptNotFound)
}

// The same password with other parameters is the same version: who verified it against the old ones did so rightly.
func TestRehash(t *testing.T) {
	given(t, confirmed, begun(3, "a", "password")).
		When(cmd(4, &userv1.RehashPassword{Credential: []byte("again"), CredentialVersion: 1})).Then(&userv1.PasswordRehashed{Credential: []byte("again"), RehashedAt: at(4)}).
		When(cmd(5, complete("a", "password", "succeeded", 1))).Then(&userv1.AttemptSucceeded{Attempt: "a", Factor: "password", Origin: laptop, SucceededAt: at(5)}).
		ThenState(&userv1.UserState{Status: userv1.UserStatus_USER_STATUS_ACTIVE, Since: at(2), EmailClaim: claim, Email: []byte("email"), Name: []byte("name"),
			Roles: []string{"clerk", "customer"}, RegisteredAt: at(1), ConfirmedAt: at(2), Credential: []byte("again"), CredentialVersion: 1, Password: &userv1.Guard{CountedAt: at(3)}})
}

// A reset leaves the second factor and its failures as they are, and forgets devices: who had one may be who knew the password.
func TestASVS_6_4_3_ResetKeepsMFA(t *testing.T) {
	before := given(t, protected, &userv1.DeviceRemembered{Device: hash('l'), RememberedAt: at(15)},
		begun(20, "a", "totp"), &userv1.AttemptFailed{Attempt: "a", Factor: "totp", FailedAt: at(21)},
		begun(22, "b", "password"), &userv1.AttemptFailed{Attempt: "b", Factor: "password", FailedAt: at(23)})
	request := &userv1.RequestPasswordReset{Token: hash('t'), ValidFor: seconds(100), Origin: laptop}
	reset := &userv1.ResetPassword{Token: hash('t'), Credential: []byte("second"), Origin: laptop}
	requested := before.When(cmd(30, request)).Then(&userv1.PasswordResetRequested{Token: hash('t'), ExpiresAt: at(130), Origin: laptop, RequestedAt: at(30)})
	requested.When(cmd(89, request)).ThenRejected(user.CodeMailSentRecently)
	requested.When(cmd(130, reset)).ThenRejected(user.CodeTokenExpired)
	requested.When(cmd(31, &userv1.ResetPassword{Token: hash('x'), Credential: []byte("second")})).ThenRejected(user.CodeTokenInvalid)
	done := requested.When(cmd(129, reset)).Then(&userv1.PasswordReset{Credential: []byte("second"), CredentialVersion: 2, Origin: laptop, ResetAt: at(129)})
	done.ThenState(&userv1.UserState{Status: userv1.UserStatus_USER_STATUS_ACTIVE, Since: at(2), EmailClaim: claim, Email: []byte("email"), Name: []byte("name"),
		Roles: []string{"clerk", "customer"}, RegisteredAt: at(1), ConfirmedAt: at(2), Credential: []byte("second"), CredentialVersion: 2, PasswordChangedAt: at(129), SessionsEndedAt: at(129),
		Totp: &userv1.Totp{Seed: []byte("seed"), Active: true, LastStep: step(10)}, SecondFactorVersion: 1, RecoveryCodes: codes,
		SecondFactor: &userv1.Guard{Failures: 1, CountedAt: at(21)}})
	done.When(cmd(130, reset)).ThenRejected(user.CodeTokenInvalid)
}
