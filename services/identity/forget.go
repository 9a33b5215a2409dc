package identity

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
	emailclaimv1 "github.com/cqrsflow/cqrsflow/schemas/emailclaim/v1"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
)

// Receipt says that, and when, a user was forgotten. What stays is the ID, and what cannot be read any more.
type Receipt struct {
	User string `json:"user"`
	// ErasedAt is when the user's stream recorded it, KeyDeletedAt when the key was deleted by which everything that is
	// personal could be read: in the log, in snapshots, in read models and in their backups.
	ErasedAt     time.Time `json:"erasedAt"`
	KeyDeletedAt time.Time `json:"keyDeletedAt"`
	// Again says that the key had been deleted before.
	Again bool `json:"again"`
	// ClaimsReleased is how many addresses became free with this request, SessionsRevoked how many sessions were ended by it.
	ClaimsReleased  int `json:"claimsReleased"`
	SessionsRevoked int `json:"sessionsRevoked"`
}

// forgetUser is POST /v1/users/{id}/forget.
func (s *Service) forgetUser(c *call) error {
	id := c.r.PathValue("id")
	if event.CheckStreamID(id) != nil {
		return noUser()
	}
	r, err := s.Forget(c.ctx, id)
	if err != nil {
		return administration(err)
	}
	s.administered(c, "forgotten", id)
	return c.write(http.StatusOK, r)
}

// Forget erases a user. Its steps are in an order in which each can fail: nobody logs in after the first, nothing can be read
// after the second, and all can be repeated, which is what to do after an error that wraps event.ErrUnavailable. A user that
// there is not is an *event.Rejection, user_not_found. Rows of read models follow the log.
func (s *Service) Forget(ctx context.Context, user string) (Receipt, error) {
	before, after := &userv1.UserState{}, &userv1.UserState{}
	if _, err := s.do(ctx, userType, user, &userv1.CheckUser{}, before); err != nil && rejected(err) == "" {
		return Receipt{}, err
	}
	claims, err := s.cfg.Accounts.Claims(ctx, user)
	if err != nil {
		return Receipt{}, err
	}
	if claim := before.GetEmailClaim(); claim != "" && !slices.Contains(claims, claim) { // the read model may be behind
		claims = append(claims, claim)
	}
	if _, err := s.do(ctx, userType, user, &userv1.ForgetUser{}, after); err != nil {
		return Receipt{}, err
	}
	key, err := s.cfg.Vault.Forget(ctx, user)
	if err != nil {
		return Receipt{}, err
	}
	r := Receipt{User: user, ErasedAt: after.GetSince().AsTime(), KeyDeletedAt: key.At, Again: key.Again}
	for _, claim := range claims {
		o, err := s.do(ctx, claimType, claim, &emailclaimv1.ReleaseClaim{User: user}, nil)
		if err != nil {
			return Receipt{}, err
		}
		if len(o.Events) > 0 {
			r.ClaimsReleased++
		}
	}
	if r.SessionsRevoked, err = s.endSessions(ctx, user, "", "erased"); err != nil {
		return Receipt{}, err
	}
	return r, nil
}
