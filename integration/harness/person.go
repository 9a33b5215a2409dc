package harness

import (
	"bytes"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/quotedprintable"
	"net/http"
	"net/mail"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/services/identity/totp"
)

// Person is somebody with an e-mail address and a password, and a client without cookies.
type Person struct {
	Email, Password, Name string
	// API is the base URL of whom they ask, Outbox the folder of the mails.
	API    string
	Outbox string
	// From is the address that they come from, as a proxy says; empty is this host.
	From string
	// Access and Refresh are their tokens, Seed their second factor.
	Access, Refresh string
	Seed            totp.Seed
}

// Ask sends a request; body is what is to be JSON, nil for none.
func (p *Person) Ask(t testing.TB, method, path string, body any) Answer {
	t.Helper()
	a, err := p.TryAsk(t, method, path, body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// TryAsk is Ask for goroutines that may not end the test.
func (p *Person) TryAsk(t testing.TB, method, path string, body any) (Answer, error) {
	text := ""
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return Answer{}, err
		}
		text = string(b)
	}
	headers := []string{"User-Agent: Harness/1"}
	if p.Access != "" {
		headers = append(headers, "Authorization: Bearer "+p.Access)
	}
	if p.From != "" {
		headers = append(headers, "X-Forwarded-For: "+p.From)
	}
	return Ask(t.Context(), method, p.API+path, text, headers...)
}

// Must is Ask for what is answered with a status, and decodes the answer where into is not nil.
func (p *Person) Must(t testing.TB, status int, method, path string, body, into any) Answer {
	t.Helper()
	a := p.Ask(t, method, path, body)
	if a.Status != status {
		t.Fatalf("%s %s: want %d: %s", method, path, status, a)
	}
	if into != nil {
		a.Into(t, into)
	}
	return a
}

// Object is a body.
type Object = map[string]any

// Tokens are what a login answers with, a challenge included.
type Tokens struct {
	AccessToken, RefreshToken, Challenge string
}

// Keep keeps tokens.
func (p *Person) Keep(got Tokens) { p.Access, p.Refresh = got.AccessToken, got.RefreshToken }

// Credentials are what they log in with.
func (p *Person) Credentials() Object { return Object{"email": p.Email, "password": p.Password} }

// Join registers and confirms the address, and returns the mail's token.
func (p *Person) Join(t testing.TB) (confirmation string) {
	t.Helper()
	p.Must(t, http.StatusAccepted, http.MethodPost, "/v1/auth/register", Object{"email": p.Email, "password": p.Password, "name": p.Name}, nil)
	confirmation = p.MailToken(t)
	p.Must(t, http.StatusNoContent, http.MethodPost, "/v1/auth/confirm", Object{"token": confirmation}, nil)
	return confirmation
}

// Login logs in as soon as the address can be found.
func (p *Person) Login(t testing.TB) (got Tokens) {
	t.Helper()
	p.Access = ""
	Eventually(t, Patience, p.Email+" logs in", func() error {
		a, err := p.TryAsk(t, http.MethodPost, "/v1/auth/login", p.Credentials())
		switch {
		case err != nil:
			return err
		case a.Status != http.StatusOK:
			return fmt.Errorf("%s", a)
		}
		return json.Unmarshal(a.Body, &got)
	})
	p.Keep(got)
	return got
}

// Enrol sets up the second factor and returns recovery codes.
func (p *Person) Enrol(t testing.TB) (recovery []string) {
	t.Helper()
	var made struct{ Secret string }
	p.Must(t, http.StatusOK, http.MethodPost, "/v1/auth/mfa/totp", nil, &made)
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(made.Secret)
	if err == nil {
		p.Seed, err = totp.ParseSeed(raw)
	}
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ RecoveryCodes []string }
	p.Must(t, http.StatusOK, http.MethodPost, "/v1/auth/mfa/totp/activate", Object{"code": totp.Code(p.Seed, time.Now())}, &got)
	return got.RecoveryCodes
}

// NextCode is a code of the app that has not been shown yet. Servers take those of a clock that is a period ahead.
func (p *Person) NextCode() string { return totp.Code(p.Seed, time.Now().Add(totp.Period)) }

var inLink = regexp.MustCompile(`#token=(\S+)`)

// MailToken waits for a mail to the person, takes it out of the outbox, and returns the token that it carries.
func (p *Person) MailToken(t testing.TB) (text string) {
	t.Helper()
	Eventually(t, Patience, "a mail to "+p.Email, func() error {
		files, err := filepath.Glob(filepath.Join(p.Outbox, "*.eml"))
		if err != nil {
			return err
		}
		slices.Sort(files)
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			m, err := mail.ReadMessage(bytes.NewReader(raw))
			if err != nil {
				return err
			}
			if to, err := m.Header.AddressList("To"); err != nil || to[0].Address != p.Email {
				continue
			}
			body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
			if err != nil {
				return err
			}
			found := inLink.FindSubmatch(body)
			if found == nil {
				return fmt.Errorf("there is no token in %s", body)
			}
			text = string(found[1])
			return os.Remove(file)
		}
		return errors.New("none")
	})
	return text
}
