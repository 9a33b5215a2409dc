package identity

import (
	"net/http"
	"strings"

	"github.com/cqrsflow/cqrsflow/internal/secret"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
	"github.com/cqrsflow/cqrsflow/services/identity/totp"
)

// enrolTotp is POST /v1/auth/mfa/totp: it makes a seed, which is no factor before a code of it was given.
func (s *Service) enrolTotp(c *call) error {
	u := c.caller.user
	email, err := s.text(c.ctx, c.caller.User, fieldEmail, u.GetEmail())
	if err != nil {
		return err
	}
	seed := totp.NewSeed()
	uri, err := seed.URI(s.cfg.Product, strings.ReplaceAll(email, ":", "_"))
	if err != nil {
		return err
	}
	sealed, err := s.cfg.Vault.Encrypt(c.ctx, c.caller.User, fieldSeed, seed.Bytes())
	if err != nil {
		return err
	}
	_, err = s.do(c.ctx, userType, c.caller.User, &userv1.BeginTotpEnrolment{Seed: sealed, Authentication: c.caller.authentication(), Origin: s.origin(c)}, nil)
	if err != nil {
		return err
	}
	s.changed(c, "totp_enrolled")
	return c.write(http.StatusOK, Enrolment{URI: uri.Reveal(), Secret: seed.Base32()})
}

// activateTotp is POST /v1/auth/mfa/totp/activate.
func (s *Service) activateTotp(c *call) error {
	var in CodeForm
	if err := c.read(&in); err != nil {
		return err
	}
	u := c.caller.user
	switch {
	case u.GetTotp() == nil:
		return rejections["totp_not_enrolled"]
	case u.GetTotp().GetActive():
		return rejections["totp_already_active"]
	}
	step, ok, err := s.checkTotp(c.ctx, c.caller.User, u, secret.Of(in.Code))
	if err != nil {
		return err
	}
	if !ok {
		return wrongTotpCode()
	}
	codes, hashes, err := s.newRecoveryCodes(c.caller.User)
	if err != nil {
		return err
	}
	_, err = s.do(c.ctx, userType, c.caller.User, &userv1.ActivateTotp{SecondFactorVersion: u.GetSecondFactorVersion(), TotpStep: step, RecoveryCodes: hashes,
		Authentication: c.caller.authentication(), Origin: s.origin(c)}, nil)
	if err != nil {
		return err
	}
	s.changed(c, "totp_activated")
	return c.write(http.StatusOK, RecoveryCodes{codes})
}

// removeTotp is DELETE /v1/auth/mfa/totp.
func (s *Service) removeTotp(c *call) error {
	_, err := s.do(c.ctx, userType, c.caller.User, &userv1.RemoveTotp{Authentication: c.caller.authentication(), Origin: s.origin(c)}, nil)
	if err != nil {
		return err
	}
	s.changed(c, "totp_removed")
	return c.done()
}

// replaceRecoveryCodes is POST /v1/auth/mfa/recovery-codes: the earlier ones are worthless from then on.
func (s *Service) replaceRecoveryCodes(c *call) error {
	codes, hashes, err := s.newRecoveryCodes(c.caller.User)
	if err != nil {
		return err
	}
	_, err = s.do(c.ctx, userType, c.caller.User, &userv1.ReplaceRecoveryCodes{RecoveryCodes: hashes, Authentication: c.caller.authentication(), Origin: s.origin(c)}, nil)
	if err != nil {
		return err
	}
	s.changed(c, "recovery_codes_replaced")
	return c.write(http.StatusOK, RecoveryCodes{codes})
}

// changed notes a change of how a user authenticates.
func (s *Service) changed(c *call, what string) {
	s.cfg.Logger.Info("credentials changed", "what", what, "user", c.caller.User, "session", c.caller.Session)
}
