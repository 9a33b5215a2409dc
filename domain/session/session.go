package session

import (
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/decider"
	sessionv1 "github.com/cqrsflow/cqrsflow/schemas/session/v1"
)

// Name is the aggregate type.
const Name = "session"

// Fingerprint numbers the meaning of Evolve. Raise it whenever Evolve makes another state of the same
// events: snapshots made before are then discarded. TestGoldenFolds fails where that was forgotten.
const Fingerprint = 1

const (
	// RetryWindow is how long the last presented refresh token may be presented again, by a client that
	// did not get the answer.
	RetryWindow = 10 * time.Second
	// MaxOlder is the number of older refresh tokens that a session remembers, to know when one of them
	// is presented. One refresh for each access token of 5 minutes makes 288 in 24 h.
	MaxOlder = 1000
	// ReasonReuse is why a session is revoked of which an older refresh token was presented: one of the
	// two who have it should not.
	ReasonReuse = "reuse"
)

// The codes of rejections. They are part of the API: they never change their meaning.
const (
	// CodeNotFound: there is no such session, or it is not that user's; all commands but StartSession.
	CodeNotFound = "session_not_found"
	// CodeAlreadyStarted: there is such a session already; StartSession.
	CodeAlreadyStarted = "session_already_started"
	// CodeRevoked: the session was revoked; RefreshSession, ReauthenticateSession, CheckSession.
	CodeRevoked = "session_revoked"
	// CodeExpired: the session is over, or was not refreshed in time; RefreshSession, ReauthenticateSession, CheckSession.
	CodeExpired = "session_expired"
	// CodeTokenUnknown: the session never had that refresh token; RefreshSession, ReauthenticateSession.
	CodeTokenUnknown = "refresh_token_unknown"
)

// Decider is the aggregate. Bodies of commands and events are messages of session.v1; the state of a
// session that does not exist has no status. Decisions take the recorded time for now: a client does not
// choose it.
var Decider = decider.Decider[decider.Command[proto.Message], proto.Message, *sessionv1.SessionState]{
	Initial: func() *sessionv1.SessionState { return &sessionv1.SessionState{} },
	Decide:  Decide,
	Evolve:  Evolve,
}

// Spec registers the aggregate. No command is public: a service makes the tokens.
func Spec(codec decider.Codec) decider.Spec[proto.Message, proto.Message, *sessionv1.SessionState] {
	return decider.Spec[proto.Message, proto.Message, *sessionv1.SessionState]{
		Name: Name, Plural: "sessions", Fingerprint: Fingerprint, Decider: Decider, Codec: codec,
		Commands: []decider.CommandType{
			{Type: "session.v1.StartSession", Name: "start", Summary: "Start a session after a complete authentication."},
			{Type: "session.v1.RefreshSession", Name: "refresh", Summary: "Exchange the refresh token for the next one; an older one revokes the session."},
			{Type: "session.v1.ReauthenticateSession", Name: "reauthenticate", Summary: "Refresh the session and note a new authentication."},
			{Type: "session.v1.RevokeSession", Name: "revoke", Summary: "End the session; ending it again changes nothing."},
			{Type: "session.v1.CheckSession", Name: "check", Summary: "Ask whether the session still lives; nothing happens."},
		},
		Events: []string{
			"session.v1.SessionStarted",
			"session.v1.SessionRefreshed",
			"session.v1.SessionReauthenticated",
			"session.v1.SessionRevoked",
		},
		Attributes: func(s *sessionv1.SessionState) map[string]any {
			return map[string]any{"owner": s.GetUser(), "status": statusName(s)}
		},
		Owner: func(m proto.Message) string {
			if start, ok := m.(*sessionv1.StartSession); ok {
				return start.GetUser()
			}
			return ""
		},
	}
}

// statusName is the status as policies know it; empty where there is no such session.
func statusName(s *sessionv1.SessionState) string {
	if s.GetStatus() == 0 {
		return ""
	}
	return strings.ToLower(strings.TrimPrefix(s.GetStatus().String(), "SESSION_STATUS_"))
}
