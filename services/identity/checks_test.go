package identity_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/internal/secret"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
	"github.com/cqrsflow/cqrsflow/services/identity"
	"github.com/cqrsflow/cqrsflow/services/identity/password"
	"github.com/cqrsflow/cqrsflow/services/identity/totp"
)

const ada = "ada@example.org"

// joined is a bed with a user who is logged in, and the user's ID.
func joined(t *testing.T, o options) (*bed, *client, string) {
	t.Helper()
	b := newBed(t, o)
	b.join(ada)
	c := b.client()
	c.login(ada, good).is(200, "")
	return b, c, c.get("/v1/me").is(200, "").str("id")
}

// A password alone has 15 characters at least, up to 64 and more, spaces and Unicode; all of it counts, and what is tried first
// is refused with the reason.
func TestNIST_3_1_1_2_PasswordLength(t *testing.T) {
	b := newBed(t, options{})
	c := b.client()
	for plain, code := range map[string]string{
		"seven lamps ov": "password_too_short", strings.Repeat("q", 5000): "password_too_long",
		"passwordpassword": "password_common", "i am ada lovelace the first": "password_context",
	} {
		a := c.post("/v1/auth/register", object{"email": ada, "password": plain, "name": "Ada Lovelace"}).is(422, code)
		if strings.Contains(a.text, plain) || len(a.body["errors"].([]any)) != 1 {
			t.Errorf("%s", a.text)
		}
	}
	long := strings.Repeat("žluťoučký kůň a šest lamp nad přístavem ", 4)
	c.post("/v1/auth/register", object{"email": ada, "password": long, "name": "Ada"}).is(202, "")
	c.post("/v1/auth/confirm", object{"token": b.token()}).is(204, "")
	b.known(ada)
	c.login(ada, long[:len(long)-1]).is(401, "invalid_credentials")
	c.login(ada, long).is(200, "")
}

// A password holds for as long as its user likes: nobody is made to replace it.
func TestASVS_6_2_10_NoForcedRotation(t *testing.T) {
	b, c, _ := joined(t, options{})
	b.pass(5 * 365 * 24 * time.Hour)
	c.login(ada, good).is(200, "")
	c.get("/v1/me").is(200, "")
}

// Who somebody is, issuer and subject say. Their address does not: it is in no token, and whoever has it later is somebody else.
func TestASVS_10_3_3_IdentityIsIssuerAndSubject(t *testing.T) {
	b, c, id := joined(t, options{})
	claims := func() map[string]any {
		t.Helper()
		var out map[string]any
		body, err := base64.RawURLEncoding.DecodeString(strings.Split(c.access, ".")[1])
		must(t, err)
		must(t, json.Unmarshal(body, &out))
		return out
	}
	first := claims()
	if first["iss"] != "https://id.example" || first["sub"] != id || first["email"] != nil {
		t.Errorf("%v", first)
	}
	for name, v := range first {
		if strings.Contains(fmt.Sprint(v), "@") {
			t.Errorf("%s is %v", name, v)
		}
	}
	old := c.access
	_, err := b.services[0].Forget(t.Context(), id)
	must(t, err)
	b.join(ada)
	b.until("the new owner gets in", func() bool { return c.login(ada, good).status == 200 })
	if next := claims(); next["sub"] == id || next["sub"] == "" {
		t.Errorf("who registers the address later is the same: %v", next)
	}
	c.access = old
	c.get("/v1/me").is(401, "unauthenticated")
}

// A hash of other parameters is replaced when its password is known, and the password goes on fitting.
func TestASVS_11_4_2_RehashOnLogin(t *testing.T) {
	n := 0
	b, c, id := joined(t, options{instances: 2, change: func(cfg *identity.Config) {
		n++
		pool, err := password.NewPool(password.Config{Params: password.Params{Time: uint32(1 + n), Memory: password.Default.Memory, Threads: 1}})
		must(t, err)
		cfg.Passwords = pool
	}})
	c.instance = 1
	c.login(ada, good).is(200, "")
	b.until("the hash is replaced", func() bool {
		return strings.Contains(b.stream("user", id), "user.v1.PasswordRehashed")
	})
	c.login(ada, good).is(200, "")
	c.login(ada, other).is(401, "invalid_credentials")
}

// A change of the password needs the current one, and ends other sessions at once where that is asked for, this one never.
func TestASVS_7_4_3_ChangeEndsOtherSessions(t *testing.T) {
	b, c, _ := joined(t, options{})
	elsewhere := b.client()
	elsewhere.login(ada, good).is(200, "")
	c.post("/v1/auth/password", object{"current": other, "new": other}).is(401, "invalid_credentials")
	c.post("/v1/auth/password", object{"current": good, "new": "too short"}).is(422, "password_too_short")
	c.post("/v1/auth/password", object{"current": good, "new": other, "endOtherSessions": false}).is(204, "")
	elsewhere.get("/v1/me").is(200, "")
	c.post("/v1/auth/password", object{"current": other, "new": good, "endOtherSessions": true}).is(204, "")
	elsewhere.get("/v1/me").is(401, "unauthenticated")
	elsewhere.post("/v1/auth/refresh", object{"refreshToken": elsewhere.refresh}).is(401, "refresh_token_invalid")
	c.get("/v1/me").is(200, "")
	c.post("/v1/auth/refresh", object{"refreshToken": c.refresh}).is(200, "")
}

// A lock holds on login, on the access token, on refresh and on recovery, whichever way; and ends what there was.
func TestASVS_6_3_4_LockHoldsOnEveryPath(t *testing.T) {
	b, c, id := joined(t, options{})
	anonymous := b.client()
	anonymous.post("/v1/auth/password/reset", object{"email": ada}).is(202, "")
	reset := b.token()
	b.pass(2 * time.Minute)
	b.do(id, &userv1.LockUser{Reason: "reported_stolen"})
	if a := anonymous.login(ada, good).is(429, "too_many_attempts"); a.header.Get("Retry-After") != "900" {
		t.Errorf("Retry-After: %s", a.header.Get("Retry-After"))
	}
	c.get("/v1/me").is(401, "unauthenticated")
	c.post("/v1/auth/refresh", object{"refreshToken": c.refresh}).is(401, "refresh_token_invalid")
	anonymous.post("/v1/auth/password/reset", object{"email": ada}).is(202, "")
	anonymous.post("/v1/auth/password/reset/confirm", object{"token": reset, "new": other}).is(422, "token_invalid")
	b.do(id, &userv1.UnlockUser{})
	c.get("/v1/me").is(401, "unauthenticated")
	anonymous.login(ada, good).is(200, "")
	select {
	case m := <-b.mails:
		t.Errorf("a mail was sent while locked: %s", m.Subject)
	default:
	}
}

// Nobody learns at login, registration or reset whether an account is there: same status, same headers, same body.
func TestASVS_6_3_8_KnownAndUnknownAlike(t *testing.T) {
	b, _, _ := joined(t, options{})
	known, unknown := b.client(), b.client()
	known.source, unknown.source = "192.0.2.10:1", "192.0.2.11:1"
	same := func(what string, x, y answer) {
		t.Helper()
		for _, a := range []answer{x, y} {
			a.header.Del("Cqrs-Trace-Id")
			delete(a.body, "traceId")
		}
		if x.status != y.status || len(x.header) != len(y.header) || x.header.Get("Retry-After") != y.header.Get("Retry-After") || len(x.body) != len(y.body) {
			t.Errorf("%s: %d %v %v for a known account, %d %v %v for an unknown one", what, x.status, x.header, x.body, y.status, y.header, y.body)
		}
		for name, v := range x.body {
			if y.body[name] != v {
				t.Errorf("%s: %s is %v for a known account, %v for an unknown one", what, name, v, y.body[name])
			}
		}
	}
	statuses := map[int]int{}
	for i := range 14 {
		x, y := known.login(ada, other), unknown.login("nobody@example.org", other)
		statuses[x.status]++
		same("login", x, y)
		b.pass(time.Duration(i%4) * 700 * time.Millisecond)
	}
	if statuses[401] < 4 || statuses[429] < 4 {
		t.Errorf("%v: the test shows less than it should", statuses)
	}
	b.pass(time.Hour)
	same("reset", known.post("/v1/auth/password/reset", object{"email": ada}), unknown.post("/v1/auth/password/reset", object{"email": "nobody@example.org"}))
	same("reset again", known.post("/v1/auth/password/reset", object{"email": ada}), unknown.post("/v1/auth/password/reset", object{"email": "nobody@example.org"}))
	form := func(email string) object { return object{"email": email, "password": good, "name": "Ada"} }
	same("register", known.post("/v1/auth/register", form(ada)), unknown.post("/v1/auth/register", form("new@example.org")))
	b.pass(2 * time.Minute)
	same("register again", known.post("/v1/auth/register", form(ada)), unknown.post("/v1/auth/register", form("new@example.org")))
	// The owners learn more, by mail: the reset, a warning for each registration of a taken address, and, as it is not confirmed, the
	// confirmation again.
	subjects := map[string]int{}
	for range 5 {
		m := b.mail()
		subjects[m.To+" "+strings.Fields(m.Subject)[0]]++
	}
	if subjects[ada+" A"] != 1 || subjects[ada+" Somebody"] != 2 || subjects["new@example.org Confirm"] != 2 {
		t.Errorf("mails: %v", subjects)
	}
}

// Who has a role that demands a second factor has no role in a session without one; setting one up and logging in with it gives it.
func TestASVS_6_3_3_RolesNeedTheSecondFactor(t *testing.T) {
	b, c, id := joined(t, options{})
	b.do(id, &userv1.SetRoles{Roles: []string{"admin"}})
	roles := func() any { return c.get("/v1/me").is(200, "").body["roles"] }
	c.login(ada, good).is(200, "")
	if got := roles().([]any); len(got) != 0 {
		t.Errorf("without a second factor: %v", got)
	}
	claims, err := b.verify(c.access)
	if err != nil || len(claims.Roles) != 0 {
		t.Errorf("%v, %v", claims.Roles, err)
	}
	seed, _ := c.enrol()
	b.pass(time.Minute)
	challenge := c.login(ada, good).is(200, "").str("challenge")
	c.keep(c.post("/v1/auth/mfa", object{"challenge": challenge, "code": totp.Code(seed, b.now())}).is(200, ""))
	if got := roles().([]any); len(got) != 1 || got[0] != "admin" {
		t.Errorf("with it: %v", got)
	}
	if claims, err = b.verify(c.access); err != nil || len(claims.Roles) != 1 || claims.Subject != id {
		t.Errorf("%v, %v", claims, err)
	}
	c.send("DELETE", "/v1/auth/mfa/totp", nil).is(409, "mfa_required")
}

// A factor is changed only within five minutes of a login with all factors.
func TestASVS_7_5_1_FactorChangesNeedALogin(t *testing.T) {
	b, c, _ := joined(t, options{})
	b.pass(4 * time.Minute)
	c.post("/v1/auth/mfa/totp", object{}).is(200, "")
	b.pass(61 * time.Second)
	c.keep(c.post("/v1/auth/refresh", object{"refreshToken": c.refresh}).is(200, "")) // a new token is no new login
	c.post("/v1/auth/mfa/totp", object{}).is(403, "reauthentication_required")
	c.post("/v1/auth/mfa/totp/activate", object{"code": "123456"}).is(422, "totp_code_invalid")
}

// Who can read the owner's mail gets past the password, and not past the second factor; a challenge of before is void.
func TestASVS_6_4_3_ResetKeepsTheSecondFactor(t *testing.T) {
	b, c, _ := joined(t, options{})
	seed, _ := c.enrol()
	b.pass(time.Minute)
	before := c.login(ada, good).is(200, "").str("challenge")
	c.post("/v1/auth/password/reset", object{"email": ada}).is(202, "")
	c.post("/v1/auth/password/reset/confirm", object{"token": b.token(), "new": other}).is(204, "")
	c.post("/v1/auth/mfa", object{"challenge": before, "code": totp.Code(seed, b.now())}).is(401, "challenge_invalid")
	a := c.login(ada, other).is(200, "")
	if a.body["mfaRequired"] != true || a.body["accessToken"] != nil {
		t.Errorf("%s", a.text)
	}
	b.pass(6 * time.Minute)
	c.post("/v1/auth/mfa", object{"challenge": a.str("challenge"), "code": totp.Code(seed, b.now())}).is(401, "challenge_invalid")
}

// A session ends after an hour without a refresh, and after a day whatever is done; its access tokens with it.
func TestASVS_7_3_1_IdleAndAbsolute(t *testing.T) {
	b, c, _ := joined(t, options{})
	for range 24*60/55 + 1 {
		b.pass(55 * time.Minute)
		a := c.post("/v1/auth/refresh", object{"refreshToken": c.refresh})
		if a.status != 200 {
			break
		}
		c.keep(a)
	}
	if passed := b.now().Sub(begin); passed < 24*time.Hour || passed > 25*time.Hour {
		t.Errorf("the session ended after %v", passed)
	}
	c.login(ada, good).is(200, "")
	b.pass(61 * time.Minute)
	c.post("/v1/auth/refresh", object{"refreshToken": c.refresh}).is(401, "refresh_token_invalid")
	c.get("/v1/me").is(401, "unauthenticated")
	c.login(ada, good).is(200, "")
	b.pass(6 * time.Minute)
	c.get("/v1/me").is(401, "unauthenticated") // five minutes, and what clocks may differ
	c.keep(c.post("/v1/auth/refresh", object{"refreshToken": c.refresh}).is(200, ""))
	c.get("/v1/me").is(200, "")
}

// Every authentication and every refresh makes new tokens, which say nothing that could be guessed.
func TestASVS_7_2_4_NewTokens(t *testing.T) {
	_, c, _ := joined(t, options{})
	seen := map[string]bool{c.access: true, c.refresh: true}
	for range 3 {
		c.login(ada, good).is(200, "")
		c.access = ""
		a := c.post("/v1/auth/refresh", object{"refreshToken": c.refresh}).is(200, "")
		for _, s := range []string{c.refresh, a.str("accessToken"), a.str("refreshToken")} {
			if seen[s] {
				t.Error("a token was given twice")
			}
			seen[s] = true
		}
	}
}

// After a logout, an end of the account, and erasure: no token of it lives.
func TestASVS_7_4_1_TokensDie(t *testing.T) {
	b, c, id := joined(t, options{})
	dead := func() {
		t.Helper()
		c.get("/v1/me").is(401, "unauthenticated")
		c.post("/v1/auth/refresh", object{"refreshToken": c.refresh}).is(401, "refresh_token_invalid")
	}
	c.post("/v1/auth/logout", nil).is(204, "")
	dead()
	c.login(ada, good).is(200, "")
	b.do(id, &userv1.DisableUser{Reason: "left_company"})
	dead()
	c.access = ""
	c.login(ada, good).is(429, "too_many_attempts")
	b.do(id, &userv1.ForgetUser{})
	dead()
	c.access = ""
	c.login(ada, good).is(401, "invalid_credentials")
}

// Users see and end their own sessions, and nobody else's.
func TestASVS_7_5_2_OwnSessions(t *testing.T) {
	b, c, _ := joined(t, options{})
	b.join("eve@example.org")
	eve := b.client()
	eve.login("eve@example.org", good).is(200, "")
	elsewhere := b.client()
	elsewhere.login(ada, good).is(200, "")
	var items []any
	b.until("both sessions are shown", func() bool {
		items = c.get("/v1/auth/sessions").is(200, "").body["items"].([]any)
		return len(items) == 2
	})
	for _, item := range items {
		s := item.(object)
		if s["current"] == true {
			eve.send("DELETE", "/v1/auth/sessions/"+s["id"].(string), nil).is(404, "not_found")
			continue
		}
		c.send("DELETE", "/v1/auth/sessions/"+s["id"].(string), nil).is(204, "")
		c.send("DELETE", "/v1/auth/sessions/"+s["id"].(string), nil).is(204, "")
	}
	elsewhere.get("/v1/me").is(401, "unauthenticated")
	c.get("/v1/me").is(200, "")
	eve.get("/v1/me").is(200, "")
}

// A page of another site can change nothing.
func TestASVS_3_5_1_CrossOrigin(t *testing.T) {
	_, c, _ := joined(t, options{})
	c.header.Set("Sec-Fetch-Site", "cross-site")
	c.post("/v1/auth/logout", nil).is(403, "cross_origin")
	c.login(ada, good).is(403, "cross_origin")
	c.header.Del("Sec-Fetch-Site")
	c.header.Set("Origin", "https://evil.example")
	c.login(ada, good).is(403, "cross_origin")
}

// A refresh token is no access token, and the reverse.
func TestRFC8725_3_11_TokensAreNotConfused(t *testing.T) {
	_, c, _ := joined(t, options{})
	access, refresh := c.access, c.refresh
	c.post("/v1/auth/refresh", object{"refreshToken": access}).is(401, "refresh_token_invalid")
	for _, token := range []string{refresh, strings.Split(refresh, ".")[0], access + "x", "", "x.y.z"} {
		c.access = token
		c.get("/v1/me").is(401, "unauthenticated")
	}
	c.access = access
	c.get("/v1/me").is(200, "")
}

// An older refresh token revokes the session: one of the two who have it should not.
func TestRFC9700_4_14_2_ReuseRevokes(t *testing.T) {
	b, c, _ := joined(t, options{})
	stolen := c.refresh
	for range 2 {
		c.keep(c.post("/v1/auth/refresh", object{"refreshToken": c.refresh}).is(200, ""))
		b.pass(11 * time.Second)
	}
	c.post("/v1/auth/refresh", object{"refreshToken": stolen}).is(401, "refresh_token_invalid")
	c.get("/v1/me").is(401, "unauthenticated")
	c.post("/v1/auth/refresh", object{"refreshToken": c.refresh}).is(401, "refresh_token_invalid")
	if !strings.Contains(b.log.String(), "used again") {
		t.Error("nothing is logged")
	}
}

// What a client says about its address counts from a trusted proxy only, and then what stands nearest to it.
func TestASVS_4_1_3_ForwardedIsNotBelieved(t *testing.T) {
	b := newBed(t, options{change: func(c *identity.Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} }})
	source := func(remote string, header ...string) string {
		t.Helper()
		c := b.client()
		c.source = remote
		for i := 0; i < len(header); i += 2 {
			c.header.Add(header[i], header[i+1])
		}
		from := len(b.log.String())
		c.login("nobody@example.org", other)
		_, line, _ := strings.Cut(b.log.String()[from:], `"source":"`)
		name, _, _ := strings.Cut(line, `"`)
		b.pass(20 * time.Minute)
		return name
	}
	direct := source("203.0.113.7:1")
	for what, same := range map[string]bool{
		source("203.0.113.7:2", "X-Forwarded-For", "198.51.100.1"):                                   true,
		source("203.0.113.7:2", "X-User-ID", "admin", "X-Real-IP", "198.51.100.1"):                   true,
		source("10.1.2.3:1", "X-Forwarded-For", "203.0.113.7"):                                       true,
		source("10.1.2.3:1", "X-Forwarded-For", "198.51.100.1, 203.0.113.7, 10.9.9.9"):               true,
		source("10.1.2.3:1", "X-Forwarded-For", "198.51.100.1", "X-Forwarded-For", "203.0.113.7:80"): true,
		source("10.1.2.3:1", "X-Forwarded-For", "203.0.113.8"):                                       false,
		source("10.1.2.3:1", "Forwarded", "for=203.0.113.7"):                                         false,
		source("10.1.2.3:1"): false,
	} {
		if (what == direct) != same {
			t.Errorf("%q is %q: %v", what, direct, !same)
		}
	}
}

// overloaded is a pool that has no room.
type overloaded struct{ identity.Passwords }

func (overloaded) Verify(context.Context, secret.Text, string) (bool, error) {
	return false, password.ErrOverloaded
}

// Where hashing is overloaded nobody gets in and nobody is counted: the owner is not slowed down.
func TestASVS_15_2_2_HashingIsBounded(t *testing.T) {
	n := 0
	_, c, _ := joined(t, options{instances: 2, change: func(cfg *identity.Config) {
		if n++; n == 2 {
			cfg.Passwords = overloaded{cfg.Passwords}
		}
	}})
	c.instance = 1
	for range 30 {
		a := c.login(ada, good)
		if a.status == 429 { // the attempts before are being withdrawn
			continue
		}
		if a.is(503, "unavailable").header.Get("Retry-After") == "" {
			t.Error("there is no Retry-After")
		}
	}
	c.instance = 0
	c.b.until("what was not verified does not count", func() bool { return c.login(ada, good).status == 200 })
}

// Without processors: 503 and nothing but that, nobody gets in, and nobody has failed.
func TestASVS_16_5_1_FailClosed(t *testing.T) {
	n := 0
	b, c, _ := joined(t, options{instances: 2, change: func(cfg *identity.Config) {
		if n++; n == 2 {
			cfg.Timeout = 2 * time.Second // for what is not going to be answered
		}
	}})
	c.instance = 1
	b.stopProcessors()
	for range 5 {
		c.get("/v1/me").is(503, "unavailable")
		a := c.post("/v1/auth/login", object{"email": ada, "password": good}).is(503, "unavailable")
		if strings.Contains(a.text, "user/") || strings.Contains(a.text, "outcome") {
			t.Errorf("the answer says too much: %s", a.text)
		}
	}
	c.post("/v1/auth/refresh", object{"refreshToken": c.refresh}).is(503, "unavailable")
	c.post("/v1/auth/password/reset", object{"email": ada}).is(503, "unavailable")
	b.startProcessor("again")
	c = b.client() // without the cookie of a known device, which no failure would slow down
	b.until("the owner gets in, whose attempts did not count", func() bool { return c.login(ada, good).status == 200 })
	b.pass(2 * time.Minute)
	c.login(ada, good).is(200, "")
	if events := b.stream("user", c.get("/v1/me").str("id")); strings.Contains(events, "AttemptFailed") || strings.Contains(events, "AttemptExpired") {
		t.Errorf("an outage counts as failures: %s", events)
	}
}

// Nothing is kept by caches; unknown fields, other types, other methods and other paths are answered as problems.
func TestASVS_14_3_2_NoStoreAndProblems(t *testing.T) {
	b := newBed(t, options{})
	c := b.client()
	for _, tc := range []struct {
		a      answer
		status int
		code   string
	}{
		{c.post("/v1/auth/login", object{"email": ada, "password": good, "remember": true}), 400, "malformed_request"},
		{c.post("/v1/auth/login", `{"email":"a@b.c","password":"x"}{}`), 400, "malformed_request"},
		{c.post("/v1/auth/login", `{"email":1}`), 400, "malformed_request"},
		{c.post("/v1/auth/login", `[]`), 400, "malformed_request"},
		{c.post("/v1/auth/login", nil), 415, "unsupported_media_type"},
		{c.post("/v1/auth/login", `{"email":"`+strings.Repeat("a", 40<<10)+`"}`), 413, "request_too_large"},
		{c.post("/v1/auth/login", object{"email": "ada", "password": good}), 422, "invalid_request"},
		{c.post("/v1/auth/register", object{"email": ada, "password": good, "name": "a\nb"}), 422, "invalid_request"},
		{c.post("/v1/auth/confirm", object{"token": "x"}), 422, "token_invalid"},
		{c.get("/v1/auth/login"), 405, "method_not_allowed"},
		{c.get("/v1/auth/nothing"), 404, "not_found"},
		{c.get("/v1/users/ada/events"), 404, "unknown_aggregate"},
		{c.post("/v1/users/ada/lock-me", object{}), 404, "unknown_aggregate"},
		{c.get("/v1/me"), 401, "unauthenticated"},
		{c.get("/v1/auth/sessions"), 401, "unauthenticated"},
		{c.post("/v1/auth/mfa/totp", object{}), 401, "unauthenticated"},
	} {
		a := tc.a.is(tc.status, tc.code)
		if a.header.Get("Cache-Control") != "no-store" || a.header.Get("Content-Type") != "application/problem+json" || a.str("traceId") == "" {
			t.Errorf("%s: %v", a.text, a.header)
		}
		if strings.Contains(a.text, good) {
			t.Errorf("the answer quotes the password: %s", a.text)
		}
	}
	jwks := c.get("/.well-known/jwks.json").is(200, "")
	if key := jwks.body["keys"].([]any)[0].(object); key["kty"] != "OKP" || key["d"] != nil {
		t.Errorf("%s", jwks.text)
	}
}

// Every authentication is logged with its factor and its result; passwords, codes, tokens and addresses are not, and a client
// cannot forge a line.
func TestASVS_16_2_1_AuthenticationsAreLogged(t *testing.T) {
	b, c, id := joined(t, options{})
	c.header.Set("User-Agent", "evil\n{\"level\":\"INFO\",\"msg\":\"forged\"}")
	c.login(ada, other).is(401, "invalid_credentials")
	c.login(ada, good).is(200, "")
	seed, recovery := c.enrol()
	b.pass(time.Minute)
	challenge := c.login(ada, good).str("challenge")
	code := totp.Code(seed, b.now())
	c.keep(c.post("/v1/auth/mfa", object{"challenge": challenge, "code": code}).is(200, ""))
	log := b.log.String()
	for _, want := range []string{`"result":"failed","factor":"password","user":"` + id, `"result":"succeeded","factor":"password","user":"` + id,
		`"result":"succeeded","factor":"totp","user":"` + id, `"what":"totp_activated"`} {
		if !strings.Contains(log, want) {
			t.Errorf("%s is not logged", want)
		}
	}
	for _, secret := range []string{good, other, ada, "example.org", code, challenge, c.access, c.refresh, recovery[0], seed.Base32(), "192.0.2.1", "forged"} {
		if strings.Contains(log, secret) {
			t.Errorf("%q is logged", secret)
		}
	}
}

// The only cookie, which makes a device known, goes to this host over TLS alone, and to no script and no other site.
func TestASVS_3_3_1_DeviceCookie(t *testing.T) {
	b, c, _ := joined(t, options{})
	if len(c.cookies) != 1 {
		t.Fatalf("%d cookies", len(c.cookies))
	}
	k := c.cookies[0]
	if !strings.HasPrefix(k.Name, "__Host-") || !k.Secure || !k.HttpOnly || k.SameSite != http.SameSiteStrictMode || k.Path != "/" || k.Domain != "" {
		t.Errorf("%v", k)
	}
	// Who attacks the account slows down everybody but this device.
	stranger := b.client()
	stranger.source = "192.0.2.77:1"
	for range 6 {
		stranger.login(ada, other)
	}
	stranger.login(ada, good).is(429, "too_many_attempts")
	c.login(ada, good).is(200, "")
}
