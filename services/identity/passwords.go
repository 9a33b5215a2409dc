package identity

import (
	"context"
	"errors"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/secret"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
	"github.com/cqrsflow/cqrsflow/services/identity/mail"
	"github.com/cqrsflow/cqrsflow/services/identity/password"
)

// resetTime is how long a token that replaces a password holds.
const resetTime = 30 * time.Minute

// changePassword is POST /v1/auth/password.
func (s *Service) changePassword(c *call) error {
	var in PasswordForm
	if err := c.read(&in); err != nil {
		return err
	}
	if in.Current == "" || len(in.Current) > password.MaxBytes {
		return invalid(event.FieldError{Field: "current", Message: "must have 1 to 4096 bytes"})
	}
	user := c.caller.User
	if err := s.mayChoose(c.ctx, user, c.caller.user, secret.Of(in.New)); err != nil {
		return err
	}
	a, err := s.begin(c.ctx, account{user: user, claim: c.caller.user.GetEmailClaim(), known: true}, factorPassword, s.origin(c))
	if err != nil {
		return err
	}
	if err := s.verify(c.ctx, a, secret.Of(in.Current)); err != nil {
		return err
	}
	sealed, err := s.sealPassword(c.ctx, user, secret.Of(in.New))
	if err != nil {
		a.withdraw()
		return err
	}
	_, err = s.do(c.ctx, userType, user, &userv1.ChangePassword{Attempt: a.id, CredentialVersion: a.state.GetCredentialVersion(), Credential: sealed,
		EndOtherSessions: in.EndOtherSessions, Origin: a.origin}, nil)
	switch {
	case rejected(err) == codeCredentialChanged: // since the attempt began
		a.fail(c.ctx, a.state.GetCredentialVersion())
		return invalidCredentials()
	case err != nil:
		a.withdraw()
		return err
	}
	a.log(succeeded)
	s.cfg.OnAttempt(a.factor, succeeded)
	s.later("complete an attempt at its source", func(ctx context.Context) error { return a.endAtSource(ctx, succeeded) })
	if in.EndOtherSessions {
		s.endSessionsLater(user, c.caller.Session, "password_changed")
	}
	s.changed(c, "password_changed")
	return c.done()
}

// mayChoose judges a new password of a user.
func (s *Service) mayChoose(ctx context.Context, user string, u *userv1.UserState, plain secret.Text) error {
	email, err := s.text(ctx, user, fieldEmail, u.GetEmail())
	if err != nil {
		return err
	}
	name, err := s.text(ctx, user, fieldName, u.GetName())
	if err != nil {
		return err
	}
	p := password.Policy{SecondFactor: u.GetMfaRequired() && !s.cfg.WithoutSecondFactor, Context: []string{email, name, s.cfg.Product}}
	var refused *password.Refused
	if err := p.Check(plain); errors.As(err, &refused) {
		return refusedPassword("new", refused)
	}
	return nil
}

func (s *Service) sealPassword(ctx context.Context, user string, plain secret.Text) ([]byte, error) {
	phc, err := s.cfg.Passwords.Hash(ctx, plain)
	if err != nil {
		return nil, err
	}
	return s.cfg.Vault.Encrypt(ctx, user, fieldCredential, []byte(phc))
}

// requestReset is POST /v1/auth/password/reset. Whether there is such an account only its owner learns.
func (s *Service) requestReset(c *call) error {
	var in EmailForm
	if err := c.read(&in); err != nil {
		return err
	}
	claim, err := s.claimOf(in.Email)
	if err != nil {
		return err
	}
	who, err := s.find(c.ctx, claim)
	if err != nil {
		return err
	}
	t, u := newMailToken(who.user), &userv1.UserState{}
	_, err = s.do(c.ctx, userType, who.user, &userv1.RequestPasswordReset{Token: t.hash(), ValidFor: durationpb.New(resetTime), Origin: s.origin(c)}, u)
	switch {
	case rejected(err) != "": // locked, not confirmed, or asked for a moment ago: nobody needs to know
		return c.accepted()
	case err != nil:
		return err
	}
	s.sendLater("mail a token that replaces a password", func(ctx context.Context) (mail.Message, error) {
		if !who.known {
			return mail.Message{}, nil
		}
		email, err := s.text(ctx, who.user, fieldEmail, u.GetEmail())
		if err != nil || email == "" {
			return mail.Message{}, err
		}
		return s.mails.Reset(email, t.link(s.cfg.PublicURL+"/account/reset"), resetTime)
	})
	return c.accepted()
}

// confirmReset is POST /v1/auth/password/reset/confirm. It ends all sessions, and logs nobody in: a second factor stays asked for.
func (s *Service) confirmReset(c *call) error {
	var in NewPasswordForm
	if err := c.read(&in); err != nil {
		return err
	}
	t, ok := parseMailToken(in.Token)
	if !ok {
		return rejections["token_invalid"]
	}
	u := &userv1.UserState{}
	if _, err := s.do(c.ctx, userType, t.user, &userv1.CheckUser{}, u); err != nil {
		if rejected(err) != "" {
			return rejections["token_invalid"]
		}
		return err
	}
	if err := s.mayChoose(c.ctx, t.user, u, secret.Of(in.New)); err != nil {
		return err
	}
	sealed, err := s.sealPassword(c.ctx, t.user, secret.Of(in.New))
	if err != nil {
		return err
	}
	_, err = s.do(c.ctx, userType, t.user, &userv1.ResetPassword{Token: t.hash(), Credential: sealed, Origin: s.origin(c)}, nil)
	switch code := rejected(err); {
	case code != "" && code != "token_expired":
		return rejections["token_invalid"]
	case err != nil:
		return err
	}
	s.cfg.Logger.Info("credentials changed", "what", "password_reset", "user", t.user)
	s.endSessionsLater(t.user, "", "password_changed")
	return c.done()
}
