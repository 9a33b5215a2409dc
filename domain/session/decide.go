package session

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	sessionv1 "github.com/cqrsflow/cqrsflow/schemas/session/v1"
)

const (
	absent  = sessionv1.SessionStatus_SESSION_STATUS_UNSPECIFIED
	active  = sessionv1.SessionStatus_SESSION_STATUS_ACTIVE
	revoked = sessionv1.SessionStatus_SESSION_STATUS_REVOKED
)

// decision is what all commands are decided on.
type decision struct {
	id  event.StreamID
	s   *sessionv1.SessionState
	now time.Time
	at  *timestamppb.Timestamp
}

// Decide says what a command causes. It expects a command that keeps the schema's rules; the rejections
// have the codes of this package.
func Decide(cmd decider.Command[proto.Message], s *sessionv1.SessionState) ([]proto.Message, error) {
	d := decision{id: cmd.Stream, s: s, now: cmd.RecordedTime, at: timestamppb.New(cmd.RecordedTime)}
	switch c := cmd.Body.(type) {
	case *sessionv1.StartSession:
		return d.start(c)
	case *sessionv1.RefreshSession:
		return d.refresh(c)
	case *sessionv1.ReauthenticateSession:
		return d.reauthenticate(c)
	case *sessionv1.RevokeSession:
		return d.revoke(c)
	case *sessionv1.CheckSession:
		return nil, d.alive()
	}
	return nil, fmt.Errorf("%w: a session takes no %T", event.ErrUnknownType, cmd.Body)
}

func one(e proto.Message) ([]proto.Message, error) { return []proto.Message{e}, nil }

func (d decision) start(c *sessionv1.StartSession) ([]proto.Message, error) {
	if d.s.GetStatus() != absent {
		return nil, event.Reject(CodeAlreadyStarted, "session %s was started already", d.id)
	}
	return one(&sessionv1.SessionStarted{
		User: c.GetUser(), Methods: slices.Clone(c.GetMethods()), AuthenticatedAt: d.notAfterNow(c.GetAuthenticatedAt()), Token: c.GetToken(),
		ExpiresAt: timestamppb.New(d.now.Add(c.GetLifetime().AsDuration())), Idle: proto.CloneOf(c.GetIdle()),
		Origin: proto.CloneOf(c.GetOrigin()), StartedAt: d.at,
	})
}

func (d decision) refresh(c *sessionv1.RefreshSession) ([]proto.Message, error) {
	p, err := d.present(c.GetRotation().GetPresented())
	switch {
	case err != nil, p == last:
		return nil, err
	case p == older:
		return d.reuse(c.GetOrigin())
	}
	return one(&sessionv1.SessionRefreshed{Rotation: proto.CloneOf(c.GetRotation()), Origin: proto.CloneOf(c.GetOrigin()), RefreshedAt: d.at})
}

func (d decision) reauthenticate(c *sessionv1.ReauthenticateSession) ([]proto.Message, error) {
	p, err := d.present(c.GetRotation().GetPresented())
	if err != nil {
		return nil, err
	}
	e := &sessionv1.SessionReauthenticated{Methods: slices.Clone(c.GetMethods()), AuthenticatedAt: d.notAfterNow(c.GetAuthenticatedAt()),
		Origin: proto.CloneOf(c.GetOrigin()), ReauthenticatedAt: d.at}
	switch p {
	case older:
		return d.reuse(c.GetOrigin())
	case current:
		e.Rotation = proto.CloneOf(c.GetRotation())
	case last:
		// A retry, or a refresh came in between: then the token is new already, and only the authentication is to be noted.
		if !e.GetAuthenticatedAt().AsTime().After(d.s.GetAuthenticatedAt().AsTime()) {
			return nil, nil
		}
	}
	return one(e)
}

// revoke of what is revoked is nothing to do: the caller has what it asked for.
func (d decision) revoke(c *sessionv1.RevokeSession) ([]proto.Message, error) {
	switch {
	case d.s.GetStatus() == absent, c.GetUser() != "" && c.GetUser() != d.s.GetUser():
		return nil, d.notFound()
	case d.s.GetStatus() == revoked:
		return nil, nil
	}
	return one(&sessionv1.SessionRevoked{Reason: c.GetReason(), User: d.s.GetUser(), Origin: proto.CloneOf(c.GetOrigin()), RevokedAt: d.at})
}

// reuse is accepted, as it changes the session; the caller sees in the state that it has no token to give.
func (d decision) reuse(origin *typev1.Origin) ([]proto.Message, error) {
	return one(&sessionv1.SessionRevoked{Reason: ReasonReuse, User: d.s.GetUser(), Origin: proto.CloneOf(origin), RevokedAt: d.at})
}

// presented is what a refresh token is to the session.
type presented int

const (
	current presented = iota
	// last is the one that the current one was made of a moment ago.
	last
	older
)

// present says which token it is, and rejects those that the session never had: who only guesses, or
// knows the session's ID, must not be able to end it.
func (d decision) present(token []byte) (presented, error) {
	if err := d.alive(); err != nil {
		return 0, err
	}
	switch {
	case bytes.Equal(token, d.s.GetToken()):
		return current, nil
	case len(d.s.GetPresented()) > 0 && bytes.Equal(token, d.s.GetPresented()):
		if d.now.Sub(d.s.GetRotatedAt().AsTime()) <= RetryWindow {
			return last, nil
		}
		return older, nil
	case slices.Contains(d.s.GetOlder(), short(token)):
		return older, nil
	}
	return 0, event.Reject(CodeTokenUnknown, "session %s never had this refresh token", d.id)
}

// alive rejects what needs a session that has not ended.
func (d decision) alive() error {
	switch {
	case d.s.GetStatus() == absent:
		return d.notFound()
	case d.s.GetStatus() == revoked:
		return event.Reject(CodeRevoked, "session %s is revoked: %s", d.id, d.s.GetReason())
	case !d.now.Before(d.s.GetExpiresAt().AsTime()), !d.now.Before(d.s.GetIdleExpiresAt().AsTime()):
		return event.Reject(CodeExpired, "session %s is over", d.id)
	}
	return nil
}

// notAfterNow bounds a time that another partition's clock made.
func (d decision) notAfterNow(t *timestamppb.Timestamp) *timestamppb.Timestamp {
	if t.AsTime().After(d.now) {
		return d.at
	}
	return proto.CloneOf(t)
}

func (d decision) notFound() error {
	return event.Reject(CodeNotFound, "there is no session %s", d.id)
}
