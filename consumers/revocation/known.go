package revocation

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/event"
	sessionv1 "github.com/cqrsflow/cqrsflow/schemas/session/v1"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
)

// The aggregates whose events are followed.
const (
	userType    = "user"
	sessionType = "session"
)

// known is what the events say: the pure part. What changed before everything that can still count was signed, it may forget.
type known struct {
	sessions map[event.StreamID]session
	users    map[event.StreamID]user
}

// session is one that was started since the log is followed, or revoked.
type session struct {
	authenticated, changed time.Time
	revoked                bool
}

// user is one of whom something changed since the log is followed.
type user struct {
	changed time.Time
	// out says that no session counts, whenever it began.
	out bool
	// Sessions that were authenticated no later than ended have ended, but for kept.
	ended time.Time
	kept  string
	// roles are what they are now, where that is known: they were set, or the user registered.
	roles    []string
	hasRoles bool
}

func newKnown() *known {
	return &known{sessions: map[event.StreamID]session{}, users: map[event.StreamID]user{}}
}

// wanted are the events that say anything, by type.
var wanted = func() map[string]bool {
	out := map[string]bool{}
	for _, m := range []proto.Message{&sessionv1.SessionStarted{}, &sessionv1.SessionReauthenticated{}, &sessionv1.SessionRevoked{},
		&userv1.UserRegistered{}, &userv1.PasswordChanged{}, &userv1.PasswordReset{}, &userv1.RolesSet{}, &userv1.UserLocked{}, &userv1.UserUnlocked{},
		&userv1.UserDisabled{}, &userv1.UserErased{}} {
		out[string(m.ProtoReflect().Descriptor().FullName())] = true
	}
	return out
}()

// apply folds an event. One that cannot be read may have revoked anything: whom it is about does not count any more.
func (k *known) apply(e *event.Envelope, body any, err error) {
	if e.Aggregate == sessionType {
		s := k.sessions[e.Stream]
		s.changed = e.RecordedTime
		s.apply(body, err)
		k.sessions[e.Stream] = s
		return
	}
	u := k.users[e.Stream]
	u.changed = e.RecordedTime
	u.apply(body, err)
	k.users[e.Stream] = u
}

func (s *session) apply(body any, err error) {
	switch b := body.(type) {
	case *sessionv1.SessionStarted:
		s.authenticated = b.GetAuthenticatedAt().AsTime()
	case *sessionv1.SessionReauthenticated:
		s.authenticated = b.GetAuthenticatedAt().AsTime()
	case *sessionv1.SessionRevoked:
		s.revoked = true
	default:
		s.revoked = s.revoked || err != nil
	}
}

func (u *user) apply(body any, err error) {
	switch b := body.(type) {
	case *userv1.UserRegistered:
		u.roles, u.hasRoles = b.GetRoles(), true
	case *userv1.RolesSet:
		u.roles, u.hasRoles = b.GetRoles(), true
	case *userv1.PasswordChanged:
		if b.GetEndOtherSessions() {
			u.ended, u.kept = b.GetChangedAt().AsTime(), b.GetOrigin().GetSession()
		}
	case *userv1.PasswordReset:
		u.ended, u.kept = b.GetResetAt().AsTime(), ""
	case *userv1.UserLocked:
		u.out, u.ended, u.kept = true, b.GetLockedAt().AsTime(), ""
	case *userv1.UserUnlocked:
		u.out = false
	case *userv1.UserDisabled, *userv1.UserErased:
		u.out = true
	default:
		u.out = u.out || err != nil
	}
}

// verdict is whether a user in a session counts.
type verdict int

const (
	counts verdict = iota
	revoked
	// unseen: the session's beginning is not known, and it would have to be later than what ended the user's sessions. It is that
	// of a session that has just begun, or one that has expired.
	unseen
)

// now says whether a user counts in a session, which may be empty, and which of the roles they still have. Roles that were given
// since are not added: whoever signed had found out that they were not to be had.
func (k *known) now(id, in string, roles []string) ([]string, verdict) {
	s, seen := k.sessions[event.StreamID(in)]
	if s.revoked {
		return nil, revoked
	}
	u, changed := k.users[event.StreamID(id)]
	switch {
	case !changed:
		return roles, counts
	case u.out:
		return nil, revoked
	case in != "" && in != u.kept && !u.ended.IsZero() && !s.authenticated.After(u.ended):
		if seen {
			return nil, revoked
		}
		return nil, unseen
	case !u.hasRoles:
		return roles, counts
	}
	return slices.DeleteFunc(slices.Clone(roles), func(r string) bool { return !slices.Contains(u.roles, r) }), counts
}

// forget drops what changed before a time.
func (k *known) forget(before time.Time) {
	for id, s := range k.sessions {
		if s.changed.Before(before) {
			delete(k.sessions, id)
		}
	}
	for id, u := range k.users {
		if u.changed.Before(before) {
			delete(k.users, id)
		}
	}
}
