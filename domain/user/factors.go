package user

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/event"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
)

func (d decision) beginTotpEnrolment(c *userv1.BeginTotpEnrolment) ([]proto.Message, error) {
	if err := d.recent(c.GetAuthentication()); err != nil {
		return nil, err
	}
	if d.s.GetTotp().GetActive() {
		return nil, d.hasTotp()
	}
	return one(&userv1.TotpEnrolmentBegun{Seed: c.GetSeed(), SecondFactorVersion: d.s.GetSecondFactorVersion() + 1, ExpiresAt: d.in(EnrolmentOpen),
		Origin: proto.CloneOf(c.GetOrigin()), BegunAt: d.at})
}

func (d decision) activateTotp(c *userv1.ActivateTotp) ([]proto.Message, error) {
	if err := d.recent(c.GetAuthentication()); err != nil {
		return nil, err
	}
	switch t := d.s.GetTotp(); {
	case t == nil:
		return nil, event.Reject(CodeTotpNotEnrolled, "user %s has no second factor to activate", d.id)
	case t.GetActive():
		return nil, d.hasTotp()
	case c.GetSecondFactorVersion() != d.s.GetSecondFactorVersion():
		return nil, event.Reject(CodeCredentialChanged, "the second factor is version %d by now, not %d", d.s.GetSecondFactorVersion(), c.GetSecondFactorVersion())
	case d.over(t.GetExpiresAt()):
		return nil, event.Reject(CodeTotpEnrolmentExpired, "the enrolment took longer than %v; begin another one", EnrolmentOpen)
	}
	if err := d.currentStep(c.GetTotpStep()); err != nil {
		return nil, err
	}
	return one(&userv1.TotpActivated{TotpStep: c.GetTotpStep(), RecoveryCodes: c.GetRecoveryCodes(), Origin: proto.CloneOf(c.GetOrigin()), ActivatedAt: d.at})
}

func (d decision) removeTotp(c *userv1.RemoveTotp) ([]proto.Message, error) {
	if err := d.recent(c.GetAuthentication()); err != nil {
		return nil, err
	}
	switch {
	case !d.s.GetTotp().GetActive():
		return nil, d.noTotp()
	case d.s.GetMfaRequired():
		return nil, event.Reject(CodeMFARequired, "a role of user %s demands the second factor", d.id)
	}
	return one(&userv1.TotpRemoved{SecondFactorVersion: d.s.GetSecondFactorVersion() + 1, Origin: proto.CloneOf(c.GetOrigin()), RemovedAt: d.at})
}

func (d decision) replaceRecoveryCodes(c *userv1.ReplaceRecoveryCodes) ([]proto.Message, error) {
	if err := d.recent(c.GetAuthentication()); err != nil {
		return nil, err
	}
	if !d.s.GetTotp().GetActive() {
		return nil, d.noTotp()
	}
	return one(&userv1.RecoveryCodesReplaced{RecoveryCodes: c.GetRecoveryCodes(), Origin: proto.CloneOf(c.GetOrigin()), ReplacedAt: d.at})
}

// recent rejects a change of a factor without a full authentication a moment ago, with all factors that
// the user has. One with a password that was replaced since does not count.
func (d decision) recent(a *typev1.Authentication) error {
	if err := d.confirmed(); err != nil {
		return err
	}
	at := a.GetAuthenticatedAt().AsTime()
	has := func(method string) bool { return slices.Contains(a.GetMethods(), method) }
	changed := d.s.GetPasswordChangedAt()
	switch {
	case d.now.Sub(at) > MaxAuthenticationAge, at.Sub(d.now) > ClockSkew:
		return event.Reject(CodeReauthenticationRequired, "this needs an authentication of the last %v", MaxAuthenticationAge)
	case changed != nil && at.Before(changed.AsTime()):
		return event.Reject(CodeReauthenticationRequired, "the password was replaced after this authentication")
	case !has(password):
		return event.Reject(CodeReauthenticationRequired, "this needs an authentication with the password")
	case d.s.GetTotp().GetActive() && !has(totp) && !has(recoveryCode):
		return event.Reject(CodeReauthenticationRequired, "this needs an authentication with the second factor, too")
	}
	return nil
}

// currentStep rejects a time step that a code was accepted of before, or that is not of this time: a
// later one, accepted by mistake, would keep its owner out.
func (d decision) currentStep(step int64) error {
	current := d.now.Unix() / int64(TotpPeriod.Seconds())
	switch {
	case step <= d.s.GetTotp().GetLastStep():
		return event.Reject(CodeTotpCodeUsed, "a code of time step %d or of a later one was used already", step)
	case step < current-TotpTolerance, step > current+TotpTolerance:
		return event.Reject(CodeTotpCodeNotCurrent, "time step %d is not of this time: %d", step, current)
	}
	return nil
}

func (d decision) hasTotp() error {
	return event.Reject(CodeTotpAlreadyActive, "user %s has a second factor already", d.id)
}

func (d decision) noTotp() error {
	return event.Reject(CodeTotpNotActive, "user %s has no second factor", d.id)
}
