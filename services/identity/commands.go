package identity

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/schemas"
)

// ServiceName is the principal that identity's commands are signed as: "service:identity". Who asked identity it has found out
// itself, and says it in the commands' origin.
const ServiceName = "identity"

// The aggregates.
const (
	userType    = "user"
	sessionType = "session"
	claimType   = "emailclaim"
	sourceType  = "source"
)

// The codes of rejections that are looked for; the domains' packages say what they mean, and a test that these are they.
const (
	codeTooManyAttempts     = "too_many_attempts"
	codeUserErased          = "user_erased"
	codeUserNotFound        = "user_not_found"
	codeUserLocked          = "user_locked"
	codeUserDisabled        = "user_disabled"
	codeEmailNotConfirmed   = "email_not_confirmed"
	codeEmailConfirmed      = "email_already_confirmed"
	codeEmailClaimed        = "email_claimed"
	codeMailSentRecently    = "mail_sent_recently"
	codeCredentialChanged   = "credential_changed"
	codeSessionNotFound     = "session_not_found"
	codeSessionRevoked      = "session_revoked"
	codeSessionExpired      = "session_expired"
	codeRefreshTokenUnknown = "refresh_token_unknown"
)

// do has a command decided, and reads the state after it, also where it was rejected: then the error is an *event.Rejection.
// Other errors wrap event.ErrUnavailable where it was not decided in time: it may be decided later all the same.
func (s *Service) do(ctx context.Context, aggregate string, stream string, body, state proto.Message) (event.Outcome, error) {
	doing := func(err error) error {
		return fmt.Errorf("%s of %s/%s: %w", body.ProtoReflect().Descriptor().Name(), aggregate, stream, err)
	}
	data, err := schemas.Marshal(body)
	if err != nil {
		return event.Outcome{}, doing(err)
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout/2)
	defer cancel()
	c := event.Command{Type: string(body.ProtoReflect().Descriptor().FullName()), Stream: event.StreamID(stream), ExpectedVersion: event.AnyVersion, ReturnState: state != nil}
	o, err := s.cfg.Commands.Do(ctx, c, aggregate, schemas.ContentTypeProtobuf, data)
	switch {
	case errors.Is(err, event.ErrOutcomeUnknown):
		return o, doing(fmt.Errorf("%w: %w", event.ErrUnavailable, err))
	case err != nil:
		return o, doing(err)
	}
	if state != nil {
		if err := proto.Unmarshal(o.State, state); err != nil {
			return o, doing(fmt.Errorf("%w: the state: %w", event.ErrUndecodable, err))
		}
	}
	switch o.Kind {
	case event.Accepted:
		return o, nil
	case event.Rejected:
		return o, &event.Rejection{Code: o.Code, Message: o.Message}
	case event.Denied: // by a mistake in the configuration: nobody is let in by it
		return o, doing(fmt.Errorf("%w: the command processor denies it: %s: %s; it needs the keys that identity signs with, and a policy that permits it to Service::%q",
			event.ErrConfig, o.Code, o.Message, ServiceName))
	}
	return o, doing(fmt.Errorf("the outcome is %s: %s: %s %v", o.Kind, o.Code, o.Message, o.Fields))
}

// rejected returns the code of a rejection; empty for every other error, and none.
func rejected(err error) string {
	var r *event.Rejection
	if errors.As(err, &r) {
		return r.Code
	}
	return ""
}

// retryAfter is when to come again, as the rejection's message says.
func retryAfter(err error) time.Duration {
	var r *event.Rejection
	var seconds int64
	if errors.As(err, &r) {
		if n, _ := fmt.Sscanf(r.Message, "too many attempts; try again in %d s", &seconds); n == 1 && seconds > 0 {
			return time.Duration(seconds) * time.Second
		}
	}
	return time.Second
}
