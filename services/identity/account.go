package identity

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/cqrsflow/cqrsflow/event"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
)

// The fields of users that are encrypted, by the names that their ciphertexts are bound to.
const (
	fieldEmail      = "email"
	fieldName       = "name"
	fieldCredential = "credential"
	fieldSeed       = "totp_seed"
	fieldDevice     = "device"
)

// account is whom a request is about: a user, or nobody, in whose place a stream without a user stands.
type account struct {
	user  string
	claim string
	known bool
}

// find looks an address up. Nobody gets one of the decoys, which the HMAC of the address chooses.
func (s *Service) find(ctx context.Context, claim string) (account, error) {
	user, err := s.cfg.Accounts.ByClaim(ctx, claim)
	switch {
	case errors.Is(err, event.ErrNotFound):
		return nobody(claim), nil
	case err != nil:
		return account{}, fmt.Errorf("find an account: %w", err)
	}
	return account{user: user, claim: claim, known: true}, nil
}

// decoys is the number of streams that accounts share which do not exist.
const decoys = 1024

func nobody(claim string) account {
	hash, _ := base64.RawURLEncoding.DecodeString(claim) // 32 bytes, of Index
	n := 0
	if len(hash) >= 2 {
		n = int(binary.BigEndian.Uint16(hash)) % decoys
	}
	return account{user: decoy(n), claim: claim}
}

func decoy(n int) string { return fmt.Sprintf("nobody-%04d", n) }

// makeDecoys makes the keys of decoys, so that nobody's account costs what a user's does from the first request on.
func (s *Service) makeDecoys(ctx context.Context) {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	for n := range decoys {
		g.Go(func() error {
			_, err := s.cfg.Vault.Encrypt(ctx, decoy(n), fieldCredential, nil)
			return err
		})
	}
	if err := g.Wait(); err != nil && ctx.Err() == nil {
		s.cfg.Logger.Warn("keys of decoys could not be made; they are made when they are needed", "error", err)
	}
}

// credential decrypts the hash to verify a password against. For nobody it does the same work, and returns one that nothing fits.
func (s *Service) credential(ctx context.Context, a account, state *userv1.UserState) (phc string, fits bool, err error) {
	sealed := state.GetCredential()
	if !a.known || len(sealed) == 0 {
		if sealed, err = s.cfg.Vault.Encrypt(ctx, a.user, fieldCredential, []byte(s.cfg.Passwords.Dummy())); err != nil {
			if errors.Is(err, event.ErrNotFound) { // a user who is being forgotten
				return s.cfg.Passwords.Dummy(), false, nil
			}
			return "", false, err
		}
	}
	f, err := s.cfg.Vault.Decrypt(ctx, a.user, fieldCredential, sealed)
	switch {
	case err != nil:
		return "", false, err
	case f.Redacted, !a.known, len(state.GetCredential()) == 0:
		return s.cfg.Passwords.Dummy(), false, nil
	}
	return string(f.Text.Reveal()), true, nil
}

// text decrypts a field for somebody who may see it; what is redacted is empty.
func (s *Service) text(ctx context.Context, user, field string, sealed []byte) (string, error) {
	if len(sealed) == 0 {
		return "", nil
	}
	f, err := s.cfg.Vault.Decrypt(ctx, user, field, sealed)
	if err != nil {
		return "", err
	}
	return string(f.Text.Reveal()), nil
}

// effectiveRoles are the roles that a session gives. Where one demands a second factor, a session without one has none: its user
// can set one up and log in with it.
func (s *Service) effectiveRoles(u *userv1.UserState, methods []string) []string {
	if u.GetMfaRequired() && !s.cfg.WithoutSecondFactor && !hasSecondFactor(methods) {
		return nil
	}
	return u.GetRoles()
}
