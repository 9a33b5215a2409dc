package integration_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/cqrsflow/cqrsflow/integration/harness"
	"github.com/cqrsflow/cqrsflow/internal/planted"
	"github.com/cqrsflow/cqrsflow/services/identity"
)

const (
	get, post, del = http.MethodGet, http.MethodPost, http.MethodDelete
	ownPassword    = "seven odd lamps over nine quays"
	wrongPassword  = "a guess that somebody made"
)

// The way of a user through dev, as the README shows it.
func TestUserOnDev(t *testing.T) {
	d := harness.NewDev(t)
	g := d.Start(t)
	w := walk{t: t, Target: g, secrets: planted.Values{}, ada: &harness.Person{Email: "ada@example.org", Password: ownPassword, Name: "Ada", API: g.API,
		Outbox: filepath.Join(d.Dir, "outbox")}}
	w.all()
	d.Stop(t)
}

// walk is the way of a user, from the registration to being forgotten.
type walk struct {
	harness.Target
	t   *testing.T
	ada *harness.Person
	// other is where a second process of identity is asked; empty for none.
	other string
	// secrets are what was entrusted to it, and what it gave out.
	secrets planted.Values
	id      string
}

func (w *walk) all() {
	w.join()
	w.secondFactor()
	w.sessions()
	w.reuse()
	w.forget()
}

// swap asks the other process from here on.
func (w *walk) swap() {
	if w.other != "" {
		w.ada.API, w.other = w.other, w.ada.API
	}
}

// keep remembers tokens as secrets.
func (w *walk) keep(got harness.Tokens) {
	w.t.Helper()
	w.ada.Keep(got)
	w.secret("access token", got.AccessToken)
	w.secret("refresh token", got.RefreshToken)
}

func (w *walk) secret(what, token string) {
	w.t.Helper()
	if err := w.secrets.AddToken(what, token); err != nil {
		w.t.Fatal(err)
	}
}

func (w *walk) join() {
	w.secrets.Add("address", []byte(w.ada.Email))
	w.secrets.Add("name", []byte(w.ada.Name))
	w.secrets.Add("password", []byte(w.ada.Password))
	w.secrets.Add("wrong password", []byte(wrongPassword))
	w.secrets.Add("hash of a password", []byte("$argon2id$"))
	w.secret("confirmation", w.ada.Join(w.t))
	w.keep(w.ada.Login(w.t))
	w.swap()
	var me struct{ ID, Email string }
	w.ada.Must(w.t, 200, get, "/v1/me", nil, &me)
	if w.id = me.ID; me.ID == "" || me.Email != w.ada.Email {
		w.t.Fatalf("%+v", me)
	}
	w.ada.Must(w.t, 401, post, "/v1/auth/login", harness.Object{"email": w.ada.Email, "password": wrongPassword}, nil)
}

// secondFactor sets one up and logs in with it: with a code of the app, and with a recovery code.
func (w *walk) secondFactor() {
	recovery := w.ada.Enrol(w.t)
	for _, code := range recovery {
		w.secrets.Add("recovery code", []byte(code))
	}
	w.secrets.Add("TOTP seed", w.ada.Seed.Bytes())
	w.withCode(w.ada.NextCode())
	w.withCode(recovery[0])
}

func (w *walk) withCode(code string) {
	w.t.Helper()
	w.swap()
	challenge := w.ada.Login(w.t).Challenge
	if challenge == "" || w.ada.Access != "" {
		w.t.Fatal("the password is enough")
	}
	w.secrets.Add("challenge", []byte(challenge))
	w.swap()
	var got harness.Tokens
	w.ada.Must(w.t, 200, post, "/v1/auth/mfa", harness.Object{"challenge": challenge, "code": code}, &got)
	w.keep(got)
	w.ada.Must(w.t, 401, post, "/v1/auth/mfa", harness.Object{"challenge": challenge, "code": code}, nil)
}

// sessions lists them and ends all but this one.
func (w *walk) sessions() {
	var list struct {
		Items []struct {
			ID      string
			Current bool
			Device  string
		}
	}
	harness.Eventually(w.t, harness.Patience, "all sessions are listed", func() error {
		a := w.ada.Ask(w.t, get, "/v1/auth/sessions", nil)
		if err := json.Unmarshal(a.Body, &list); err != nil || len(list.Items) != 3 {
			return fmt.Errorf("%s", a)
		}
		return nil
	})
	ended := 0
	for _, s := range list.Items {
		if s.Device != "Harness/1" {
			w.t.Errorf("%+v", s)
		}
		if !s.Current {
			w.ada.Must(w.t, 204, del, "/v1/auth/sessions/"+s.ID, nil, nil)
			ended++
		}
	}
	if ended != 2 {
		w.t.Errorf("%d sessions were ended", ended)
	}
	w.ada.Must(w.t, 200, get, "/v1/me", nil, nil)
}

// reuse: a refresh token that is older than the last one ends the session.
func (w *walk) reuse() {
	stolen := w.ada.Refresh
	for range 2 {
		w.swap()
		var got harness.Tokens
		w.ada.Must(w.t, 200, post, "/v1/auth/refresh", harness.Object{"refreshToken": w.ada.Refresh}, &got)
		w.keep(got)
	}
	w.ada.Must(w.t, 200, get, "/v1/me", nil, nil)
	w.ada.Must(w.t, 401, post, "/v1/auth/refresh", harness.Object{"refreshToken": stolen}, nil)
	w.swap()
	w.ada.Must(w.t, 401, get, "/v1/me", nil, nil)
	w.ada.Must(w.t, 401, post, "/v1/auth/refresh", harness.Object{"refreshToken": w.ada.Refresh}, nil)
}

// forget erases the user, as an operator does.
func (w *walk) forget() {
	users := func() (users []identity.User) {
		w.t.Helper()
		if err := json.Unmarshal([]byte(w.Must(w.t, "user", "list", "--json").Stdout), &users); err != nil {
			w.t.Fatal(err)
		}
		return users
	}
	listed := func(what, email, status string) {
		w.t.Helper()
		harness.Eventually(w.t, harness.Patience, what, func() error {
			list := users()
			for _, u := range list {
				if u.ID == w.id && u.Email == email && u.Status == status && (u.Name == "") == (email == "") {
					return nil
				}
			}
			return fmt.Errorf("%+v", list)
		})
	}
	listed("the user is in the operator's list", w.ada.Email, "active")
	var receipt identity.Receipt
	r := w.Must(w.t, "user", "forget", w.id, "--yes", "--json")
	if err := json.Unmarshal([]byte(r.Stdout), &receipt); err != nil || receipt.User != w.id || receipt.ErasedAt.IsZero() || receipt.KeyDeletedAt.IsZero() ||
		receipt.Again || receipt.ClaimsReleased != 1 {
		w.t.Errorf("the receipt: %v, %s", err, r)
	}
	w.ada.Access = ""
	w.ada.Must(w.t, 401, post, "/v1/auth/login", w.ada.Credentials(), nil)
	listed("the row is blank", "", "erased")
}
