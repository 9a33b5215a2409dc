package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/event/principal"
	"github.com/cqrsflow/cqrsflow/internal/secret"
	"github.com/cqrsflow/cqrsflow/services/gateway"
	"github.com/cqrsflow/cqrsflow/services/identity/token"
)

var issued = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// verifier takes "<user>" for the token of a clerk.
type verifier struct{ err error }

func (v verifier) Verify(_ context.Context, t secret.Text) (token.Claims, error) {
	if v.err != nil {
		return token.Claims{}, v.err
	}
	return token.Claims{Subject: t.Reveal(), Session: "s-" + t.Reveal(), Roles: []string{"clerk", "customer"}, IssuedAt: issued}, nil
}

// standing answers one after the other.
type standing struct {
	answers []error
	roles   []string
	settled int
	at      time.Time
}

func (s *standing) Settle(context.Context) { s.settled++ }

func (s *standing) Now(p principal.Principal, at time.Time) (principal.Principal, error) {
	s.at = at
	var err error
	if len(s.answers) > 0 {
		err, s.answers = s.answers[0], s.answers[1:]
	}
	if s.roles != nil {
		p.Roles = s.roles
	}
	return p, err
}

const operator = "a token of the operator"

func ask(t *testing.T, cfg Config, headers ...string) (gateway.Caller, error) {
	t.Helper()
	b, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/?access_token=ada", nil)
	for _, h := range headers {
		r.Header.Add("Authorization", h)
	}
	return b.Authenticate(t.Context(), r)
}

func TestWhoAsks(t *testing.T) {
	stale := fmt.Errorf("%w: stale", event.ErrUnavailable)
	for name, tc := range map[string]struct {
		verifier verifier
		standing standing
		headers  []string
		want     string
		err      error
	}{
		"a user":                               {headers: []string{"Bearer ada"}, want: "user:ada s-ada [clerk customer]"},
		"in whatever case":                     {headers: []string{"bEARER  ada "}, want: "user:ada s-ada [clerk customer]"},
		"the operator":                         {headers: []string{"Bearer " + operator}, want: "service:cli  []"},
		"the operator, while users are unsure": {headers: []string{"Bearer " + operator}, standing: standing{answers: []error{stale}}, want: "service:cli  []"},
		"nothing, and a token in the URL":      {err: gateway.ErrUnauthenticated},
		"no token":                             {headers: []string{"Bearer "}, err: gateway.ErrUnauthenticated},
		"another scheme":                       {headers: []string{"Basic ada"}, err: gateway.ErrUnauthenticated},
		"two headers":                          {headers: []string{"Bearer ada", "Bearer bea"}, err: gateway.ErrUnauthenticated},
		"refused":                              {verifier: verifier{token.ErrRefused}, headers: []string{"Bearer ada"}, err: gateway.ErrUnauthenticated},
		"no keys to verify with":               {verifier: verifier{errors.New("10.0.0.7")}, headers: []string{"Bearer ada"}, err: event.ErrUnavailable},
		"revoked":                              {standing: standing{answers: []error{principal.ErrRevoked}}, headers: []string{"Bearer ada"}, err: gateway.ErrUnauthenticated},
		"fewer roles than the token says":      {standing: standing{roles: []string{"customer"}}, headers: []string{"Bearer ada"}, err: gateway.ErrUnauthenticated},
		"the feed is stale":                    {standing: standing{answers: []error{stale}}, headers: []string{"Bearer ada"}, err: event.ErrUnavailable},
		"just begun":                           {standing: standing{answers: []error{principal.ErrUnseen}}, headers: []string{"Bearer ada"}, want: "user:ada s-ada [clerk customer]"},
		"over long ago":                        {standing: standing{answers: []error{principal.ErrUnseen, principal.ErrUnseen}}, headers: []string{"Bearer ada"}, err: gateway.ErrUnauthenticated},
	} {
		c, err := ask(t, Config{Users: tc.verifier, Standing: &tc.standing, Operator: secret.Of(operator), Service: "cli"}, tc.headers...)
		if !errors.Is(err, tc.err) || tc.err == nil && err != nil {
			t.Errorf("%s: %v, want %v", name, err, tc.err)
		}
		if got := fmt.Sprintf("%s %s %v", c.Principal(), c.Session, c.Roles); tc.err == nil && got != tc.want || tc.err != nil && !c.Anonymous() {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), operator) {
			t.Errorf("%s: the token is in the error: %v", name, err)
		}
		if len(tc.standing.answers) == 0 && !tc.standing.at.IsZero() && !tc.standing.at.Equal(issued) {
			t.Errorf("%s: asked what was at %v", name, tc.standing.at)
		}
	}
}

func TestWithoutAnOperatorNobodyIsIt(t *testing.T) {
	if c, err := ask(t, Config{Users: verifier{token.ErrRefused}, Standing: &standing{}}, "Bearer  "); err == nil {
		t.Errorf("an empty token is %+v", c)
	}
	if c, err := ask(t, Config{Operator: secret.Of(operator), Service: "cli"}, "Bearer ada"); !errors.Is(err, gateway.ErrUnauthenticated) {
		t.Errorf("%+v, %v", c, err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for name, c := range map[string]Config{
		"nobody":                    {},
		"users, and no standing":    {Users: verifier{}},
		"a token that is too short": {Operator: secret.Of("operator"), Service: "cli"},
		"a token of nobody":         {Operator: secret.Of(operator)},
	} {
		if _, err := New(c); !errors.Is(err, event.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
