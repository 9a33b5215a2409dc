package source

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	sourcev1 "github.com/cqrsflow/cqrsflow/schemas/source/v1"
)

// Evolve returns the state after an event, sharing nothing that could change with the one before.
// Anything but an event of source.v1 leaves the state as it is, which does not happen: the codec knows no
// other events, and a test holds that each is handled.
func Evolve(s *sourcev1.SourceState, e proto.Message) *sourcev1.SourceState {
	next := proto.CloneOf(s)
	evolve(next, proto.CloneOf(e))
	return next
}

// evolve changes a state that is its own, with an event that is its own; it reports whether it knows the event.
func evolve(s *sourcev1.SourceState, e proto.Message) bool {
	switch e := e.(type) {
	case *sourcev1.AttemptBegun:
		s.Open = append(s.Open, &sourcev1.OpenAttempt{Attempt: e.GetAttempt(), ExpiresAt: e.GetExpiresAt()})
		s.CountedAt = e.GetBegunAt()
	case *sourcev1.AttemptFailed:
		closeAttempt(s, e.GetAttempt())
		s.Failures++
		s.CountedAt = e.GetFailedAt()
	case *sourcev1.AttemptWithdrawn:
		closeAttempt(s, e.GetAttempt())
	case *sourcev1.AttemptExpired:
		// It was counted when it began; noticing it does not begin another delay.
		closeAttempt(s, e.GetAttempt())
		s.Failures++
	case *sourcev1.AttemptSucceeded:
		closeAttempt(s, e.GetAttempt())
		s.Failures = 0
	case *sourcev1.FailuresForgotten:
		s.Failures = 0
	default:
		return false
	}
	s.RetryAt = nil
	if wait := Attempts.Delay(counted(s)); wait > 0 && s.CountedAt != nil {
		s.RetryAt = timestamppb.New(s.CountedAt.AsTime().Add(wait))
	}
	return true
}

func closeAttempt(s *sourcev1.SourceState, attempt string) {
	if i := find(s, attempt); i >= 0 {
		s.Open = append(s.Open[:i], s.Open[i+1:]...)
	}
}
