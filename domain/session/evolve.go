package session

import (
	"encoding/binary"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	sessionv1 "github.com/cqrsflow/cqrsflow/schemas/session/v1"
)

// Evolve returns the state after an event, sharing nothing that could change with the one before.
// Anything but an event of session.v1 leaves the state as it is, which does not happen: the codec knows
// no other events, and a test holds that each is handled.
func Evolve(s *sessionv1.SessionState, e proto.Message) *sessionv1.SessionState {
	next := proto.CloneOf(s)
	evolve(next, proto.CloneOf(e))
	return next
}

// evolve changes a state that is its own, with an event that is its own; it reports whether it knows the event.
func evolve(s *sessionv1.SessionState, e proto.Message) bool {
	switch e := e.(type) {
	case *sessionv1.SessionStarted:
		s.Status, s.User, s.Origin, s.StartedAt = active, e.GetUser(), e.GetOrigin(), e.GetStartedAt()
		s.Methods, s.AuthenticatedAt = e.GetMethods(), e.GetAuthenticatedAt()
		s.Token, s.ExpiresAt, s.Idle = e.GetToken(), e.GetExpiresAt(), e.GetIdle()
		alive(s, e.GetStartedAt())
	case *sessionv1.SessionRefreshed:
		rotate(s, e.GetRotation(), e.GetRefreshedAt())
		s.RefreshedAt = e.GetRefreshedAt()
		alive(s, e.GetRefreshedAt())
	case *sessionv1.SessionReauthenticated:
		if e.GetRotation() != nil {
			rotate(s, e.GetRotation(), e.GetReauthenticatedAt())
		}
		s.Methods, s.AuthenticatedAt = e.GetMethods(), e.GetAuthenticatedAt()
		s.RefreshedAt = e.GetReauthenticatedAt()
		alive(s, e.GetReauthenticatedAt())
	case *sessionv1.SessionRevoked:
		s.Status, s.Reason, s.RevokedAt = revoked, e.GetReason(), e.GetRevokedAt()
		s.Token, s.Presented, s.TokenCiphertext, s.RotatedAt, s.Older = nil, nil, nil, nil, nil
	default:
		return false
	}
	return true
}

// rotate makes the successor the current token. The one presented before becomes an older one.
func rotate(s *sessionv1.SessionState, r *sessionv1.Rotation, at *timestamppb.Timestamp) {
	if len(s.Presented) > 0 {
		s.Older = append(s.Older, short(s.Presented))
		s.Older = s.Older[max(0, len(s.Older)-MaxOlder):]
	}
	s.Presented, s.Token, s.TokenCiphertext, s.RotatedAt = r.GetPresented(), r.GetSuccessor(), r.GetSuccessorCiphertext(), at
}

// alive begins the idle time anew; it never reaches beyond the session's end.
func alive(s *sessionv1.SessionState, at *timestamppb.Timestamp) {
	s.IdleExpiresAt = timestamppb.New(at.AsTime().Add(s.GetIdle().AsDuration()))
	if s.IdleExpiresAt.AsTime().After(s.GetExpiresAt().AsTime()) {
		s.IdleExpiresAt = proto.CloneOf(s.GetExpiresAt())
	}
}

// short is enough of a hash to know an older token by: a guess meets one of a thousand once in 2^54.
func short(hash []byte) uint64 {
	var b [8]byte
	copy(b[:], hash)
	return binary.BigEndian.Uint64(b[:])
}
