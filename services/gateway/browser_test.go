package gateway_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/cqrsflow/cqrsflow/services/gateway"
	"github.com/cqrsflow/cqrsflow/services/httpserver"
)

// Pages of sites that are named may read answers and change things, and those of others may not.
func TestBrowsers(t *testing.T) {
	const ours, other = "https://shop.example", "https://evil.example"
	b := newBed(t, func(c *gateway.Config) { c.Table, c.Origins = to(remote(t, echo)), []string{ours} })
	g := b.ask("OPTIONS", "/x", "", "Origin", ours, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization,idempotency-key")
	if g.status != 204 || g.header.Get("Access-Control-Allow-Origin") != ours || g.header.Get("Access-Control-Allow-Methods") != "POST" || !strings.Contains(g.header.Get("Access-Control-Allow-Headers"), "authorization") {
		t.Errorf("a preflight: %s", g)
	}
	if g := b.ask("OPTIONS", "/x", "", "Origin", other, "Access-Control-Request-Method", "POST"); g.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("a preflight of another site: %s", g)
	}
	for _, c := range []struct {
		method, origin, fetch string
		ok                    bool
	}{{"POST", ours, "cross-site", true}, {"POST", other, "cross-site", false}, {"POST", other, "", false}, {"GET", other, "cross-site", true}, {"POST", "", "", true}, {"DELETE", "null", "cross-site", false}} {
		var headers []string
		if c.origin != "" {
			headers = append(headers, "Origin", c.origin)
		}
		if c.fetch != "" {
			headers = append(headers, "Sec-Fetch-Site", c.fetch)
		}
		g := b.ask(c.method, "/x", "", headers...)
		if c.ok {
			if e := g.echo(t); e.Header.Get("Origin") != "" { // a backend would compare it with its own host
				t.Errorf("%+v arrived with %v", c, e.Header)
			}
		} else {
			g.problem(t, 403, "cross_origin")
		}
		if allowed := g.header.Get("Access-Control-Allow-Origin"); (allowed == ours) != (c.origin == ours) {
			t.Errorf("%+v may be read by %q", c, allowed)
		}
	}
	if g := b.ask("GET", "/nowhere/..", "", "Origin", ours); g.status != 400 || g.header.Get("Access-Control-Allow-Origin") != ours {
		t.Errorf("a problem can be read, too: %s", g)
	}
}

// Answers that are worth it are compressed for those who take that, with their entity tags as they are: a version is one.
func TestCompression(t *testing.T) {
	text := strings.Repeat(`{"a":1}`, 1000)
	b := newBed(t, func(c *gateway.Config) {
		c.Table = to(remote(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"7"`)
			w.Header().Set("Content-Type", map[bool]string{true: "application/json", false: "image/png"}[r.URL.Path != "/png"])
			if r.URL.Path == "/small" {
				_, _ = io.WriteString(w, "{}")
				return
			}
			_, _ = io.WriteString(w, text)
		}))
	})
	for path, want := range map[string]string{"/large": "gzip", "/small": "", "/png": ""} {
		g := b.ask("GET", path, "", "Accept-Encoding", "gzip, br")
		if g.status != 200 || g.header.Get("Content-Encoding") != want || g.header.Get("ETag") != `"7"` {
			t.Errorf("%s: %d %v", path, g.status, g.header)
		}
		if want == "gzip" {
			r, err := gzip.NewReader(bytes.NewReader(g.body))
			if err != nil {
				t.Fatal(err)
			}
			if plain, err := io.ReadAll(r); err != nil || string(plain) != text || len(g.body) > len(text)/10 || !strings.Contains(strings.Join(g.header.Values("Vary"), ","), "Accept-Encoding") {
				t.Errorf("%s: %d bytes, %v, %v", path, len(g.body), err, g.header)
			}
		}
	}
	if g := b.ask("GET", "/large", ""); g.header.Get("Content-Encoding") != "" || string(g.body) != text {
		t.Errorf("nobody asked for it: %v", g.header)
	}
}

// HTTP/2 without TLS is there where it is wanted.
func TestPlainHTTP2(t *testing.T) {
	b := newServerBed(t, func(c *gateway.Config) { c.Table = to(remote(t, echo)) }, func(c *httpserver.Config) { c.PlainHTTP2 = true })
	two := new(http.Protocols)
	two.SetUnencryptedHTTP2(true)
	for want, protocols := range map[int]*http.Protocols{2: two, 1: nil} {
		transport := &http.Transport{Protocols: protocols}
		resp, err := (&http.Client{Transport: transport}).Get(b.url + "/x")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		transport.CloseIdleConnections()
		if resp.StatusCode != 200 || resp.ProtoMajor != want {
			t.Errorf("%s %s, want HTTP/%d", resp.Proto, resp.Status, want)
		}
	}
}
