package identity

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/secret"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	sessionv1 "github.com/cqrsflow/cqrsflow/schemas/session/v1"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
	"github.com/cqrsflow/cqrsflow/services/identity/token"
)

// Authenticator tells who sends a request. It is safe for concurrent use.
type Authenticator struct {
	verifier *token.Verifier
	decide   func(ctx context.Context, aggregate, stream string, body, state proto.Message) (event.Outcome, error)
}

// Caller is who sends a request: a user in a session, both as they are now and not as the token says.
type Caller struct {
	User, Session string

	user    *userv1.UserState
	session *sessionv1.SessionState
}

// Authenticate looks at the access token of a request, and then asks the session and the user themselves, so that what was
// revoked, locked or erased a moment ago does not count any more. Where nobody can say, its error wraps event.ErrUnavailable.
// All others mean that the request is not authenticated.
func (a *Authenticator) Authenticate(ctx context.Context, r *http.Request) (*Caller, error) {
	scheme, value, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || len(r.Header.Values("Authorization")) != 1 {
		return nil, unauthenticated()
	}
	claims, err := a.verifier.Verify(ctx, secret.Of(strings.TrimSpace(value)))
	switch {
	case errors.Is(err, token.ErrRefused):
		return nil, unauthenticated()
	case err != nil:
		return nil, err
	}
	c := &Caller{User: claims.Subject, Session: claims.Session, user: &userv1.UserState{}, session: &sessionv1.SessionState{}}
	var g errgroup.Group
	g.Go(func() error {
		_, err := a.decide(ctx, userType, c.User, &userv1.CheckUser{}, c.user)
		return err
	})
	g.Go(func() error {
		_, err := a.decide(ctx, sessionType, c.Session, &sessionv1.CheckSession{}, c.session)
		return err
	})
	err = g.Wait()
	switch {
	case rejected(err) != "":
		return nil, unauthenticated()
	case err != nil:
		return nil, err
	case c.session.GetUser() != c.User, ended(c.user, c.Session, c.session):
		return nil, unauthenticated()
	}
	return c, nil
}

// ended reports whether the user's sessions were ended after this one was authenticated. Both times are of the user's stream.
func ended(u *userv1.UserState, id string, s *sessionv1.SessionState) bool {
	return u.GetSessionsEndedAt() != nil && u.GetSessionKept() != id && !s.GetAuthenticatedAt().AsTime().After(u.GetSessionsEndedAt().AsTime())
}

// authentication is what changes of factors are judged by.
func (c *Caller) authentication() *typev1.Authentication {
	return &typev1.Authentication{Session: c.Session, AuthenticatedAt: c.session.GetAuthenticatedAt(), Methods: c.session.GetMethods()}
}
