package user

import (
	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/event"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
)

// rehashPassword keeps the version: it names a password, and attempts that were verified against the
// other encoding of the same one are as good.
func (d decision) rehashPassword(c *userv1.RehashPassword) ([]proto.Message, error) {
	if err := d.confirmed(); err != nil {
		return nil, err
	}
	if c.GetCredentialVersion() != d.s.GetCredentialVersion() {
		return nil, event.Reject(CodeCredentialChanged, "the password is version %d by now, not %d", d.s.GetCredentialVersion(), c.GetCredentialVersion())
	}
	return one(&userv1.PasswordRehashed{Credential: c.GetCredential(), RehashedAt: d.at})
}

// changePassword completes the attempt in the same step, so that it serves for one change.
func (d decision) changePassword(c *userv1.ChangePassword) ([]proto.Message, error) {
	if err := d.confirmed(); err != nil {
		return nil, err
	}
	if err := d.verdict(c.GetAttempt(), password, "", c.GetCredentialVersion()); err != nil {
		return nil, err
	}
	return []proto.Message{
		&userv1.AttemptSucceeded{Attempt: c.GetAttempt(), Factor: password, Origin: proto.CloneOf(c.GetOrigin()), SucceededAt: d.at},
		&userv1.PasswordChanged{Credential: c.GetCredential(), CredentialVersion: d.s.GetCredentialVersion() + 1, EndOtherSessions: c.GetEndOtherSessions(),
			Origin: proto.CloneOf(c.GetOrigin()), ChangedAt: d.at},
	}, nil
}

// requestPasswordReset has nothing to do where there is no user: the stream of unknown accounts takes it.
func (d decision) requestPasswordReset(c *userv1.RequestPasswordReset) ([]proto.Message, error) {
	if d.s.GetStatus() == absent {
		return nil, nil
	}
	if err := d.confirmed(); err != nil {
		return nil, err
	}
	if err := d.mayMail(d.s.GetPasswordReset()); err != nil {
		return nil, err
	}
	return one(&userv1.PasswordResetRequested{Token: c.GetToken(), ExpiresAt: d.until(c.GetValidFor()), Origin: proto.CloneOf(c.GetOrigin()), RequestedAt: d.at})
}

func (d decision) resetPassword(c *userv1.ResetPassword) ([]proto.Message, error) {
	if err := d.confirmed(); err != nil {
		return nil, err
	}
	if err := d.redeem(d.s.GetPasswordReset(), c.GetToken()); err != nil {
		return nil, err
	}
	return one(&userv1.PasswordReset{Credential: c.GetCredential(), CredentialVersion: d.s.GetCredentialVersion() + 1, Origin: proto.CloneOf(c.GetOrigin()), ResetAt: d.at})
}
