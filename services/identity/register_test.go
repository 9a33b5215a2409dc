package identity_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/services/identity"
)

// keysOf counts the rows of users' keys that are not decoys'.
func (b *bed) keysOf() (n int) {
	b.t.Helper()
	must(b.t, b.pool.QueryRow(b.t.Context(), "SELECT count(*) FROM keys.user_keys WHERE user_id NOT LIKE 'nobody-%'").Scan(&n))
	return n
}

// Who registers again because the confirmation was lost gets another one, which works, instead of the first one. Who does not give
// the same password does not: the owner of an address must not confirm somebody else's registration. Nothing is left of either.
func TestRegisteringAgainConfirmsAgain(t *testing.T) {
	b := newBed(t, options{})
	c := b.client()
	register := func(plain string) {
		t.Helper()
		c.post("/v1/auth/register", object{"email": ada, "password": plain, "name": "Ada"}).is(202, "")
		b.services[0].Rest()
	}
	register(good)
	first := b.token()
	register(good) // less than a minute later
	if n := len(b.mails); n != 0 {
		t.Errorf("%d mails were sent at once", n)
	}
	b.pass(2 * time.Minute)
	register(other)
	if m := b.mail(); !strings.HasPrefix(m.Subject, "Somebody") {
		t.Errorf("with another password: %q", m.Subject)
	}
	register(good)
	second := b.token()
	c.post("/v1/auth/confirm", object{"token": first}).is(422, "token_invalid")
	c.post("/v1/auth/confirm", object{"token": second}).is(204, "")
	b.known(ada)
	c.login(ada, good).is(200, "")
	b.pass(2 * time.Minute)
	register(good) // confirmed by now
	if m := b.mail(); !strings.HasPrefix(m.Subject, "Somebody") {
		t.Errorf("of an address that is confirmed: %q", m.Subject)
	}
	if n := b.keysOf(); n != 1 {
		t.Errorf("there are %d keys of one user", n)
	}
}

// A confirmation that is sent late holds as long as the address is held, and no longer.
func TestAConfirmationEndsWithTheClaim(t *testing.T) {
	b := newBed(t, options{})
	c := b.client()
	form := object{"email": ada, "password": good, "name": "Ada"}
	c.post("/v1/auth/register", form).is(202, "")
	b.mail()
	b.pass(24*time.Hour + 30*time.Minute)
	c.post("/v1/auth/register", form).is(202, "")
	late := b.token()
	b.pass(29 * time.Minute)
	c.post("/v1/auth/confirm", object{"token": late}).is(204, "")
}

// forgetting forgets a user at the moment at which a field is encrypted.
type forgetting struct {
	identity.Vault
	field  string
	forget func(user string)
}

func (f forgetting) Encrypt(ctx context.Context, user, field string, plain []byte) ([]byte, error) {
	if field == f.field {
		f.forget(user)
	}
	return f.Vault.Encrypt(ctx, user, field, plain)
}

// Who is forgotten in the middle of a login, or of a request, is nobody.
func TestForgottenInTheMiddle(t *testing.T) {
	for field, ask := range map[string]func(c *client){
		"device": func(c *client) { c.login(ada, good).is(401, "invalid_credentials") },
		"totp_seed": func(c *client) {
			c.post("/v1/auth/mfa/totp", object{}).is(401, "unauthenticated")
		},
	} {
		t.Run(field, func(t *testing.T) {
			n := 0
			var b *bed
			b, c, _ := joined(t, options{instances: 2, change: func(cfg *identity.Config) {
				if n++; n == 2 {
					cfg.Vault = forgetting{cfg.Vault, field, func(user string) {
						_, err := b.services[0].Forget(t.Context(), user)
						must(t, err)
					}}
				}
			}})
			c.instance = 1
			ask(c)
			c.access = ""
			c.login(ada, good).is(401, "invalid_credentials")
		})
	}
}
