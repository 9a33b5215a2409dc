package source

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/domain/throttle"
	"github.com/cqrsflow/cqrsflow/event"
	sourcev1 "github.com/cqrsflow/cqrsflow/schemas/source/v1"
)

// Decide says what a command causes. It expects a command that keeps the schema's rules; the rejections
// have the codes of this package.
func Decide(cmd decider.Command[proto.Message], s *sourcev1.SourceState) ([]proto.Message, error) {
	switch c := cmd.Body.(type) {
	case *sourcev1.BeginAttempt:
		return begin(c, s, cmd.RecordedTime)
	case *sourcev1.CompleteAttempt:
		return complete(c, s, cmd.RecordedTime)
	}
	return nil, fmt.Errorf("%w: a source takes no %T", event.ErrUnknownType, cmd.Body)
}

func begin(c *sourcev1.BeginAttempt, s *sourcev1.SourceState, now time.Time) ([]proto.Message, error) {
	if find(s, c.GetAttempt()) >= 0 {
		return nil, event.Reject(CodeAttemptExists, "there is an open attempt %s already", c.GetAttempt())
	}
	at := timestamppb.New(now)
	var last time.Time
	if s.GetCountedAt() != nil {
		last = s.GetCountedAt().AsTime()
	}
	// After so long, whatever is open has expired, too.
	forgotten := counted(s) > 0 && now.Sub(last) >= ForgottenAfter
	if !forgotten {
		if err := Attempts.Check(counted(s), last, now, false); err != nil {
			return nil, err
		}
	}
	var events []proto.Message
	for _, o := range s.GetOpen() {
		if !now.Before(o.GetExpiresAt().AsTime()) {
			events = append(events, &sourcev1.AttemptExpired{Attempt: o.GetAttempt(), NoticedAt: at})
		}
	}
	if forgotten {
		events = append(events, &sourcev1.FailuresForgotten{Failures: int32(counted(s)), ForgottenAt: at})
	}
	return append(events, &sourcev1.AttemptBegun{Attempt: c.GetAttempt(), BegunAt: at, ExpiresAt: timestamppb.New(now.Add(throttle.Open))}), nil
}

func complete(c *sourcev1.CompleteAttempt, s *sourcev1.SourceState, now time.Time) ([]proto.Message, error) {
	i := find(s, c.GetAttempt())
	switch {
	case i < 0:
		return nil, event.Reject(CodeAttemptNotFound, "there is no open attempt %s", c.GetAttempt())
	case !now.Before(s.GetOpen()[i].GetExpiresAt().AsTime()):
		return nil, event.Reject(CodeAttemptExpired, "attempt %s took longer than %v", c.GetAttempt(), throttle.Open)
	case c.GetResult() == "withdrawn":
		return []proto.Message{&sourcev1.AttemptWithdrawn{Attempt: c.GetAttempt(), WithdrawnAt: timestamppb.New(now)}}, nil
	case c.GetResult() == "succeeded":
		return []proto.Message{&sourcev1.AttemptSucceeded{Attempt: c.GetAttempt(), SucceededAt: timestamppb.New(now)}}, nil
	}
	return []proto.Message{&sourcev1.AttemptFailed{Attempt: c.GetAttempt(), FailedAt: timestamppb.New(now)}}, nil
}

func find(s *sourcev1.SourceState, attempt string) int {
	return slices.IndexFunc(s.GetOpen(), func(o *sourcev1.OpenAttempt) bool { return o.GetAttempt() == attempt })
}

// counted is how many attempts count as failed: those that are open do until they are known to have succeeded.
func counted(s *sourcev1.SourceState) int { return int(s.GetFailures()) + len(s.GetOpen()) }
