package identity

import (
	"context"
	"encoding/base64"
	"strings"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/secret"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
	"github.com/cqrsflow/cqrsflow/services/identity/totp"
)

// mfa is POST /v1/auth/mfa: the second factor of a login.
func (s *Service) mfa(c *call) error {
	var in MFAForm
	if err := c.read(&in); err != nil {
		return err
	}
	ch, err := s.challenges.open(in.Challenge, s.cfg.Now())
	if err != nil {
		return invalidChallenge()
	}
	code := strings.TrimSpace(in.Code)
	if code == "" || len(code) > 64 {
		return invalid(event.FieldError{Field: "code", Message: "must be a code of the authenticator app, or a recovery code"})
	}
	factor := factorOf(code)
	a, err := s.begin(c.ctx, account{user: ch.User, claim: ch.Claim, known: true}, factor, s.origin(c))
	switch {
	case rejected(err) != "" && rejected(err) != codeTooManyAttempts: // no factor or no user any more
		return invalidChallenge()
	case err != nil:
		return err
	case a.state.GetCredentialVersion() != ch.Version, a.state.GetSessionsEndedAt().AsTime().After(ch.At):
		// Another password, or a lock that was ended: since the first factor.
		a.withdraw()
		return invalidChallenge()
	}
	proof, err := s.proof(c.ctx, a, secret.Of(code))
	if err != nil {
		a.withdraw()
		return err
	}
	version := a.state.GetSecondFactorVersion()
	if proof == nil {
		a.fail(c.ctx, version)
		return invalidCode()
	}
	at, err := a.succeed(c.ctx, version, proof)
	switch {
	case rejected(err) != "": // used already, by somebody who was faster: that is no guess, but not a login either
		a.fail(c.ctx, version)
		return invalidCode()
	case err != nil:
		return err
	}
	return s.logIn(c, a, []string{factorPassword, factor}, at)
}

// factorOf tells a code of an app from a recovery code, which has letters or is longer.
func factorOf(code string) string {
	digits := strings.ReplaceAll(code, " ", "")
	if len(digits) == totp.Digits && strings.Trim(digits, "0123456789") == "" {
		return factorTotp
	}
	return factorRecovery
}

// proof looks whether a code is right, and returns what the command says of it; nil where it is wrong.
func (s *Service) proof(ctx context.Context, a *attempt, code secret.Text) (func(*userv1.CompleteAttempt), error) {
	if a.factor == factorRecovery {
		i := s.matchRecovery(a.who.user, code, a.state.GetRecoveryCodes())
		if i < 0 {
			return nil, nil
		}
		hash := a.state.GetRecoveryCodes()[i]
		return func(c *userv1.CompleteAttempt) { c.RecoveryCode = hash }, nil
	}
	step, ok, err := s.checkTotp(ctx, a.who.user, a.state, code)
	if err != nil || !ok {
		return nil, err
	}
	return func(c *userv1.CompleteAttempt) { c.TotpStep = step }, nil
}

// checkTotp looks whether a code is one of the user's seed now, later than the last one; the server's clock counts.
func (s *Service) checkTotp(ctx context.Context, user string, u *userv1.UserState, code secret.Text) (step int64, ok bool, err error) {
	f, err := s.cfg.Vault.Decrypt(ctx, user, fieldSeed, u.GetTotp().GetSeed())
	if err != nil || f.Redacted {
		return 0, false, err
	}
	seed, err := totp.ParseSeed(f.Text.Reveal())
	if err != nil {
		return 0, false, err
	}
	step, ok = totp.Verify(seed, code.Reveal(), s.cfg.Now(), u.GetTotp().GetLastStep())
	return step, ok, nil
}

// Recovery codes are stored as the 32 bytes of their hash alone: which key they were made with, the configuration knows.

// newRecoveryCodes makes codes, and what is stored of them.
func (s *Service) newRecoveryCodes(user string) (codes []string, hashes [][]byte, err error) {
	for _, code := range totp.NewRecoveryCodes(totp.RecoveryCodes) {
		text, err := s.recovery.Hash(user, code)
		if err != nil {
			return nil, nil, err
		}
		_, encoded, _ := strings.Cut(text, ":")
		hash, err := base64.RawURLEncoding.DecodeString(encoded)
		if err != nil {
			return nil, nil, err
		}
		codes, hashes = append(codes, code.Reveal()), append(hashes, hash)
	}
	return codes, hashes, nil
}

// matchRecovery returns which of the stored hashes the code has, under one of the keys, or -1.
func (s *Service) matchRecovery(user string, code secret.Text, hashes [][]byte) int {
	found := -1
	for _, id := range s.cfg.Secrets.IDs() {
		texts := make([]string, len(hashes))
		for i, h := range hashes {
			texts[i] = id + ":" + base64.RawURLEncoding.EncodeToString(h)
		}
		if i := s.recovery.Match(user, code, texts); i >= 0 {
			found = i
		}
	}
	return found
}
