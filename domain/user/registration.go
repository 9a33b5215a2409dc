package user

import (
	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/event"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
)

func (d decision) register(c *userv1.RegisterUser) ([]proto.Message, error) {
	switch d.s.GetStatus() {
	case absent:
	case erased:
		return nil, d.exists()
	default:
		return nil, event.Reject(CodeAlreadyRegistered, "user %s exists already", d.id)
	}
	roles, err := known(c.GetRoles())
	if err != nil {
		return nil, err
	}
	return one(&userv1.UserRegistered{
		EmailClaim: c.GetEmailClaim(), Email: c.GetEmail(), Name: c.GetName(), Credential: c.GetCredential(), Roles: roles,
		Confirmation: c.GetConfirmation(), ConfirmationExpiresAt: d.until(c.GetConfirmationValidFor()),
		Origin: proto.CloneOf(c.GetOrigin()), RegisteredAt: d.at,
	})
}

func (d decision) resendConfirmation(c *userv1.ResendConfirmation) ([]proto.Message, error) {
	if err := d.unconfirmed(); err != nil {
		return nil, err
	}
	if err := d.mayMail(d.s.GetConfirmation()); err != nil {
		return nil, err
	}
	return one(&userv1.ConfirmationResent{Confirmation: c.GetConfirmation(), ExpiresAt: d.until(c.GetValidFor()),
		Origin: proto.CloneOf(c.GetOrigin()), ResentAt: d.at})
}

func (d decision) confirmEmail(c *userv1.ConfirmEmail) ([]proto.Message, error) {
	if err := d.unconfirmed(); err != nil {
		return nil, err
	}
	if err := d.redeem(d.s.GetConfirmation(), c.GetConfirmation()); err != nil {
		return nil, err
	}
	return one(&userv1.EmailConfirmed{Origin: proto.CloneOf(c.GetOrigin()), ConfirmedAt: d.at})
}

// unconfirmed rejects what is about an e-mail address that is to be confirmed.
func (d decision) unconfirmed() error {
	if d.s.GetStatus() == active {
		return event.Reject(CodeEmailAlreadyConfirmed, "the e-mail address of user %s is confirmed already", d.id)
	}
	return d.open()
}
