package identity

import (
	"context"
	"net/http"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/secret"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
	"github.com/cqrsflow/cqrsflow/services/identity/password"
)

// login is POST /v1/auth/login.
func (s *Service) login(c *call) error {
	var in LoginForm
	if err := c.read(&in); err != nil {
		return err
	}
	claim, err := s.claimOf(in.Email)
	if err != nil {
		return err
	}
	if in.Password == "" || len(in.Password) > password.MaxBytes {
		return invalid(event.FieldError{Field: "password", Message: "must have 1 to 4096 bytes"})
	}
	who, err := s.find(c.ctx, claim)
	if err != nil {
		return err
	}
	a, err := s.begin(c.ctx, who, factorPassword, s.origin(c))
	if rejected(err) == codeUserErased { // a moment ago; nobody is there by now
		a, err = s.begin(c.ctx, nobody(claim), factorPassword, s.origin(c))
	}
	if err != nil {
		return err
	}
	if err := s.verify(c.ctx, a, secret.Of(in.Password)); err != nil {
		return err
	}
	return s.passed(c, a, secret.Of(in.Password))
}

// verify looks whether the password is the account's, and completes the attempt where it is not.
func (s *Service) verify(ctx context.Context, a *attempt, plain secret.Text) error {
	phc, fits, err := s.credential(ctx, a.who, a.state)
	var ok bool
	if err == nil {
		ok, err = s.cfg.Passwords.Verify(ctx, plain, phc)
	}
	if err != nil {
		a.withdraw()
		return err
	}
	if !ok || !fits {
		a.fail(ctx, a.state.GetCredentialVersion())
		return invalidCredentials()
	}
	return nil
}

// passed is what follows the right password.
func (s *Service) passed(c *call, a *attempt, plain secret.Text) error {
	u, version := a.state, a.state.GetCredentialVersion()
	if u.GetStatus() != userv1.UserStatus_USER_STATUS_ACTIVE {
		a.withdraw() // the password was right, and is of no use yet
		return rejections[codeEmailNotConfirmed]
	}
	at, err := a.succeed(c.ctx, version, nil)
	switch {
	case rejected(err) != "": // another password, a lock, an end: since the attempt began
		return invalidCredentials()
	case err != nil:
		return err
	}
	s.rehash(a.who.user, u, plain)
	if u.GetTotp().GetActive() {
		challenge := s.challenges.seal(challenge{User: a.who.user, Claim: a.who.claim, Version: version, At: at}, s.cfg.Now())
		return c.write(http.StatusOK, Challenge{MFARequired: true, Challenge: challenge, Methods: []string{factorTotp, factorRecovery}})
	}
	return s.logIn(c, a, []string{factorPassword}, at)
}

// rehash replaces a hash whose parameters are not today's, now that the password is known.
func (s *Service) rehash(user string, u *userv1.UserState, plain secret.Text) {
	sealed, version := u.GetCredential(), u.GetCredentialVersion()
	s.later("rehash a password", func(ctx context.Context) error {
		f, err := s.cfg.Vault.Decrypt(ctx, user, fieldCredential, sealed)
		if err != nil || f.Redacted || !s.cfg.Passwords.NeedsRehash(string(f.Text.Reveal())) {
			return err
		}
		phc, err := s.cfg.Passwords.Hash(ctx, plain)
		if err != nil {
			return err
		}
		if sealed, err = s.cfg.Vault.Encrypt(ctx, user, fieldCredential, []byte(phc)); err != nil {
			return err
		}
		_, err = s.do(ctx, userType, user, &userv1.RehashPassword{Credential: sealed, CredentialVersion: version}, nil)
		return err
	})
}

// claimOf is the stream ID of an address's claim.
func (s *Service) claimOf(email string) (string, error) {
	claim, err := s.cfg.Index.Email(email)
	if err != nil {
		return "", invalid(event.FieldError{Field: "email", Message: "must be an e-mail address such as ada@example.org"})
	}
	return claim, nil
}
