package token

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
)

// jwksServer serves what it is told to, and counts.
type jwksServer struct {
	*httptest.Server
	hits   atomic.Int64
	answer atomic.Pointer[http.HandlerFunc]
}

func newJWKSServer(t *testing.T, h http.HandlerFunc) *jwksServer {
	s := &jwksServer{}
	s.answer.Store(&h)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.hits.Add(1)
		(*s.answer.Load())(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *jwksServer) then(h http.HandlerFunc) { s.answer.Store(&h) }

func serve(doc []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(doc) }
}

func down(w http.ResponseWriter, _ *http.Request) { http.Error(w, "down", http.StatusBadGateway) }

func jwksOf(t *testing.T, ids ...string) []byte {
	t.Helper()
	dir := t.TempDir()
	for _, id := range ids {
		write(t, dir, id+".pem", newKey(t))
	}
	doc, err := folder(t, dir).Keys().JWKS()
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// clock is a time that tests set.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time          { return now.Add(time.Duration(c.at.Load())) }
func (c *clock) forward(d time.Duration) { c.at.Add(int64(d)) }

func remote(t *testing.T, s *jwksServer) (*Remote, *clock) {
	t.Helper()
	c := &clock{}
	client := &http.Client{Transport: &http.Transport{}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(client.CloseIdleConnections)
	r, err := NewRemote(RemoteConfig{URL: s.URL + "/jwks", Now: c.now, Client: client})
	if err != nil {
		t.Fatal(err)
	}
	return r, c
}

// ask asks for a key and compares the category of the error and the number of fetches so far.
func ask(t *testing.T, s *jwksServer, r *Remote, id string, want error, hits int64) {
	t.Helper()
	key, err := r.Key(t.Context(), id)
	if !errors.Is(err, want) || (err == nil) != (key != nil) {
		t.Errorf("%s: %v, want %v", id, err, want)
	}
	if n := s.hits.Load(); n != hits {
		t.Errorf("%s: %d fetches, want %d", id, n, hits)
	}
}

func TestKeysAreFetchedOnceAndKept(t *testing.T) {
	s := newJWKSServer(t, serve(jwksOf(t, "a", "b")))
	r, c := remote(t, s)
	ask(t, s, r, "a", nil, 1)
	ask(t, s, r, "b", nil, 1)
	c.forward(4 * time.Minute)
	ask(t, s, r, "a", nil, 1)
	c.forward(2 * time.Minute) // no longer fresh
	ask(t, s, r, "a", nil, 2)
	s.then(serve(jwksOf(t, "b"))) // a is withdrawn
	c.forward(6 * time.Minute)
	ask(t, s, r, "a", event.ErrNotFound, 3)
}

func TestUnknownKeyIsFetchedForOnceInAWhile(t *testing.T) {
	s := newJWKSServer(t, serve(jwksOf(t, "a")))
	r, c := remote(t, s)
	ask(t, s, r, "a", nil, 1)
	c.forward(11 * time.Second)
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			if _, err := r.Key(t.Context(), fmt.Sprintf("x%d", i)); !errors.Is(err, event.ErrNotFound) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	ask(t, s, r, "x", event.ErrNotFound, 2)
	c.forward(9 * time.Second)
	ask(t, s, r, "x", event.ErrNotFound, 2)
	ask(t, s, r, "a", nil, 2)
	s.then(serve(jwksOf(t, "a", "x")))
	c.forward(2 * time.Second)
	ask(t, s, r, "x", nil, 3)
}

func TestIssuerThatIsDown(t *testing.T) {
	s := newJWKSServer(t, down)
	r, c := remote(t, s)
	ask(t, s, r, "a", event.ErrUnavailable, 1)
	ask(t, s, r, "a", event.ErrUnavailable, 1) // not asked again at once
	s.then(serve(jwksOf(t, "a")))
	c.forward(11 * time.Second)
	ask(t, s, r, "a", nil, 2)
	s.then(down)
	c.forward(30 * time.Minute)
	ask(t, s, r, "a", nil, 3) // stale, but good enough
	c.forward(31 * time.Minute)
	ask(t, s, r, "a", event.ErrUnavailable, 4) // closed
	ask(t, s, r, "x", event.ErrUnavailable, 4)
	v, err := NewVerifier(VerifierConfig{Issuer: issuer, Audience: audience, Keys: r, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify(t.Context(), newSide(t).issue(t)); !errors.Is(err, event.ErrUnavailable) || errors.Is(err, ErrRefused) {
		t.Error(err)
	}
}

func TestDocumentsThatAreWrong(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"no JSON":  serve([]byte("<html>")),
		"no key":   serve([]byte(`{"keys":[]}`)),
		"too long": serve([]byte(`{"keys":[],"x":"` + strings.Repeat("x", maxJWKS) + `"}`)),
		"redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
	} {
		s := newJWKSServer(t, serve(jwksOf(t, "a")))
		r, c := remote(t, s)
		ask(t, s, r, "a", nil, 1)
		s.then(h)
		c.forward(6 * time.Minute)
		ask(t, s, r, "a", nil, 2) // what was there stays
		c.forward(time.Hour)
		if _, err := r.Key(t.Context(), "a"); !errors.Is(err, event.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Who waits for somebody else's fetch waits no longer than its context; who has a key that is only old does not wait.
func TestWaitingForAFetch(t *testing.T) {
	s := newJWKSServer(t, serve(jwksOf(t, "a")))
	r, c := remote(t, s)
	ask(t, s, r, "a", nil, 1)
	begun, end := make(chan struct{}), make(chan struct{})
	doc := jwksOf(t, "a")
	s.then(func(w http.ResponseWriter, _ *http.Request) { close(begun); <-end; _, _ = w.Write(doc) })
	c.forward(6 * time.Minute)
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := r.Key(context.Background(), "a"); err != nil {
			t.Error(err)
		}
	})
	<-begun
	ask(t, s, r, "a", nil, 2)
	c.forward(11 * time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Key(ctx, "x"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(end)
	wg.Wait()
}

// The gateway's whole path: an issuer's document, fetched, and its token, verified.
func TestVerifyOverHTTP(t *testing.T) {
	side := newSide(t)
	doc, err := side.folder.Keys().JWKS()
	if err != nil {
		t.Fatal(err)
	}
	r, _ := remote(t, newJWKSServer(t, serve(doc)))
	v, err := NewVerifier(VerifierConfig{Issuer: issuer, Audience: audience, Keys: r, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	if c, err := v.Verify(t.Context(), side.issue(t)); err != nil || c.Subject != "u-1" {
		t.Errorf("%v, %v", c, err)
	}
}

func TestRemoteConfiguration(t *testing.T) {
	for _, cfg := range []RemoteConfig{
		{}, {URL: "jwks"}, {URL: "http://shop.example/jwks"}, {URL: "https://user:secret@shop.example/jwks"}, {URL: "ftp://shop.example/jwks"}, {URL: "http://localhost.attacker.example/jwks"},
		{URL: "https://shop.example/jwks", Throttle: -1}, {URL: "https://shop.example/jwks", Stale: -1},
	} {
		if _, err := NewRemote(cfg); !errors.Is(err, event.ErrConfig) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
	for _, url := range []string{"https://shop.example/jwks", "http://localhost:1/jwks", "http://[::1]:1/jwks"} {
		if _, err := NewRemote(RemoteConfig{URL: url}); err != nil {
			t.Error(err)
		}
	}
}
