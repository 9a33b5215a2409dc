package producer

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/event/principal"
	"github.com/cqrsflow/cqrsflow/internal/secret"
)

// standing are Revocations whose answer can be changed.
type standing struct {
	now     atomic.Pointer[func(principal.Principal) (principal.Principal, error)]
	settled atomic.Int64
}

func (s *standing) become(now func(principal.Principal) (principal.Principal, error)) {
	s.now.Store(&now)
}

func (s *standing) Settle(context.Context) { s.settled.Add(1) }

func (s *standing) Now(p principal.Principal, _ time.Time) (principal.Principal, error) {
	if s.settled.Load() == 0 && p.Kind == principal.User {
		return p, errors.New("asked before it had settled")
	}
	return (*s.now.Load())(p)
}

// What a principal was when it signed does not count, but what it is when the command is decided: a role that it has lost is not
// asked with, a revoked one asks nothing, and nobody does while that is not known. A service is nobody's session.
func TestWhoHasBeenRevokedSinceIsDenied(t *testing.T) {
	l := newLab(t, 1)
	k := keyring(t, secret.Generate("a"))
	r, s := &rules{may: everything}, &standing{}
	as := func(p principal.Principal) (principal.Principal, error) { return p, nil }
	s.become(as)
	l.process(func(c *Config) { c.Authorize, c.Principals, c.Revocations = r, k, s })
	p := l.publisher()
	do := func(who principal.Principal) event.Outcome {
		return l.do(p, signed(t, k, who, time.Now(), command("alice", "deposit"), amount(5)), amount(5))
	}
	service := principal.Principal{Kind: principal.Service, ID: "react"}
	if o := do(service); o.Kind != event.Accepted || s.settled.Load() != 0 {
		t.Errorf("a service waits for what it is not about: %+v, %d", o, s.settled.Load())
	}
	if o := do(ada); o.Kind != event.Accepted || s.settled.Load() == 0 {
		t.Fatalf("%+v", o)
	}
	s.become(func(p principal.Principal) (principal.Principal, error) { p.Roles = nil; return p, nil })
	do(ada)
	if got := r.all(); len(got[len(got)-1].Principal.Roles) != 0 || len(got[len(got)-2].Principal.Roles) != 1 {
		t.Errorf("asked with roles %v, before %v", got[len(got)-1].Principal.Roles, got[len(got)-2].Principal.Roles)
	}
	n := len(r.all())
	for _, tc := range []struct {
		err  error
		code string
	}{
		{fmt.Errorf("%w: its session is not known", principal.ErrRevoked), CodePrincipalRevoked},
		{fmt.Errorf("%w: 10.0.0.7 does not answer", event.ErrUnavailable), CodePrincipalUnchecked},
	} {
		s.become(func(p principal.Principal) (principal.Principal, error) { return principal.Principal{}, tc.err })
		o := do(ada)
		if o.Kind != event.Denied || o.Code != tc.code || o.Principal != "user:ada" || len(o.Events) > 0 || o.State != nil {
			t.Errorf("%s: %+v", tc.code, o)
		}
		if tc.code == CodePrincipalUnchecked && o.Message != (&Denial{Code: tc.code}).message() {
			t.Errorf("the caller is told %q", o.Message)
		}
	}
	if len(r.all()) != n {
		t.Error("policies were asked about somebody who does not count")
	}
}
