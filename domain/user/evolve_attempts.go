package user

import (
	"bytes"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
)

// evolveAttempt is evolve for attempts.
func evolveAttempt(s *userv1.UserState, e proto.Message) bool {
	switch e := e.(type) {
	case *userv1.AttemptBegun:
		g := guard(s, e.GetFactor(), e.GetSubject())
		g.Open = append(g.Open, &userv1.OpenAttempt{Attempt: e.GetAttempt(), Factor: e.GetFactor(), ExpiresAt: e.GetExpiresAt()})
		g.CountedAt = e.GetBegunAt()
		delay(g)
	case *userv1.AttemptFailed:
		g := guard(s, e.GetFactor(), e.GetSubject())
		closeAttempt(g, e.GetAttempt())
		g.Failures++
		g.CountedAt = e.GetFailedAt()
		delay(g)
	case *userv1.AttemptWithdrawn:
		g := guard(s, e.GetFactor(), e.GetSubject())
		closeAttempt(g, e.GetAttempt())
		delay(g)
	case *userv1.AttemptExpired:
		// It was counted when it began; noticing it does not begin another delay.
		g := guard(s, e.GetFactor(), e.GetSubject())
		closeAttempt(g, e.GetAttempt())
		g.Failures++
		delay(g)
	case *userv1.AttemptSucceeded:
		g := guard(s, e.GetFactor(), "")
		closeAttempt(g, e.GetAttempt())
		g.Failures = 0
		delay(g)
		if e.GetFactor() == totp && s.Totp != nil {
			s.Totp.LastStep = e.GetTotpStep()
		}
		if e.GetFactor() == recoveryCode {
			s.RecoveryCodes = slices.DeleteFunc(s.RecoveryCodes, func(code []byte) bool { return bytes.Equal(code, e.GetRecoveryCode()) })
		}
	default:
		return false
	}
	return true
}

// guard returns what counts the attempts with a factor, to be changed. An unknown account that is tried
// becomes the latest one; the one tried longest ago is dropped for it.
func guard(s *userv1.UserState, factor, subject string) *userv1.Guard {
	switch {
	case factor != password:
		s.SecondFactor = made(s.SecondFactor)
		return s.SecondFactor
	case s.GetStatus() != absent:
		s.Password = made(s.Password)
		return s.Password
	}
	u := &userv1.Unknown{Subject: subject, Password: &userv1.Guard{}}
	if i := unknownIndex(s, subject); i >= 0 {
		u = s.Unknown[i]
		u.Password = made(u.Password)
		s.Unknown = slices.Delete(s.Unknown, i, i+1)
	}
	s.Unknown = append(s.Unknown, u)
	s.Unknown = s.Unknown[max(0, len(s.Unknown)-MaxUnknown):]
	return u.Password
}

func made(g *userv1.Guard) *userv1.Guard {
	if g == nil {
		return &userv1.Guard{}
	}
	return g
}

func closeAttempt(g *userv1.Guard, attempt string) {
	g.Open = slices.DeleteFunc(g.Open, func(o *userv1.OpenAttempt) bool { return o.GetAttempt() == attempt })
}

// delay says when the next attempt may begin.
func delay(g *userv1.Guard) {
	g.RetryAt = nil
	if wait := Attempts.Delay(counted(g)); wait > 0 && g.CountedAt != nil {
		g.RetryAt = timestamppb.New(g.CountedAt.AsTime().Add(wait))
	}
}

// pardon forgets failures. What is open stays so, and may still fail.
func pardon(g *userv1.Guard) {
	if g != nil {
		g.Failures, g.CountedAt, g.RetryAt = 0, nil, nil
	}
}
