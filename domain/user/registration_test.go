package user_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/domain/user"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
)

func TestRegister(t *testing.T) {
	given(t, nil).When(cmd(1, register)).Then(registered...).
		ThenState(&userv1.UserState{Status: userv1.UserStatus_USER_STATUS_REGISTERED, Since: at(1), EmailClaim: claim, Email: []byte("email"), Name: []byte("name"),
			Roles: []string{"clerk", "customer"}, RegisteredAt: at(1), Credential: []byte("first"), CredentialVersion: 1,
			Confirmation: &userv1.PendingToken{Token: hash('c'), ExpiresAt: at(1001), SentAt: at(1)}})
	unknown := proto.CloneOf(register)
	unknown.Roles = []string{"customer", "root"}
	given(t, nil).When(cmd(1, unknown)).ThenRejected(user.CodeUnknownRole)
}

func TestConfirm(t *testing.T) {
	s := given(t, registered)
	s.When(cmd(1000, &userv1.ConfirmEmail{Confirmation: hash('c'), Origin: laptop})).Then(&userv1.EmailConfirmed{Origin: laptop, ConfirmedAt: at(1000)}).
		ThenState(&userv1.UserState{Status: userv1.UserStatus_USER_STATUS_ACTIVE, Since: at(1000), EmailClaim: claim, Email: []byte("email"), Name: []byte("name"),
			Roles: []string{"clerk", "customer"}, RegisteredAt: at(1), ConfirmedAt: at(1000), Credential: []byte("first"), CredentialVersion: 1})
	s.When(cmd(1001, &userv1.ConfirmEmail{Confirmation: hash('c')})).ThenRejected(user.CodeTokenExpired)
	s.When(cmd(2, &userv1.ConfirmEmail{Confirmation: hash('x')})).ThenRejected(user.CodeTokenInvalid)
}

// Another mail makes the token before worthless, and follows it after a minute at the earliest.
func TestResendConfirmation(t *testing.T) {
	s := given(t, registered)
	resend := &userv1.ResendConfirmation{Confirmation: hash('d'), ValidFor: seconds(50), Origin: laptop}
	s.When(cmd(60, resend)).ThenRejected(user.CodeMailSentRecently)
	resent := s.When(cmd(61, resend)).Then(&userv1.ConfirmationResent{Confirmation: hash('d'), ExpiresAt: at(111), Origin: laptop, ResentAt: at(61)})
	resent.When(cmd(62, &userv1.ConfirmEmail{Confirmation: hash('c')})).ThenRejected(user.CodeTokenInvalid)
	resent.When(cmd(111, &userv1.ConfirmEmail{Confirmation: hash('d')})).ThenRejected(user.CodeTokenExpired)
	resent.When(cmd(110, &userv1.ConfirmEmail{Confirmation: hash('d')})).Then(&userv1.EmailConfirmed{ConfirmedAt: at(110)})
	resent.When(cmd(120, resend)).ThenRejected(user.CodeMailSentRecently)
}
