package user

import (
	"bytes"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
)

// Short names of the statuses.
const (
	absent     = userv1.UserStatus_USER_STATUS_UNSPECIFIED
	registered = userv1.UserStatus_USER_STATUS_REGISTERED
	active     = userv1.UserStatus_USER_STATUS_ACTIVE
	locked     = userv1.UserStatus_USER_STATUS_LOCKED
	disabled   = userv1.UserStatus_USER_STATUS_DISABLED
	erased     = userv1.UserStatus_USER_STATUS_ERASED
)

// decision is what all commands are decided on.
type decision struct {
	id  event.StreamID
	s   *userv1.UserState
	now time.Time
	at  *timestamppb.Timestamp
}

// Decide says what a command causes. It expects a command that keeps the schema's rules; the rejections
// have the codes of this package.
func Decide(cmd decider.Command[proto.Message], s *userv1.UserState) ([]proto.Message, error) {
	d := decision{id: cmd.Stream, s: s, now: cmd.RecordedTime, at: timestamppb.New(cmd.RecordedTime)}
	switch c := cmd.Body.(type) {
	case *userv1.RegisterUser:
		return d.register(c)
	case *userv1.ResendConfirmation:
		return d.resendConfirmation(c)
	case *userv1.ConfirmEmail:
		return d.confirmEmail(c)
	case *userv1.BeginAttempt:
		return d.beginAttempt(c)
	case *userv1.CompleteAttempt:
		return d.completeAttempt(c)
	case *userv1.RehashPassword:
		return d.rehashPassword(c)
	case *userv1.ChangePassword:
		return d.changePassword(c)
	case *userv1.RequestPasswordReset:
		return d.requestPasswordReset(c)
	case *userv1.ResetPassword:
		return d.resetPassword(c)
	case *userv1.BeginTotpEnrolment:
		return d.beginTotpEnrolment(c)
	case *userv1.ActivateTotp:
		return d.activateTotp(c)
	case *userv1.RemoveTotp:
		return d.removeTotp(c)
	case *userv1.ReplaceRecoveryCodes:
		return d.replaceRecoveryCodes(c)
	case *userv1.RememberDevice:
		return d.rememberDevice(c)
	case *userv1.ForgetDevice:
		return d.forgetDevice(c)
	case *userv1.SetRoles:
		return d.setRoles(c)
	case *userv1.LockUser:
		return d.lock(c)
	case *userv1.UnlockUser:
		return d.unlock()
	case *userv1.DisableUser:
		return d.disable(c)
	case *userv1.ForgetUser:
		return d.forget()
	case *userv1.CheckUser:
		return nil, d.confirmed()
	}
	return nil, fmt.Errorf("%w: a user takes no %T", event.ErrUnknownType, cmd.Body)
}

func one(e proto.Message) ([]proto.Message, error) { return []proto.Message{e}, nil }

// in is the time so much later.
func (d decision) in(after time.Duration) *timestamppb.Timestamp {
	return timestamppb.New(d.now.Add(after))
}

func (d decision) until(valid *durationpb.Duration) *timestamppb.Timestamp {
	return d.in(valid.AsDuration())
}

// over reports whether a moment has come. What has no end is over.
func (d decision) over(end *timestamppb.Timestamp) bool { return !d.now.Before(end.AsTime()) }

// exists rejects what needs a user, in whatever status.
func (d decision) exists() error {
	switch d.s.GetStatus() {
	case absent:
		return event.Reject(CodeNotFound, "there is no user %s", d.id)
	case erased:
		return event.Reject(CodeErased, "user %s is erased", d.id)
	}
	return nil
}

// open rejects what a user may not do who is kept out.
func (d decision) open() error {
	switch d.s.GetStatus() {
	case locked:
		return event.Reject(CodeLocked, "user %s is locked", d.id)
	case disabled:
		return event.Reject(CodeDisabled, "the account of user %s is closed", d.id)
	}
	return d.exists()
}

// confirmed rejects what needs a confirmed e-mail address, and a user who is not kept out.
func (d decision) confirmed() error {
	if d.s.GetStatus() == registered {
		return event.Reject(CodeEmailNotConfirmed, "the e-mail address of user %s is not confirmed", d.id)
	}
	return d.open()
}

// redeem rejects a token that is not the pending one.
func (d decision) redeem(pending *userv1.PendingToken, token []byte) error {
	switch {
	case pending == nil || !bytes.Equal(pending.GetToken(), token):
		return event.Reject(CodeTokenInvalid, "the token is not the one that was sent last to user %s, or it was used", d.id)
	case d.over(pending.GetExpiresAt()):
		return event.Reject(CodeTokenExpired, "the token has expired; ask for another one")
	}
	return nil
}

// mayMail rejects a mail that follows another one too soon.
func (d decision) mayMail(last *userv1.PendingToken) error {
	if last != nil && !d.over(timestamppb.New(last.GetSentAt().AsTime().Add(MailInterval))) {
		return event.Reject(CodeMailSentRecently, "a mail was sent less than %v ago", MailInterval)
	}
	return nil
}
