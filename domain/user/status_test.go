package user_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/domain/user"
	"github.com/cqrsflow/cqrsflow/event"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
)

// Every command in every status: the table of the package's documentation, written out. "" is accepted with events,
// "-" with none.
func TestEveryCommandInEveryStatus(t *testing.T) {
	open := func(events []proto.Message) []proto.Message {
		return append(events[:len(events):len(events)], &userv1.AttemptBegun{Attempt: "a", Factor: "password", BegunAt: at(3), ExpiresAt: at(63)})
	}
	histories := []struct {
		name   string
		events []proto.Message
	}{
		{"absent", []proto.Message{&userv1.AttemptBegun{Attempt: "a", Factor: "password", Subject: claim, BegunAt: at(3), ExpiresAt: at(63)}}},
		{"registered", open(registered)},
		{"active", open(confirmed)},
		{"locked", append(open(confirmed), locked[2])},
		{"disabled", append(open(confirmed), disabled[2])},
		{"erased", append(open(confirmed), erased[2])},
	}
	owner := func(code string) [6]string {
		return [6]string{user.CodeNotFound, user.CodeEmailNotConfirmed, code, user.CodeLocked, user.CodeDisabled, user.CodeErased}
	}
	for _, tc := range []struct {
		body proto.Message
		want [6]string
	}{
		{register, [6]string{"", user.CodeAlreadyRegistered, user.CodeAlreadyRegistered, user.CodeAlreadyRegistered, user.CodeAlreadyRegistered, user.CodeErased}},
		{&userv1.ResendConfirmation{Confirmation: hash('d'), ValidFor: seconds(60)},
			[6]string{user.CodeNotFound, "", user.CodeEmailAlreadyConfirmed, user.CodeLocked, user.CodeDisabled, user.CodeErased}},
		{&userv1.ConfirmEmail{Confirmation: hash('c')}, [6]string{user.CodeNotFound, "", user.CodeEmailAlreadyConfirmed, user.CodeLocked, user.CodeDisabled, user.CodeErased}},
		{begin("b", "password"), [6]string{"", "", "", user.CodeTooManyAttempts, user.CodeTooManyAttempts, user.CodeErased}},
		{begin("b", "totp"), [6]string{user.CodeNotFound, user.CodeEmailNotConfirmed, user.CodeTotpNotActive, user.CodeTooManyAttempts, user.CodeTooManyAttempts, user.CodeErased}},
		{complete("a", "password", "failed", 1), [6]string{user.CodeCredentialChanged, "", "", user.CodeLocked, user.CodeDisabled, user.CodeErased}},
		{complete("a", "password", "failed", 0), [6]string{"", user.CodeCredentialChanged, user.CodeCredentialChanged, user.CodeLocked, user.CodeDisabled, user.CodeErased}},
		{complete("a", "password", "succeeded", 0), [6]string{user.CodeNotFound, user.CodeCredentialChanged, user.CodeCredentialChanged, user.CodeLocked, user.CodeDisabled, user.CodeErased}},
		{complete("a", "password", "succeeded", 1), [6]string{user.CodeCredentialChanged, user.CodeEmailNotConfirmed, "", user.CodeLocked, user.CodeDisabled, user.CodeErased}},
		{complete("a", "totp", "failed", 0), [6]string{user.CodeNotFound, user.CodeAttemptNotFound, user.CodeAttemptNotFound, user.CodeLocked, user.CodeDisabled, user.CodeErased}},
		{complete("a", "password", "withdrawn", 0), [6]string{"", "", "", "", "", user.CodeErased}},
		{complete("b", "password", "withdrawn", 0), [6]string{user.CodeAttemptNotFound, user.CodeAttemptNotFound, user.CodeAttemptNotFound, user.CodeAttemptNotFound, user.CodeAttemptNotFound, user.CodeErased}},
		{&userv1.RehashPassword{Credential: []byte("again"), CredentialVersion: 1}, owner("")},
		{&userv1.ChangePassword{Attempt: "a", CredentialVersion: 1, Credential: []byte("second")}, owner("")},
		{&userv1.RequestPasswordReset{Token: hash('t'), ValidFor: seconds(60)}, [6]string{"-", user.CodeEmailNotConfirmed, "", user.CodeLocked, user.CodeDisabled, user.CodeErased}},
		{&userv1.ResetPassword{Token: hash('t'), Credential: []byte("second")}, owner(user.CodeTokenInvalid)},
		{&userv1.BeginTotpEnrolment{Seed: []byte("seed"), Authentication: by(90, "password")}, owner("")},
		{&userv1.ActivateTotp{SecondFactorVersion: 1, TotpStep: step(100), Authentication: by(90, "password")}, owner(user.CodeTotpNotEnrolled)},
		{&userv1.RemoveTotp{Authentication: by(90, "password")}, owner(user.CodeTotpNotActive)},
		{&userv1.ReplaceRecoveryCodes{RecoveryCodes: codes, Authentication: by(90, "password")}, owner(user.CodeTotpNotActive)},
		{&userv1.RememberDevice{Device: hash('l')}, owner("")},
		{&userv1.ForgetDevice{Device: hash('l')}, owner("-")},
		{&userv1.SetRoles{Roles: []string{"clerk"}}, [6]string{user.CodeNotFound, "", "", "", user.CodeDisabled, user.CodeErased}},
		{&userv1.LockUser{Reason: "x"}, [6]string{user.CodeNotFound, "", "", "-", user.CodeDisabled, user.CodeErased}},
		{&userv1.UnlockUser{}, [6]string{user.CodeNotFound, "-", "-", "", user.CodeDisabled, user.CodeErased}},
		{&userv1.DisableUser{Reason: "x"}, [6]string{user.CodeNotFound, "", "", "", "-", user.CodeErased}},
		{&userv1.CheckUser{}, owner("-")},
		{&userv1.ForgetUser{}, [6]string{user.CodeNotFound, "", "", "", "", "-"}},
	} {
		for i, h := range histories {
			// Attempts are completed while they are open; everything else comes later.
			n := 100
			if _, ok := tc.body.(*userv1.CompleteAttempt); ok {
				n = 20
			}
			if _, ok := tc.body.(*userv1.ChangePassword); ok {
				n = 20
			}
			t.Run(string(tc.body.ProtoReflect().Descriptor().Name())+"/"+h.name, func(t *testing.T) {
				switch when := given(t, h.events).When(cmd(n, tc.body)); tc.want[i] {
				case "":
					accepted(t, h.events, cmd(n, tc.body))
				case "-":
					when.ThenNothing()
				default:
					when.ThenRejected(tc.want[i])
				}
			})
		}
	}
}

func accepted(t *testing.T, events []proto.Message, c command) {
	t.Helper()
	if got, err := user.Decide(c, user.Decider.Fold(events...)); err != nil || len(got) == 0 {
		t.Errorf("%d events, %v", len(got), err)
	}
}

// What cannot come from a validated command is an error, not a rejection: it is nobody's choice.
func TestNotACommand(t *testing.T) {
	given(t, confirmed).When(cmd(3, confirmed[0])).ThenFails(event.ErrUnknownType)
}

// A command is public only when it can be made without the service's secrets: none is.
func TestNoCommandIsPublic(t *testing.T) {
	typ, err := decider.NewType(user.Spec(codec{}))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range typ.Commands {
		if c.Public {
			t.Errorf("%s is public", c.Type)
		}
	}
}

// codec is of no use but to be there.
type codec struct{ decider.Codec }
