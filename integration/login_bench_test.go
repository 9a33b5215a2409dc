package integration_test

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/integration/harness"
	"github.com/cqrsflow/cqrsflow/internal/secret"
	"github.com/cqrsflow/cqrsflow/services/identity/password"
)

// What a login costs besides its hash, over HTTP, one in flight: each is followed by a hash of the same parameters, in this process, on
// the same machine, so that what slows down one slows down the other. docs/benchmarks has the method and results.
func BenchmarkLogin(b *testing.B) {
	b.Run("servers", func(b *testing.B) {
		g := newGuarded(b)
		benchmarkLogin(b, g.person("ada"))
	})
	b.Run("dev", func(b *testing.B) {
		d := harness.NewDev(b)
		g := d.Start(b)
		benchmarkLogin(b, &harness.Person{Email: "ada@example.org", Password: ownPassword, Name: "Ada", API: g.API, Outbox: filepath.Join(d.Dir, "outbox")})
	})
}

func benchmarkLogin(b *testing.B, p *harness.Person) {
	p.Join(b)
	p.Login(b)
	p.Access = ""
	pool, err := password.NewPool(password.Config{})
	if err != nil {
		b.Fatal(err)
	}
	phc, err := pool.Hash(b.Context(), secret.Of(p.Password))
	if err != nil {
		b.Fatal(err)
	}
	var logins, hashes []time.Duration
	for b.Loop() {
		began := time.Now()
		p.Must(b, 200, post, "/v1/auth/login", p.Credentials(), nil)
		between := time.Now()
		if ok, err := pool.Verify(b.Context(), secret.Of(p.Password), phc); err != nil || !ok {
			b.Fatal(ok, err)
		}
		logins, hashes = append(logins, between.Sub(began)), append(hashes, time.Since(between))
	}
	slices.Sort(logins)
	slices.Sort(hashes)
	at := func(d []time.Duration, share float64) float64 {
		return float64(d[int(share*float64(len(d)-1))].Microseconds()) / 1000
	}
	b.ReportMetric(at(logins, 0.5), "login-p50-ms")
	b.ReportMetric(at(logins, 0.99), "login-p99-ms")
	b.ReportMetric(at(hashes, 0.5), "hash-p50-ms")
	b.ReportMetric(at(logins, 0.5)-at(hashes, 0.5), "besides-p50-ms")
	b.ReportMetric(0, "ns/op")
}
