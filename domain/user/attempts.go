package user

import (
	"bytes"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/domain/throttle"
	"github.com/cqrsflow/cqrsflow/event"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
)

// The factors. A recovery code stands for the second factor and is counted with it.
const (
	password     = "password"
	totp         = "totp"
	recoveryCode = "recovery_code"
)

func (d decision) beginAttempt(c *userv1.BeginAttempt) ([]proto.Message, error) {
	switch s := d.s.GetStatus(); {
	case s == erased:
		return nil, d.exists()
	case s == locked, s == disabled:
		return nil, throttle.Refuse(Attempts.Longest)
	case c.GetFactor() == password:
	case s != active:
		return nil, d.confirmed()
	case !d.s.GetTotp().GetActive():
		return nil, d.noTotp()
	}
	g := guardOf(d.s, c.GetFactor(), c.GetSubject())
	if slices.ContainsFunc(g.GetOpen(), func(o *userv1.OpenAttempt) bool { return o.GetAttempt() == c.GetAttempt() }) {
		return nil, event.Reject(CodeAttemptExists, "there is an open attempt %s already", c.GetAttempt())
	}
	device := c.GetFactor() == password && d.knows(c.GetOrigin().GetDevice())
	var last time.Time
	if g.GetCountedAt() != nil {
		last = g.GetCountedAt().AsTime()
	}
	if err := Attempts.Check(counted(g), last, d.now, device); err != nil {
		return nil, err
	}
	var events []proto.Message
	for _, o := range g.GetOpen() {
		if d.over(o.GetExpiresAt()) {
			events = append(events, &userv1.AttemptExpired{Attempt: o.GetAttempt(), Factor: o.GetFactor(), Subject: d.subject(c.GetSubject()), NoticedAt: d.at})
		}
	}
	return append(events, &userv1.AttemptBegun{Attempt: c.GetAttempt(), Factor: c.GetFactor(), Subject: d.subject(c.GetSubject()), KnownDevice: device,
		Origin: proto.CloneOf(c.GetOrigin()), BegunAt: d.at, ExpiresAt: d.in(throttle.Open)}), nil
}

func (d decision) completeAttempt(c *userv1.CompleteAttempt) ([]proto.Message, error) {
	if c.GetResult() == "withdrawn" {
		return d.withdraw(c)
	}
	succeeded := c.GetResult() == "succeeded"
	if d.s.GetStatus() != absent || c.GetFactor() != password {
		if err := d.open(); err != nil {
			return nil, err
		}
	}
	if err := d.verdict(c.GetAttempt(), c.GetFactor(), c.GetSubject(), c.GetCredentialVersion()); err != nil {
		return nil, err
	}
	if !succeeded {
		return one(&userv1.AttemptFailed{Attempt: c.GetAttempt(), Factor: c.GetFactor(), Subject: d.subject(c.GetSubject()),
			Origin: proto.CloneOf(c.GetOrigin()), FailedAt: d.at})
	}
	err := d.confirmed()
	switch {
	case err != nil:
	case c.GetFactor() == totp:
		err = d.currentStep(c.GetTotpStep())
	case c.GetFactor() == recoveryCode && !slices.ContainsFunc(d.s.GetRecoveryCodes(), func(code []byte) bool { return bytes.Equal(code, c.GetRecoveryCode()) }):
		err = event.Reject(CodeRecoveryCodeInvalid, "user %s has no such recovery code, or it was used", d.id)
	}
	if err != nil {
		return nil, err
	}
	return one(&userv1.AttemptSucceeded{Attempt: c.GetAttempt(), Factor: c.GetFactor(), TotpStep: c.GetTotpStep(), RecoveryCode: c.GetRecoveryCode(),
		Origin: proto.CloneOf(c.GetOrigin()), SucceededAt: d.at})
}

// verdict rejects one that comes too late: about another version, or an attempt that is not open.
func (d decision) verdict(attempt, factor, subject string, version int64) error {
	current := d.s.GetCredentialVersion()
	if factor != password {
		current = d.s.GetSecondFactorVersion()
	}
	if version != current {
		return event.Reject(CodeCredentialChanged, "attempt %s was verified against version %d; it is %d by now", attempt, version, current)
	}
	return d.isOpen(attempt, factor, subject)
}

// withdraw ends an attempt in which nothing was verified, whatever became of the user meanwhile: who could not
// try has not failed.
func (d decision) withdraw(c *userv1.CompleteAttempt) ([]proto.Message, error) {
	if d.s.GetStatus() == erased {
		return nil, d.exists()
	}
	if err := d.isOpen(c.GetAttempt(), c.GetFactor(), c.GetSubject()); err != nil {
		return nil, err
	}
	return one(&userv1.AttemptWithdrawn{Attempt: c.GetAttempt(), Factor: c.GetFactor(), Subject: d.subject(c.GetSubject()), WithdrawnAt: d.at})
}

// isOpen rejects what ends an attempt that has not begun, has ended, or has taken too long.
func (d decision) isOpen(attempt, factor, subject string) error {
	open := guardOf(d.s, factor, subject).GetOpen()
	i := slices.IndexFunc(open, func(o *userv1.OpenAttempt) bool { return o.GetAttempt() == attempt && o.GetFactor() == factor })
	switch {
	case i < 0:
		return event.Reject(CodeAttemptNotFound, "there is no open attempt %s with %s", attempt, factor)
	case d.over(open[i].GetExpiresAt()):
		return event.Reject(CodeAttemptExpired, "attempt %s took longer than %v", attempt, throttle.Open)
	}
	return nil
}

// subject is recorded only where there is no user: the user's claim is known, and one of another must not stand here.
func (d decision) subject(given string) string {
	if d.s.GetStatus() == absent {
		return given
	}
	return ""
}

// knows reports whether the device is known.
func (d decision) knows(device []byte) bool {
	return len(device) > 0 && deviceIndex(d.s, device) >= 0
}

// guardOf returns what counts the attempts with a factor; nil where there were none.
func guardOf(s *userv1.UserState, factor, subject string) *userv1.Guard {
	switch {
	case factor != password:
		return s.GetSecondFactor()
	case s.GetStatus() != absent:
		return s.GetPassword()
	}
	if i := unknownIndex(s, subject); i >= 0 {
		return s.GetUnknown()[i].GetPassword()
	}
	return nil
}

// counted is how many attempts count as failed: those that are open do until they are known to have succeeded.
func counted(g *userv1.Guard) int { return int(g.GetFailures()) + len(g.GetOpen()) }

func unknownIndex(s *userv1.UserState, subject string) int {
	return slices.IndexFunc(s.GetUnknown(), func(u *userv1.Unknown) bool { return u.GetSubject() == subject })
}

func deviceIndex(s *userv1.UserState, device []byte) int {
	return slices.IndexFunc(s.GetDevices(), func(known *userv1.Device) bool { return bytes.Equal(known.GetDevice(), device) })
}
