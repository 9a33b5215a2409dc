package identity_test

import (
	"bytes"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/internal/planted"
	"github.com/cqrsflow/cqrsflow/producer"
	"github.com/cqrsflow/cqrsflow/services/identity"
	"github.com/cqrsflow/cqrsflow/services/identity/totp"
)

// What people entrust to identity stands in clear nowhere: not in Kafka's records, committed or not, nor in the local stores,
// PostgreSQL, logs, labels of metrics and errors. Each of these is looked at to have something of the user at all.
func TestASVS_14_2_4_PlantedValues(t *testing.T) {
	var labels struct {
		sync.Mutex
		text strings.Builder
	}
	b := newBed(t, options{
		change: func(c *identity.Config) {
			c.OnAttempt = func(factor, result string) {
				labels.Lock()
				defer labels.Unlock()
				labels.text.WriteString(factor + " " + result + "\n")
			}
		},
		processor: func(c *producer.Config) { c.RoundEvents, c.RoundAge = 4, time.Second }, // so that there are snapshots
	})
	const address, name, first, second = "Planted.Person@example.org", "Ada Planted-Lovelace", "seven odd lamps over nine quays", "eight odd bells under a pier"
	p := planted.Values{}
	p.Add("address", []byte(address))
	p.Add("address", []byte(strings.ToLower(address)))
	p.Add("local part", []byte("planted.person"))
	p.Add("name", []byte(name))
	p.Add("password", []byte(first))
	p.Add("new password", []byte(second))
	p.Add("wrong password", []byte("a guess that somebody made"))
	p.Add("hash of a password", []byte("$argon2id$"))
	p.Add("user agent", []byte("PlantedBrowser/7"))
	p.Add("source", []byte("203.0.113.77"))

	c := b.client()
	c.source = "203.0.113.77:4711"
	c.header.Set("User-Agent", "PlantedBrowser/7")
	var answers bytes.Buffer // those that refuse
	refused := func(a answer, status int) {
		t.Helper()
		if a.status != status {
			t.Fatalf("%d %s", a.status, a.text)
		}
		answers.WriteString(a.text)
	}
	mailed := func(what string) string {
		t.Helper()
		text := b.token()
		must(t, p.AddToken(what, text))
		return text
	}
	c.post("/v1/auth/register", object{"email": address, "password": first, "name": name}).is(202, "")
	c.post("/v1/auth/confirm", object{"token": mailed("confirmation")}).is(204, "")
	b.known(address)
	c.post("/v1/auth/register", object{"email": address, "password": first, "name": name}).is(202, "") // it is taken
	b.mail()
	refused(c.login(address, "a guess that somebody made"), 401)
	refused(c.post("/v1/auth/login", object{"email": address, "password": first, "more": first}), 400)
	refused(c.post("/v1/auth/login", `{"email": "`+address+`", "password": ["`+first+`"]}`), 400)
	refused(c.post("/v1/auth/register", object{"email": address, "password": "planted", "name": name}), 422)
	c.login(address, first).is(200, "")
	id := c.get("/v1/me").is(200, "").str("id")
	seed, recovery := c.enrol()
	p.Add("TOTP seed", seed.Bytes())
	p.Add("TOTP seed", []byte(seed.Base32()))
	for _, code := range recovery {
		p.Add("recovery code", []byte(code))
		p.Add("recovery code", []byte(strings.ReplaceAll(code, "-", "")))
	}
	b.pass(time.Minute)
	challenge := c.login(address, first).str("challenge")
	c.keep(c.post("/v1/auth/mfa", object{"challenge": challenge, "code": totp.Code(seed, b.now())}).is(200, ""))
	c.keep(c.post("/v1/auth/mfa", object{"challenge": challenge, "code": recovery[0]}).is(200, ""))
	refused(c.post("/v1/auth/mfa", object{"challenge": challenge, "code": recovery[0]}), 401)
	must(t, p.AddToken("access token", c.access))
	must(t, p.AddToken("refresh token", c.refresh))
	used := c.refresh
	c.keep(c.post("/v1/auth/refresh", object{"refreshToken": used}).is(200, ""))
	must(t, p.AddToken("access token", c.access))
	must(t, p.AddToken("refresh token", c.refresh))
	p.Add("challenge", []byte(challenge))
	for _, cookie := range c.cookies {
		must(t, p.AddToken("device", cookie.Value))
	}
	c.post("/v1/auth/password", object{"current": first, "new": second}).is(204, "")
	b.pass(2 * time.Minute)
	c.post("/v1/auth/password/reset", object{"email": address}).is(202, "")
	c.post("/v1/auth/password/reset/confirm", object{"token": mailed("reset"), "new": first}).is(204, "")
	refused(c.post("/v1/auth/refresh", object{"refreshToken": c.refresh}), 401)
	refused(c.get("/v1/me"), 401)
	b.until("the session is in the read model, and revoked", func() bool {
		var n int
		return b.pool.QueryRow(t.Context(), "SELECT count(*) FROM sessions WHERE user_id = $1 AND revoked_at IS NOT NULL", id).Scan(&n) == nil && n >= 3
	})

	b.stopProcessors()
	look := func(where string, has bool, data []byte) {
		t.Helper()
		for _, what := range p.In(data) {
			t.Errorf("the %s stands in clear in %s", what, where)
		}
		if !has {
			t.Errorf("nothing of the user stands in %s: the test looks at the wrong thing", where)
		}
	}
	kinds := regexp.MustCompile(`\.(commands|events|outcomes|snapshots)$`)
	for _, what := range []string{"commands", "events", "outcomes", "snapshots", ""} {
		data, err := planted.Records(t.Context(), b.kafka, func(topic string) bool { return strings.TrimPrefix(kinds.FindString(topic), ".") == what })
		must(t, err)
		look("the topics of "+what, what == "" || bytes.Contains(data, []byte(id)), data)
	}
	files, entries, err := planted.Stores(b.dirs...)
	must(t, err)
	look("the files of the local stores", len(files) > 0, files)
	look("the local stores", bytes.Contains(entries, []byte(id)), entries)
	rows, err := planted.Rows(t.Context(), b.pool)
	must(t, err)
	look("PostgreSQL", bytes.Contains(rows, []byte(id)), rows)
	look("the log", strings.Contains(b.log.String(), id), []byte(b.log.String()))
	labels.Lock()
	defer labels.Unlock()
	look("the labels of metrics", strings.Contains(labels.text.String(), "totp succeeded"), []byte(labels.text.String()))
	look("answers that refuse", answers.Len() > 0, answers.Bytes())
}
