package identity_test

import (
	"encoding/base32"
	"strings"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/services/identity/totp"
)

func seedOf(t testing.TB, text string) totp.Seed {
	t.Helper()
	b, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(text)
	must(t, err)
	seed, err := totp.ParseSeed(b)
	must(t, err)
	return seed
}

// The whole way of a user.
func TestFlow(t *testing.T) {
	b := newBed(t, options{})
	c := b.client()
	c.post("/v1/auth/register", object{"email": "Ada@Example.org", "password": good, "name": "Ada"}).is(202, "")
	confirmation := b.token()
	b.known("ada@example.org")
	c.login("ada@example.org", good).is(403, "email_not_confirmed")
	c.post("/v1/auth/confirm", object{"token": confirmation}).is(204, "")
	c.post("/v1/auth/confirm", object{"token": confirmation}).is(204, "")
	c.login("ada@example.org", other).is(401, "invalid_credentials")
	c.login("ADA@example.org", good).is(200, "")
	me := c.get("/v1/me").is(200, "")
	if me.str("email") != "ada@example.org" || me.str("name") != "Ada" {
		t.Errorf("%s", me.text)
	}
	if a := c.get("/v1/auth/sessions").is(200, ""); a.header.Get("Cache-Control") != "no-store" {
		t.Errorf("Cache-Control: %s", a.header.Get("Cache-Control"))
	}
	first := c.refresh
	c.keep(c.post("/v1/auth/refresh", object{"refreshToken": first}).is(200, ""))
	second := c.refresh
	c.keep(c.post("/v1/auth/refresh", object{"refreshToken": first}).is(200, ""))
	if c.refresh != second {
		t.Error("a retry gets another successor")
	}

	// A second factor, and a login with it.
	seed, recovery := c.enrol()
	c.post("/v1/auth/mfa/totp", object{}).is(403, "reauthentication_required") // with the factor there is now, too
	b.pass(time.Minute)
	challenge := c.login("ada@example.org", good).is(200, "").str("challenge")
	c.access = ""
	c.post("/v1/auth/mfa", object{"challenge": challenge, "code": "000000"}).is(401, "invalid_credentials")
	c.post("/v1/auth/mfa", object{"challenge": challenge + "x", "code": "000000"}).is(401, "challenge_invalid")
	code := totp.Code(seed, b.now())
	c.keep(c.post("/v1/auth/mfa", object{"challenge": challenge, "code": code}).is(200, ""))
	c.get("/v1/me").is(200, "")
	c.post("/v1/auth/mfa", object{"challenge": challenge, "code": code}).is(401, "invalid_credentials")
	c.keep(c.post("/v1/auth/mfa", object{"challenge": challenge, "code": strings.ToLower(recovery[3])}).is(200, ""))
	c.post("/v1/auth/mfa", object{"challenge": challenge, "code": recovery[3]}).is(401, "invalid_credentials")
	if got := c.get("/v1/me").is(200, "").body["mfa"].(object)["recoveryCodesLeft"]; got != 9.0 {
		t.Errorf("%v recovery codes are left", got)
	}
	again := c.post("/v1/auth/mfa/recovery-codes", object{}).is(200, "")
	if again.body["recoveryCodes"].([]any)[0] == recovery[0] {
		t.Error("the recovery codes are the same")
	}
	c.send("DELETE", "/v1/auth/mfa/totp", nil).is(204, "")
	c.login("ada@example.org", good).is(200, "")

	// The sessions so far, and their end.
	b.until("all sessions are shown", func() bool { return len(c.get("/v1/auth/sessions").is(200, "").body["items"].([]any)) == 4 })
	c.post("/v1/auth/password", object{"current": other, "new": "three cranes beside a mill", "endOtherSessions": true}).is(401, "invalid_credentials")
	c.post("/v1/auth/password", object{"current": good, "new": other, "endOtherSessions": true}).is(204, "")
	b.until("this one is left", func() bool { return len(c.get("/v1/auth/sessions").is(200, "").body["items"].([]any)) == 1 })
	c.post("/v1/auth/logout", nil).is(204, "")
	c.get("/v1/me").is(401, "unauthenticated")
	c.post("/v1/auth/refresh", object{"refreshToken": c.refresh}).is(401, "refresh_token_invalid")

	// A password that was forgotten.
	c.access = ""
	c.post("/v1/auth/password/reset", object{"email": "ada@example.org"}).is(202, "")
	reset := b.token()
	c.login("ada@example.org", other).is(200, "")
	c.post("/v1/auth/password/reset/confirm", object{"token": reset, "new": "short"}).is(422, "password_too_short")
	c.post("/v1/auth/password/reset/confirm", object{"token": reset, "new": good}).is(204, "")
	c.post("/v1/auth/password/reset/confirm", object{"token": reset, "new": good}).is(422, "token_invalid")
	c.get("/v1/me").is(401, "unauthenticated")
	c.post("/v1/auth/refresh", object{"refreshToken": c.refresh}).is(401, "refresh_token_invalid")
	c.login("ada@example.org", other).is(401, "invalid_credentials")
	c.login("ada@example.org", good).is(200, "")
}
