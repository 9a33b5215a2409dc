package identity

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/secret"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	emailclaimv1 "github.com/cqrsflow/cqrsflow/schemas/emailclaim/v1"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
	"github.com/cqrsflow/cqrsflow/services/identity/mail"
	"github.com/cqrsflow/cqrsflow/services/identity/password"
	"github.com/cqrsflow/cqrsflow/services/identity/vault"
)

const (
	// confirmationTime is how long an address can be confirmed, claimTime how long it is held for that: longer, so that who
	// confirms at the last moment is not late.
	confirmationTime = 24 * time.Hour
	claimTime        = confirmationTime + time.Hour
	maxName          = 200
	// ownRole is the role of who registers without anybody's leave.
	ownRole = "customer"
)

// Registration is a user to be.
type Registration struct {
	Email, Name string
	Password    secret.Text
	Roles       []string
}

// register is POST /v1/auth/register. Whether the address is free nobody learns but its owner, by mail.
func (s *Service) register(c *call) error {
	var in RegistrationForm
	if err := c.read(&in); err != nil {
		return err
	}
	r := Registration{Email: in.Email, Name: strings.TrimSpace(in.Name), Password: secret.Of(in.Password)}
	claim, err := s.checkRegistration(r)
	if err != nil {
		return err
	}
	origin := s.origin(c)
	user := uuid.NewString()
	body := &userv1.RegisterUser{EmailClaim: claim, Roles: []string{ownRole}, ConfirmationValidFor: durationpb.New(confirmationTime), Origin: origin}
	if err := s.sealRegistration(c.ctx, user, r, body); err != nil {
		return err
	}
	confirmation := newMailToken(user)
	body.Confirmation = confirmation.hash()
	holder := &emailclaimv1.EmailClaimState{}
	_, err = s.do(c.ctx, claimType, claim, &emailclaimv1.ClaimEmail{User: user, ValidFor: durationpb.New(claimTime)}, holder)
	switch {
	case rejected(err) == codeEmailClaimed:
		s.discardLater(user)
		return s.taken(c, claim, holder, r)
	case err != nil: // whether it was claimed is not known: whoever comes again is to find it free
		s.discardLater(user)
		s.later("release an address", func(ctx context.Context) error {
			_, err := s.do(ctx, claimType, claim, &emailclaimv1.ReleaseClaim{User: user}, nil)
			return err
		})
		return err
	}
	if _, err := s.do(c.ctx, userType, user, body, nil); err != nil {
		return err
	}
	s.cfg.Logger.Info("registered", "user", user)
	s.sendLater("confirm an address", func(ctx context.Context) (mail.Message, error) {
		return s.mails.Confirm(r.Email, confirmation.link(s.cfg.PublicURL+"/account/confirm"), confirmationTime)
	})
	return c.accepted()
}

// checkRegistration says what is wrong with it, whoever has the address; it returns the address's claim.
func (s *Service) checkRegistration(r Registration) (claim string, err error) {
	claim, err = s.claimOf(r.Email)
	if err != nil {
		return "", err
	}
	if n := utf8.RuneCountInString(r.Name); n < 1 || n > maxName || !utf8.ValidString(r.Name) || strings.ContainsFunc(r.Name, unicode.IsControl) {
		return "", invalid(event.FieldError{Field: "name", Message: "must have 1 to 200 characters, without control characters"})
	}
	return claim, password.Policy{Context: []string{r.Email, r.Name, s.cfg.Product}}.Check(r.Password)
}

// sealRegistration hashes and encrypts, which makes the user's key.
func (s *Service) sealRegistration(ctx context.Context, user string, r Registration, into *userv1.RegisterUser) error {
	address, err := vault.NormaliseEmail(r.Email)
	if err != nil {
		return err
	}
	phc, err := s.cfg.Passwords.Hash(ctx, r.Password)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name, plain string
		into        *[]byte
	}{{fieldEmail, address, &into.Email}, {fieldName, r.Name, &into.Name}, {fieldCredential, phc, &into.Credential}} {
		if *f.into, err = s.cfg.Vault.Encrypt(ctx, user, f.name, []byte(f.plain)); err != nil {
			return err
		}
	}
	return nil
}

// discardLater deletes the key of a user whom nothing was published of, and who will not be.
func (s *Service) discardLater(user string) {
	s.later("discard the key of nobody", func(ctx context.Context) error { return s.cfg.Vault.Discard(ctx, user) })
}

// taken is what follows where the address is somebody's: the same work, at a stream without a user, and another mail.
func (s *Service) taken(c *call, claim string, holder *emailclaimv1.EmailClaimState, r Registration) error {
	decoy := nobody(claim).user
	_, err := s.do(c.ctx, userType, decoy, &userv1.RequestPasswordReset{Token: newMailToken(decoy).hash(), ValidFor: durationpb.New(time.Minute)}, nil)
	if err != nil {
		return err
	}
	s.cfg.Logger.Info("registration of an address that is claimed")
	origin := s.origin(c)
	s.sendLater("tell an owner about a registration", func(ctx context.Context) (mail.Message, error) {
		if m, again, err := s.confirmAgain(ctx, holder, r, origin); again || err != nil {
			return m, err
		}
		return s.mails.Taken(r.Email)
	})
	return c.accepted()
}

// confirmAgain sends another confirmation to who registers again because the first one was lost: who has not confirmed the address
// yet, and gives the same password. Somebody else's registration must not be confirmed by who owns the address. There is no mail,
// nor another one instead, where the last one was sent less than a minute ago.
func (s *Service) confirmAgain(ctx context.Context, holder *emailclaimv1.EmailClaimState, r Registration, origin *typev1.Origin) (m mail.Message, again bool, err error) {
	validFor := holder.GetLapsesAt().AsTime().Sub(s.cfg.Now()).Round(time.Second)
	if holder.GetStatus() != emailclaimv1.ClaimStatus_CLAIM_STATUS_CLAIMED || validFor < time.Minute {
		return m, false, nil
	}
	u := &userv1.UserState{}
	if _, err := s.do(ctx, userType, holder.GetUser(), &userv1.CheckUser{}, u); err != nil && rejected(err) == "" {
		return m, false, err
	}
	phc, fits, err := s.credential(ctx, account{user: holder.GetUser(), claim: u.GetEmailClaim(), known: true}, u)
	if err != nil {
		return m, false, err
	}
	if ok, err := s.cfg.Passwords.Verify(ctx, r.Password, phc); err != nil || !ok || !fits {
		return m, false, err
	}
	validFor = min(validFor, confirmationTime)
	confirmation := newMailToken(holder.GetUser())
	_, err = s.do(ctx, userType, holder.GetUser(), &userv1.ResendConfirmation{Confirmation: confirmation.hash(), ValidFor: durationpb.New(validFor), Origin: origin}, nil)
	switch code := rejected(err); {
	case code == codeMailSentRecently:
		return m, true, nil
	case code != "": // confirmed, or erased, a moment ago
		return m, false, nil
	case err != nil:
		return m, false, err
	}
	m, err = s.mails.Confirm(r.Email, confirmation.link(s.cfg.PublicURL+"/account/confirm"), validFor)
	return m, true, err
}

// sendLater sends a mail after the answer, so that its way says nothing. It is tried again where a server does not take it.
func (s *Service) sendLater(what string, write func(context.Context) (mail.Message, error)) {
	s.later(what, func(ctx context.Context) error {
		m, err := write(ctx)
		if err != nil || m.To == "" {
			return err
		}
		for wait := time.Second; ; wait *= 2 {
			err := s.cfg.Mailer.Send(ctx, m)
			if err == nil || !errors.Is(err, event.ErrUnavailable) {
				return err
			}
			t := time.NewTimer(wait)
			select {
			case <-t.C:
			case <-ctx.Done():
				t.Stop()
				return err
			}
		}
	})
}

// confirm is POST /v1/auth/confirm.
func (s *Service) confirm(c *call) error {
	var in TokenForm
	if err := c.read(&in); err != nil {
		return err
	}
	t, ok := parseMailToken(in.Token)
	if !ok {
		return rejections["token_invalid"]
	}
	u := &userv1.UserState{}
	_, err := s.do(c.ctx, userType, t.user, &userv1.ConfirmEmail{Confirmation: t.hash(), Origin: s.origin(c)}, u)
	switch code := rejected(err); {
	case code == codeEmailConfirmed: // again, perhaps because the claim was not reached the first time
	case code == codeUserNotFound, code == codeUserErased, code == codeUserLocked, code == codeUserDisabled:
		return rejections["token_invalid"]
	case err != nil:
		return err
	}
	_, err = s.do(c.ctx, claimType, u.GetEmailClaim(), &emailclaimv1.ConfirmClaim{User: t.user}, nil)
	switch {
	case rejected(err) != "": // it lapsed, and may be another's by now
		return rejections["token_expired"]
	case err != nil:
		return err
	}
	s.cfg.Logger.Info("address confirmed", "user", t.user)
	return c.done()
}

// CreateUser makes a user whose address is known to be right: for an operator. It returns the ID; the address's owner where
// there is one, with existed.
func (s *Service) CreateUser(ctx context.Context, r Registration) (user string, existed bool, err error) {
	claim, err := s.claimOf(r.Email)
	if err != nil {
		return "", false, err
	}
	user = uuid.NewString()
	state := &emailclaimv1.EmailClaimState{}
	take := func() error {
		_, err := s.do(ctx, claimType, claim, &emailclaimv1.ClaimEmail{User: user, ValidFor: durationpb.New(claimTime)}, state)
		return err
	}
	err = take()
	if rejected(err) == codeEmailClaimed && state.GetStatus() == emailclaimv1.ClaimStatus_CLAIM_STATUS_CLAIMED {
		// Nobody has confirmed it: an operator knows better, or was interrupted the last time.
		if _, err := s.do(ctx, claimType, claim, &emailclaimv1.ReleaseClaim{User: state.GetUser()}, nil); err != nil {
			return "", false, err
		}
		err = take()
	}
	if rejected(err) == codeEmailClaimed {
		return state.GetUser(), true, nil
	}
	if err != nil {
		return "", false, err
	}
	confirmation := newMailToken(user)
	body := &userv1.RegisterUser{EmailClaim: claim, Roles: r.Roles, Confirmation: confirmation.hash(), ConfirmationValidFor: durationpb.New(confirmationTime)}
	if err := s.sealRegistration(ctx, user, r, body); err != nil {
		return "", false, err
	}
	if _, err := s.do(ctx, userType, user, body, nil); err != nil {
		return "", false, err
	}
	if _, err := s.do(ctx, userType, user, &userv1.ConfirmEmail{Confirmation: confirmation.hash()}, nil); err != nil {
		return "", false, err
	}
	_, err = s.do(ctx, claimType, claim, &emailclaimv1.ConfirmClaim{User: user}, nil)
	return user, false, err
}
