package identity

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/secret"
	sessionv1 "github.com/cqrsflow/cqrsflow/schemas/session/v1"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
	"github.com/cqrsflow/cqrsflow/services/identity/token"
	"github.com/cqrsflow/cqrsflow/services/identity/vault"
)

// Tokens are what a login or a refresh gives.
type Tokens struct {
	AccessToken string `json:"accessToken"`
	TokenType   string `json:"tokenType"`
	// ExpiresIn is in seconds.
	ExpiresIn    int    `json:"expiresIn"`
	RefreshToken string `json:"refreshToken"`
}

// logIn starts a session for who has given all factors.
func (s *Service) logIn(c *call, a *attempt, methods []string, at time.Time) error {
	origin, err := s.labelled(c.ctx, a.who.user, c, a.origin)
	switch {
	case errors.Is(err, vault.ErrForgotten): // since the attempt began: there is nobody any more
		return invalidCredentials()
	case err != nil:
		return err
	}
	refresh, session := token.NewRefresh(), uuid.NewString()
	hash := refresh.Hash()
	_, err = s.do(c.ctx, sessionType, session, &sessionv1.StartSession{User: a.who.user, Methods: methods, AuthenticatedAt: timestamppb.New(at), Token: hash[:],
		Lifetime: durationpb.New(s.cfg.SessionLifetime), Idle: durationpb.New(s.cfg.SessionIdle), Origin: origin}, nil)
	if err != nil {
		return err
	}
	s.rememberDevice(c, a.who.user, origin)
	return s.grant(c, a.who.user, session, s.effectiveRoles(a.state, methods), refresh)
}

// grant answers with tokens.
func (s *Service) grant(c *call, user, session string, roles []string, refresh token.Refresh) error {
	now := s.cfg.Now()
	access, claims, err := s.cfg.Issuer.Issue(user, session, roles, now)
	if err != nil {
		return err
	}
	return c.write(http.StatusOK, Tokens{AccessToken: access.Reveal(), TokenType: "Bearer", ExpiresIn: int(claims.Expires.Sub(claims.IssuedAt) / time.Second),
		RefreshToken: refresh.Text().Reveal() + "." + session})
}

// parseRefresh reads a refresh token as clients have it: the token itself, a dot, the session's ID.
func parseRefresh(s string) (refresh token.Refresh, session string, err error) {
	text, session, _ := strings.Cut(s, ".")
	if err := event.CheckStreamID(session); err != nil {
		return token.Refresh{}, "", err
	}
	refresh, err = token.ParseRefresh(secret.Of(text))
	return refresh, session, err
}

// refresh is POST /v1/auth/refresh.
func (s *Service) refresh(c *call) error {
	var in RefreshForm
	if err := c.read(&in); err != nil {
		return err
	}
	presented, id, err := parseRefresh(in.RefreshToken)
	if err != nil {
		return invalidRefresh()
	}
	next, old := token.NewRefresh(), presented.Hash()
	hash := next.Hash()
	session := &sessionv1.SessionState{}
	_, err = s.do(c.ctx, sessionType, id, &sessionv1.RefreshSession{Origin: s.origin(c),
		Rotation: &sessionv1.Rotation{Presented: old[:], Successor: hash[:], SuccessorCiphertext: presented.Seal(next)}}, session)
	switch {
	case rejected(err) != "":
		return invalidRefresh()
	case err != nil:
		return err
	case session.GetStatus() != sessionv1.SessionStatus_SESSION_STATUS_ACTIVE: // an older token: it revoked the session
		s.cfg.Logger.Warn("a refresh token was used again; its session is revoked", "user", session.GetUser(), "session", id)
		return invalidRefresh()
	}
	if token.RefreshHash(session.GetToken()) != hash { // a retry: the successor is the one that the first request made
		if next, err = presented.Open(session.GetTokenCiphertext()); err != nil {
			return err
		}
	}
	u := &userv1.UserState{}
	_, err = s.do(c.ctx, userType, session.GetUser(), &userv1.CheckUser{}, u)
	code := rejected(err)
	switch {
	case code != "" || err == nil && ended(u, id, session):
		s.revokeLater(session.GetUser(), id, reasonOf(code))
		return invalidRefresh()
	case err != nil:
		return err
	}
	return s.grant(c, session.GetUser(), id, s.effectiveRoles(u, session.GetMethods()), next)
}

// reasonOf says why a session ends whose user may not go on.
func reasonOf(code string) string {
	switch code {
	case codeUserLocked:
		return "locked"
	case codeUserDisabled:
		return "disabled"
	case codeUserErased, codeUserNotFound:
		return "erased"
	}
	return "password_changed"
}

func (s *Service) revokeLater(user, session, reason string) {
	s.later("revoke a session", func(ctx context.Context) error {
		_, err := s.do(ctx, sessionType, session, &sessionv1.RevokeSession{Reason: reason, User: user}, nil)
		return err
	})
}

// logout is POST /v1/auth/logout: it ends the session of the access token.
func (s *Service) logout(c *call) error {
	_, err := s.do(c.ctx, sessionType, c.caller.Session, &sessionv1.RevokeSession{Reason: "logout", User: c.caller.User, Origin: s.origin(c)}, nil)
	if err != nil {
		return err
	}
	s.cfg.Logger.Info("logout", "user", c.caller.User, "session", c.caller.Session)
	return c.done()
}

// Session is a session as its user sees it.
type Session struct {
	ID      string `json:"id"`
	Current bool   `json:"current"`
	// Device is what the client called itself when it logged in.
	Device    string    `json:"device,omitempty"`
	Methods   []string  `json:"methods"`
	StartedAt time.Time `json:"startedAt"`
	LastSeen  time.Time `json:"lastSeenAt"`
	ExpiresAt time.Time `json:"expiresAt"`
}

// listSessions is GET /v1/auth/sessions.
func (s *Service) listSessions(c *call) error {
	rows, err := s.cfg.Accounts.Sessions(c.ctx, c.caller.User)
	if err != nil {
		return err
	}
	now, items := s.cfg.Now(), []Session{}
	for _, row := range rows {
		state := &sessionv1.SessionState{AuthenticatedAt: timestamppb.New(row.AuthenticatedAt)}
		if !now.Before(row.ExpiresAt) || !now.Before(row.IdleExpiresAt) || ended(c.caller.user, row.ID, state) {
			continue
		}
		device, err := s.text(c.ctx, c.caller.User, fieldDevice, row.DeviceLabel)
		if err != nil {
			return err
		}
		items = append(items, Session{ID: row.ID, Current: row.ID == c.caller.Session, Device: device, Methods: row.Methods, StartedAt: row.StartedAt,
			LastSeen: row.SeenAt, ExpiresAt: row.IdleExpiresAt})
	}
	return c.write(http.StatusOK, Sessions{Items: items})
}

// endSession is DELETE /v1/auth/sessions/{id}.
func (s *Service) endSession(c *call) error {
	id := c.r.PathValue("id")
	if event.CheckStreamID(id) != nil {
		return notFound("There is no such session.")
	}
	_, err := s.do(c.ctx, sessionType, id, &sessionv1.RevokeSession{Reason: "ended_by_user", User: c.caller.User, Origin: s.origin(c)}, nil)
	switch {
	case rejected(err) == codeSessionNotFound:
		return notFound("There is no such session.")
	case err != nil:
		return err
	}
	s.cfg.Logger.Info("session ended", "user", c.caller.User, "session", id)
	return c.done()
}
