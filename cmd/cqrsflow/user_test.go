package main

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cqrsflow/cqrsflow/services/identity"
)

// An operator's commands about users, against a dev: what one has done, the user and the list show.
func TestUser(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	d := startDev(t, dir)
	d.await("Ctrl-C stops")
	const plain = "seven lamps over the quay"
	code, out, errs := cqrsflow(t, plain+"\n", nil, "user", "create", "ada@example.org", "--name", "Ada", "--roles", "clerk", "--password-stdin", "--json", "--data", dir)
	var made struct{ ID, Password string }
	if err := json.Unmarshal([]byte(out), &made); code != 0 || err != nil || made.ID == "" || made.Password != "" {
		t.Fatalf("user create: %d, %s%s", code, out, errs)
	}
	if out := d.client(0, "user", "create", "eve@example.org", "--name", "Eve"); !strings.Contains(out, "password") {
		t.Errorf("no password is made: %s", out)
	}
	if code, _, errs := cqrsflow(t, plain, nil, "user", "create", "ada@example.org", "--name", "Ada", "--password-stdin", "--data", dir); code != 1 || !strings.Contains(errs, made.ID) {
		t.Errorf("an address that is claimed: %d, %s", code, errs)
	}
	shown := func(want string) func() bool {
		return func() bool {
			var users []identity.User
			if err := json.Unmarshal([]byte(d.client(0, "user", "list", "--json")), &users); err != nil {
				t.Fatal(err)
			}
			for _, u := range users {
				if u.ID == made.ID {
					return u.Email+" "+u.Status+" "+u.Reason+" "+strings.Join(u.Roles, ",") == want
				}
			}
			return false
		}
	}
	login := func() int {
		resp, err := http.Post(d.file().Server+"/v1/auth/login", "application/json", strings.NewReader(`{"email":"ada@example.org","password":"`+plain+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	until(t, "the user is in the list", shown("ada@example.org active  clerk"))
	until(t, "the user logs in", func() bool { return login() == 200 })
	if out := d.client(0, "user", "list"); !strings.Contains(out, "ada@example.org") || !strings.Contains(out, "admin@example.com") {
		t.Errorf("user list: %s", out)
	}
	d.client(0, "user", "roles", made.ID, "customer", "auditor")
	until(t, "the roles are in the list", shown("ada@example.org active  auditor,customer"))
	d.client(1, "user", "roles", made.ID, "king")
	d.client(0, "user", "lock", made.ID, "--reason", "reported_stolen")
	if status := login(); status != 429 {
		t.Errorf("who is locked logs in: %d", status)
	}
	until(t, "the lock is in the list", shown("ada@example.org locked reported_stolen auditor,customer"))
	d.client(0, "user", "unlock", made.ID)
	if status := login(); status != 200 {
		t.Errorf("who is unlocked does not log in: %d", status)
	}
	d.client(2, "user", "forget", made.ID)
	var receipt identity.Receipt
	if err := json.Unmarshal([]byte(d.client(0, "user", "forget", made.ID, "--yes", "--json")), &receipt); err != nil || receipt.User != made.ID ||
		receipt.KeyDeletedAt.IsZero() || receipt.ClaimsReleased != 1 {
		t.Errorf("the receipt is %+v, %v", receipt, err)
	}
	if status := login(); status != 401 {
		t.Errorf("who is forgotten: %d", status)
	}
	until(t, "the row is blank", shown(" erased  "))
	d.client(1, "user", "lock", "nobody-here")
	d.client(2, "user", "lock", "no body")

	// Who does not have the token of the operations port does nothing of that.
	for _, path := range []string{"/users", "/users/" + made.ID + "/forget"} {
		resp, err := http.Post(d.file().Ops+path, "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s without the token: %s", path, resp.Status)
		}
	}
}
