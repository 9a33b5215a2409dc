package identity_test

import (
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/internal/planted"
	"github.com/cqrsflow/cqrsflow/internal/secret"
	"github.com/cqrsflow/cqrsflow/services/identity"
	"github.com/cqrsflow/cqrsflow/services/identity/totp"
	"github.com/cqrsflow/cqrsflow/services/identity/vault"
)

const boss = "boss@example.org"

// administrator is logged in with both factors.
func (b *bed) administrator() *client {
	b.t.Helper()
	b.pass(time.Second) // after those who are there
	_, existed, err := b.services[0].CreateUser(b.t.Context(), identity.Registration{Email: boss, Name: "Grace", Password: secret.Of(other), Roles: []string{"admin"}})
	must(b.t, err)
	if existed {
		b.t.Fatal("there is an administrator already")
	}
	b.known(boss)
	c := b.client()
	c.source = "192.0.2.9:1"
	c.login(boss, other).is(200, "")
	c.get("/v1/users").is(403, "permission_denied") // with one factor an administrator is none
	seed, _ := c.enrol()
	b.pass(time.Minute)
	challenge := c.login(boss, other).str("challenge")
	c.access = ""
	c.keep(c.post("/v1/auth/mfa", object{"challenge": challenge, "code": totp.Code(seed, b.now())}).is(200, ""))
	return c
}

func TestAdministration(t *testing.T) {
	b, c, id := joined(t, options{})
	admin := b.administrator()
	for _, path := range []string{"/v1/users/" + id + "/roles", "/v1/users/" + id + "/lock", "/v1/users/" + id + "/unlock", "/v1/users/" + id + "/forget"} {
		c.post(path, object{}).is(403, "permission_denied")
		b.client().post(path, object{}).is(401, "unauthenticated")
		admin.get(path).is(405, "method_not_allowed")
	}
	c.get("/v1/users").is(403, "permission_denied")
	b.client().get("/v1/users/"+id).is(401, "unauthenticated")

	b.until("the list has both", func() bool { return len(admin.get("/v1/users").is(200, "").body["items"].([]any)) == 2 })
	page := admin.get("/v1/users?limit=1").is(200, "")
	first := page.body["items"].([]any)[0].(object)
	second := admin.get("/v1/users?limit=1&cursor="+page.str("cursor")).is(200, "").body["items"].([]any)[0].(object)
	if first["email"] != boss || second["email"] != ada || second["id"] != id || second["status"] != "active" {
		t.Errorf("pages %v and %v; want the latest first", first, second)
	}
	for _, query := range []string{"?limit=0", "?limit=201", "?limit=x", "?cursor=x", "?email=ada"} {
		admin.get("/v1/users"+query).is(400, "malformed_request")
	}
	if u := admin.get("/v1/users/"+id).is(200, ""); u.str("name") != "Ada" || u.str("email") != ada {
		t.Errorf("%s", u.text)
	}

	// Roles count at once, in the session that there is.
	admin.post("/v1/users/"+id+"/roles", object{"roles": []string{"clerk", "king"}}).is(422, "unknown_role")
	admin.post("/v1/users/"+id+"/roles", object{"roles": []string{"clerk", "clerk"}}).is(422, "invalid_request")
	admin.post("/v1/users/"+id+"/roles", object{"roles": []string{"clerk"}}).is(204, "")
	if roles := c.get("/v1/me").is(200, "").body["roles"].([]any); len(roles) != 1 || roles[0] != "clerk" {
		t.Errorf("the roles are %v", roles)
	}

	// So does a lock.
	admin.post("/v1/users/"+id+"/lock", object{"reason": "Lost phone!"}).is(422, "invalid_request")
	admin.post("/v1/users/"+id+"/lock", object{"reason": "lost_phone"}).is(204, "")
	c.get("/v1/me").is(401, "unauthenticated")
	b.client().login(ada, good).is(429, "too_many_attempts")
	b.until("the list shows it", func() bool {
		u := admin.get("/v1/users/" + id).body
		return u["status"] == "locked" && u["reason"] == "lost_phone"
	})
	b.until("its session is revoked in the log", func() bool { return b.sessionsLeft(id) == 0 })
	admin.post("/v1/users/"+id+"/unlock", object{}).is(204, "")
	c.get("/v1/me").is(401, "unauthenticated")
	c.login(ada, good).is(200, "")

	for _, who := range []string{"somebody", "nobody-0001", "a%20b"} {
		admin.get("/v1/users/"+who).is(404, "not_found")
		admin.post("/v1/users/"+who+"/roles", object{"roles": []string{}}).is(404, "not_found")
		admin.post("/v1/users/"+who+"/lock", object{"reason": "x"}).is(404, "not_found")
		admin.post("/v1/users/"+who+"/forget", object{}).is(404, "not_found")
	}
	if log := b.log.String(); !strings.Contains(log, `"what":"locked","user":"`+id+`","by":"`) {
		t.Error("nobody can see who has locked the user")
	}
}

// Who has lost the role, or the account, administers nothing any more, with the token that said so.
func TestASVS_8_3_2_RevokedAdministrators(t *testing.T) {
	b, _, id := joined(t, options{})
	admin := b.administrator()
	admin.post("/v1/users/"+admin.get("/v1/me").str("id")+"/roles", object{"roles": []string{"clerk"}}).is(204, "")
	admin.post("/v1/users/"+id+"/forget", object{}).is(403, "permission_denied")
	admin.get("/v1/users").is(403, "permission_denied")
}

func (b *bed) sessionsLeft(user string) (n int) {
	b.t.Helper()
	must(b.t, b.pool.QueryRow(b.t.Context(), "SELECT count(*) FROM sessions WHERE user_id = $1 AND revoked_at IS NULL", user).Scan(&n))
	return n
}

// A user who is forgotten: nobody logs in, nothing can be read, the address is free, rows are blank, and there is a receipt.
func TestForget(t *testing.T) {
	b, c, id := joined(t, options{})
	admin := b.administrator()
	b.until("the session is in the read model", func() bool { return b.sessionsLeft(id) == 1 })
	var email, name []byte
	must(t, b.pool.QueryRow(t.Context(), "SELECT email, name FROM users WHERE id = $1", id).Scan(&email, &name))
	before := len(b.stream("user", id))

	r := admin.post("/v1/users/"+id+"/forget", object{}).is(200, "")
	if r.str("user") != id || r.str("erasedAt") == "" || r.str("keyDeletedAt") == "" || r.body["again"] != false || r.body["claimsReleased"] != 1.0 || r.body["sessionsRevoked"] != 1.0 {
		t.Errorf("the receipt is %s", r.text)
	}
	c.get("/v1/me").is(401, "unauthenticated")
	c.post("/v1/auth/refresh", object{"refreshToken": c.refresh}).is(401, "refresh_token_invalid")
	c.login(ada, good).is(401, "invalid_credentials")

	// The log stays as it is, and says no more than that somebody was there.
	if events := b.stream("user", id); len(events) <= before || !strings.Contains(events, "UserErased") || !strings.Contains(events, "UserRegistered") {
		t.Errorf("the stream is %s", events)
	}
	fresh, err := vault.New(vault.Config{Pool: b.pool, KEKs: key("kek")}) // of another process, which has nothing cached
	must(t, err)
	for _, v := range []*vault.Vault{b.vault, fresh} {
		f, err := v.Decrypt(t.Context(), id, "email", email)
		if err != nil || !f.Redacted || len(f.Text.Reveal()) != 0 {
			t.Errorf("the address in the log can be read: redacted %v, %v", f.Redacted, err)
		}
	}
	var kek, wrapped []byte
	must(t, b.pool.QueryRow(t.Context(), "SELECT kek::bytea, wrapped FROM keys.user_keys WHERE user_id = $1 AND forgotten_at IS NOT NULL", id).Scan(&kek, &wrapped))
	if kek != nil || wrapped != nil {
		t.Error("there is a key")
	}

	// Rows.
	b.until("rows are blank", func() bool {
		u := admin.get("/v1/users/"+id).is(200, "").body
		return u["status"] == "erased" && u["email"] == nil && u["name"] == nil && b.sessionsLeft(id) == 0
	})
	rows, err := planted.Rows(t.Context(), b.pool)
	must(t, err)
	for _, row := range strings.Split(string(rows), "\n") {
		if strings.Contains(row, id) && (strings.Contains(row, hex.EncodeToString(email)) || strings.Contains(row, hex.EncodeToString(name))) {
			t.Errorf("ciphertext is left in %s", row)
		}
	}
	var labels int
	must(t, b.pool.QueryRow(t.Context(), "SELECT count(*) FROM sessions WHERE user_id = $1 AND device_label IS NOT NULL", id).Scan(&labels))
	if labels != 0 {
		t.Errorf("%d sessions name a device", labels)
	}

	// Again it is the same, and does nothing; the address is anybody's.
	again := admin.post("/v1/users/"+id+"/forget", object{}).is(200, "")
	if again.str("keyDeletedAt") != r.str("keyDeletedAt") || again.str("erasedAt") != r.str("erasedAt") || again.body["again"] != true || again.body["claimsReleased"] != 0.0 {
		t.Errorf("the second receipt is %s after %s", again.text, r.text)
	}
	admin.post("/v1/users/"+id+"/lock", object{"reason": "x"}).is(409, "user_erased")
	b.until("the address is free", func() bool { return b.client().login(ada, good).status == 401 })
	b.join(ada)
	c.login(ada, good).is(200, "")
	if now := c.get("/v1/me").str("id"); now == id {
		t.Error("a new user has the ID of the one who was forgotten")
	}
}

// An operator makes the first users, and hears of their mistakes.
func TestOperator(t *testing.T) {
	b := newBed(t, options{})
	h := b.services[0].Operator()
	post := func(path, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	made := `{"email":"` + ada + `","name":"Ada","password":"` + good + `","roles":["clerk"]}`
	if w := post("/users", made); w.Code != 201 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	b.known(ada)
	b.client().login(ada, good).is(200, "")
	for body, want := range map[string]string{
		made: "email_claimed",
		`{"email":"eve@example.org","name":"Eve","password":"short","roles":[]}`:              "password_too_short",
		`{"email":"eve@example.org","name":"Eve","password":"` + good + `","roles":["king"]}`: "unknown_role",
		`{"email":"eve","name":"Eve","password":"` + good + `"}`:                              "invalid_request",
		`{"email":"eve@example.org","mail":"x"}`:                                              "malformed_request",
	} {
		if w := post("/users", body); !strings.Contains(w.Body.String(), `"code":"`+want+`"`) {
			t.Errorf("%s: %d %s, want %s", body, w.Code, w.Body, want)
		}
	}
	if w := post("/users/somebody/forget", ""); w.Code != 404 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := post("/v1/auth/login", "{}"); w.Code != 404 {
		t.Errorf("paths of users are served to operators: %d", w.Code)
	}
}
