package identity

import (
	"context"
	"encoding/base64"
	"slices"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/event"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	sourcev1 "github.com/cqrsflow/cqrsflow/schemas/source/v1"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
)

// The factors, and how an attempt ends.
const (
	factorPassword = "password"
	factorTotp     = "totp"
	factorRecovery = "recovery_code"

	succeeded = "succeeded"
	failed    = "failed"
	withdrawn = "withdrawn"
)

func hasSecondFactor(methods []string) bool {
	return slices.Contains(methods, factorTotp) || slices.Contains(methods, factorRecovery)
}

// attempt is one to authenticate, begun at the account and at the source.
type attempt struct {
	s      *Service
	id     string
	factor string
	who    account
	source string
	origin *typev1.Origin
	// state is the user's, after the beginning.
	state *userv1.UserState
}

// begin asks the account and the source, at the same time, whether somebody may try. Its error is a rejection with
// too_many_attempts, or wraps event.ErrUnavailable; then neither is left with an open attempt (see the package's documentation).
func (s *Service) begin(ctx context.Context, who account, factor string, origin *typev1.Origin) (*attempt, error) {
	a := &attempt{s: s, id: uuid.NewString(), factor: factor, who: who, origin: origin, state: &userv1.UserState{},
		source: base64.RawURLEncoding.EncodeToString(origin.GetSource())}
	var atUser, atSource error
	both(func() {
		_, atUser = s.do(ctx, userType, who.user, &userv1.BeginAttempt{Attempt: a.id, Factor: factor, Subject: who.claim, Origin: origin}, a.state)
	}, func() {
		_, atSource = s.do(ctx, sourceType, a.source, &sourcev1.BeginAttempt{Attempt: a.id}, nil)
	})
	userSaidNo, sourceSaidNo := rejected(atUser) != "", rejected(atSource) != ""
	switch {
	case atUser == nil && atSource == nil:
		return a, nil
	case userSaidNo && atSource == nil:
		s.later("end an attempt", func(ctx context.Context) error { return a.endAtSource(ctx, failed) })
		err := atUser
		if rejected(err) != codeTooManyAttempts { // the user is no more what was found a moment ago
			s.cfg.OnAttempt(factor, "refused")
			return nil, err
		}
	default:
		// One of them did not answer, or the source refused: where the other half began, or may have, it is withdrawn.
		if !userSaidNo {
			a.withdrawAtUser()
		}
		if !sourceSaidNo {
			s.later("withdraw an attempt", func(ctx context.Context) error { return a.endAtSource(ctx, withdrawn) })
		}
	}
	s.cfg.OnAttempt(factor, "refused")
	a.log("refused")
	for _, err := range []error{atUser, atSource} { // whoever cannot say is heard last: what is refused is refused
		if rejected(err) != "" {
			return nil, err
		}
	}
	if atUser != nil {
		return nil, atUser
	}
	return nil, atSource
}

// succeed completes the attempt, at the account and at the source, and returns when. version is what was verified against.
func (a *attempt) succeed(ctx context.Context, version int64, proof func(*userv1.CompleteAttempt)) (time.Time, error) {
	var at time.Time
	var atUser, atSource error
	both(func() {
		var o event.Outcome
		if o, atUser = a.complete(ctx, succeeded, version, proof); atUser == nil {
			at = o.RecordedTime
		}
	}, func() { atSource = a.endAtSource(ctx, succeeded) })
	if atSource != nil {
		a.s.later("end an attempt", func(ctx context.Context) error { return a.endAtSource(ctx, succeeded) })
	}
	if atUser != nil {
		if rejected(atUser) == "" {
			// Nobody knows whether it succeeded, so nobody is let in. Where it did not, it is withdrawn: who has what it takes
			// has not failed.
			a.withdrawAtUser()
		}
		a.log("refused", "code", rejected(atUser))
		a.s.cfg.OnAttempt(a.factor, "refused")
		return at, atUser
	}
	a.log(succeeded)
	a.s.cfg.OnAttempt(a.factor, succeeded)
	return at, nil
}

// fail completes it as failed. What goes wrong then is logged: the attempt stays open, which counts as well, and the next one at
// the account or the source records that it has expired.
func (a *attempt) fail(ctx context.Context, version int64) {
	var atUser, atSource error
	both(func() { atUser = a.endAtUser(ctx, failed, version, nil) }, func() { atSource = a.endAtSource(ctx, failed) })
	for _, err := range []error{atUser, atSource} {
		if err != nil && rejected(err) == "" {
			a.s.cfg.Logger.Warn("an attempt that failed stays open", "error", err)
		}
	}
	a.log(failed)
	a.s.cfg.OnAttempt(a.factor, failed)
}

// withdraw ends it where nothing was verified.
func (a *attempt) withdraw() {
	a.log(withdrawn)
	a.s.cfg.OnAttempt(a.factor, withdrawn)
	a.withdrawAtUser()
	a.s.later("withdraw an attempt", func(ctx context.Context) error { return a.endAtSource(ctx, withdrawn) })
}

func (a *attempt) withdrawAtUser() {
	a.s.later("withdraw an attempt", func(ctx context.Context) error { return a.endAtUser(ctx, withdrawn, 0, nil) })
}

func (a *attempt) complete(ctx context.Context, result string, version int64, proof func(*userv1.CompleteAttempt)) (event.Outcome, error) {
	c := &userv1.CompleteAttempt{Attempt: a.id, Factor: a.factor, Subject: a.who.claim, CredentialVersion: version, Result: result, Origin: proto.CloneOf(a.origin)}
	if proof != nil {
		proof(c)
	}
	return a.s.do(ctx, userType, a.who.user, c, nil)
}

// endAtUser is complete where it does not matter whether the attempt had begun.
func (a *attempt) endAtUser(ctx context.Context, result string, version int64, proof func(*userv1.CompleteAttempt)) error {
	_, err := a.complete(ctx, result, version, proof)
	if rejected(err) != "" {
		return nil
	}
	return err
}

func (a *attempt) endAtSource(ctx context.Context, result string) error {
	_, err := a.s.do(ctx, sourceType, a.source, &sourcev1.CompleteAttempt{Attempt: a.id, Result: result}, nil)
	if rejected(err) != "" {
		return nil
	}
	return err
}

// log notes how the attempt ended. Neither what was tried nor an address is in it; nobody has an ID of their own.
func (a *attempt) log(result string, more ...any) {
	a.s.cfg.Logger.Info("authentication", append([]any{"result", result, "factor", a.factor, "user", a.who.user, "source", a.source, "attempt", a.id}, more...)...)
}

// both runs two functions at the same time.
func both(a, b func()) {
	done := make(chan struct{})
	go func() { defer close(done); b() }()
	a()
	<-done
}
