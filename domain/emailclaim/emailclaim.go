package emailclaim

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	emailclaimv1 "github.com/cqrsflow/cqrsflow/schemas/emailclaim/v1"
)

// Name is the aggregate type.
const Name = "emailclaim"

// Fingerprint numbers the meaning of Evolve. Raise it whenever Evolve makes another state of the same
// events: snapshots made before are then discarded. TestGoldenFolds fails where that was forgotten.
const Fingerprint = 1

// The codes of rejections. They are part of the API: they never change their meaning.
const (
	// CodeClaimed: the address is another user's; ClaimEmail, ConfirmClaim.
	CodeClaimed = "email_claimed"
	// CodeNotFound: nobody claims the address; ConfirmClaim.
	CodeNotFound = "email_claim_not_found"
	// CodeLapsed: the claim was not confirmed in time; ConfirmClaim.
	CodeLapsed = "email_claim_lapsed"
)

const (
	free      = emailclaimv1.ClaimStatus_CLAIM_STATUS_UNSPECIFIED
	claimed   = emailclaimv1.ClaimStatus_CLAIM_STATUS_CLAIMED
	confirmed = emailclaimv1.ClaimStatus_CLAIM_STATUS_CONFIRMED
)

// Decider is the aggregate. Bodies of commands and events are messages of emailclaim.v1; the state of an
// address that is free has no status. Decisions take the recorded time for now: a client does not choose it.
var Decider = decider.Decider[decider.Command[proto.Message], proto.Message, *emailclaimv1.EmailClaimState]{
	Initial: func() *emailclaimv1.EmailClaimState { return &emailclaimv1.EmailClaimState{} },
	Decide:  Decide,
	Evolve:  Evolve,
}

// Spec registers the aggregate. No command is public.
func Spec(codec decider.Codec) decider.Spec[proto.Message, proto.Message, *emailclaimv1.EmailClaimState] {
	return decider.Spec[proto.Message, proto.Message, *emailclaimv1.EmailClaimState]{
		Name: Name, Plural: "emailclaims", Fingerprint: Fingerprint, Decider: Decider, Codec: codec,
		Commands: []decider.CommandType{
			{Type: "emailclaim.v1.ClaimEmail", Name: "claim", Summary: "Claim an address that is free, or whose unconfirmed claim has lapsed."},
			{Type: "emailclaim.v1.ConfirmClaim", Name: "confirm", Summary: "Make a user's claim last."},
			{Type: "emailclaim.v1.ReleaseClaim", Name: "release", Summary: "Free the address where it is that user's."},
		},
		Events: []string{
			"emailclaim.v1.EmailClaimed",
			"emailclaim.v1.ClaimConfirmed",
			"emailclaim.v1.ClaimReleased",
		},
	}
}

// Decide says what a command causes. It expects a command that keeps the schema's rules; the rejections
// have the codes of this package. They do not say whose an address is.
func Decide(cmd decider.Command[proto.Message], s *emailclaimv1.EmailClaimState) ([]proto.Message, error) {
	now := cmd.RecordedTime
	at := timestamppb.New(now)
	lapsed := s.GetStatus() == claimed && !now.Before(s.GetLapsesAt().AsTime())
	switch c := cmd.Body.(type) {
	case *emailclaimv1.ClaimEmail:
		e := &emailclaimv1.EmailClaimed{User: c.GetUser(), ClaimedAt: at, LapsesAt: timestamppb.New(now.Add(c.GetValidFor().AsDuration()))}
		switch {
		case s.GetStatus() == free:
		case lapsed:
			e.LapsedUser = s.GetUser()
		case s.GetUser() == c.GetUser():
			return nil, nil
		default:
			return nil, event.Reject(CodeClaimed, "the address is another user's")
		}
		return []proto.Message{e}, nil
	case *emailclaimv1.ConfirmClaim:
		switch {
		case s.GetStatus() == free:
			return nil, event.Reject(CodeNotFound, "nobody claims the address")
		case s.GetUser() != c.GetUser():
			return nil, event.Reject(CodeClaimed, "the address is another user's")
		case s.GetStatus() == confirmed:
			return nil, nil
		case lapsed:
			return nil, event.Reject(CodeLapsed, "the claim was not confirmed in time; claim the address again")
		}
		return []proto.Message{&emailclaimv1.ClaimConfirmed{User: c.GetUser(), ConfirmedAt: at}}, nil
	case *emailclaimv1.ReleaseClaim:
		// What is not this user's is not to be released: the caller has what it asked for.
		if s.GetStatus() == free || s.GetUser() != c.GetUser() {
			return nil, nil
		}
		return []proto.Message{&emailclaimv1.ClaimReleased{User: c.GetUser(), ReleasedAt: at}}, nil
	}
	return nil, fmt.Errorf("%w: a claim takes no %T", event.ErrUnknownType, cmd.Body)
}

// Evolve returns the state after an event, sharing nothing that could change with the one before.
// Anything but an event of emailclaim.v1 leaves the state as it is, which does not happen: the codec
// knows no other events, and a test holds that each is handled.
func Evolve(s *emailclaimv1.EmailClaimState, e proto.Message) *emailclaimv1.EmailClaimState {
	next := proto.CloneOf(s)
	evolve(next, proto.CloneOf(e))
	return next
}

// evolve changes a state that is its own, with an event that is its own; it reports whether it knows the event.
func evolve(s *emailclaimv1.EmailClaimState, e proto.Message) bool {
	switch e := e.(type) {
	case *emailclaimv1.EmailClaimed:
		proto.Reset(s)
		s.Status, s.User, s.ClaimedAt, s.LapsesAt = claimed, e.GetUser(), e.GetClaimedAt(), e.GetLapsesAt()
	case *emailclaimv1.ClaimConfirmed:
		s.Status, s.ConfirmedAt, s.LapsesAt = confirmed, e.GetConfirmedAt(), nil
	case *emailclaimv1.ClaimReleased:
		proto.Reset(s)
	default:
		return false
	}
	return true
}
