package identity_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"
)

// signedRank is Wilcoxon's signed-rank statistic of paired differences, as a standard normal variable where they are symmetric
// around zero. It takes no notice of how far outliers are out: a machine with other work to do has some.
func signedRank(differences []time.Duration) (z float64) {
	sorted := slices.Clone(differences)
	slices.SortFunc(sorted, func(a, b time.Duration) int { return int(a.Abs() - b.Abs()) })
	var w float64
	for i, d := range sorted { // nanoseconds: ties do not matter
		if d > 0 {
			w += float64(i + 1)
		}
	}
	n := float64(len(sorted))
	return (w - n*(n+1)/4) / math.Sqrt(n*(n+1)*(2*n+1)/24)
}

func median(d []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(d))
	return sorted[len(sorted)/2]
}

// critical is how far signedRank is from zero once in 10,000 times if there is no difference (two-sided, α = 0.0001).
const critical = 3.89

// How long a login, a registration and a reset take does not tell whether there is such an account.
//
// Each is asked for in pairs, for an account that there is and one that there is not, one directly after the other and in turn
// first, so that whatever else slows the machine down slows down both. The differences of n pairs are judged by Wilcoxon's
// signed-rank test. With n = 200 a shift of 0.45 standard deviations of the differences is found with a power of 0.99:
// (3.89 + 2.33) / √(200 · 3/π); with n = 100 one of 0.64. On a quiet machine 0.45 are about a millisecond; the hash that would be left
// out for an unknown account takes 20 and more.
func TestLatencyDoesNotTell(t *testing.T) {
	if testing.Short() {
		t.Skip("a measurement: under the race detector, which -short is for, it would measure that")
	}
	b := newBed(t, options{})
	known, unknown := []string{}, []string{}
	for i := range 4 {
		known, unknown = append(known, fmt.Sprintf("known-%d@example.org", i)), append(unknown, fmt.Sprintf("other-%d@example.org", i))
		b.join(known[i])
	}
	c := b.client()
	c.cookies = nil
	n := 0
	timed := func(path string, body object, want int) time.Duration {
		t.Helper()
		n++
		c.source = fmt.Sprintf("198.51.%d.%d:1", n/250, 1+n%250) // sources have limits of their own
		began := time.Now()
		a := c.post(path, body)
		took := time.Since(began)
		if a.status != want {
			t.Fatalf("%s: %d %s", path, a.status, a.text)
		}
		b.services[0].Rest() // what goes on after an answer is not to slow down the next one
		return took
	}
	for _, tc := range []struct {
		name, path string
		pairs      int
		want       int
		body       func(email string) object
		// there and not are the addresses of a pair.
		there, not func(i int) string
	}{
		{"login", "/v1/auth/login", 200, 401, func(email string) object { return object{"email": email, "password": other} },
			func(i int) string { return known[i%4] }, func(i int) string { return unknown[i%4] }},
		{"register", "/v1/auth/register", 100, 202, func(email string) object { return object{"email": email, "password": other, "name": "Ada"} },
			func(i int) string { return known[i%4] }, func(i int) string { return fmt.Sprintf("new-%d@example.org", i) }},
		{"reset", "/v1/auth/password/reset", 200, 202, func(email string) object { return object{"email": email} },
			func(i int) string { return known[i%4] }, func(i int) string { return unknown[i%4] }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var there, not, differences []time.Duration
			for i := -4; i < tc.pairs; i++ { // four pairs to warm up
				b.pass(16 * time.Minute) // delays end, and mails may be sent again
				i4 := i + 4
				var x, y time.Duration
				if i4%2 == 0 {
					x = timed(tc.path, tc.body(tc.there(i4/2)), tc.want)
					y = timed(tc.path, tc.body(tc.not(i4)), tc.want)
				} else {
					y = timed(tc.path, tc.body(tc.not(i4)), tc.want)
					x = timed(tc.path, tc.body(tc.there(i4/2)), tc.want)
				}
				if i >= 0 {
					there, not, differences = append(there, x), append(not, y), append(differences, x-y)
				}
			}
			z := signedRank(differences)
			t.Logf("%d pairs: medians %v and %v, of the differences %v, z = %.2f", tc.pairs, median(there), median(not), median(differences), z)
			if math.Abs(z) > critical {
				t.Errorf("the latencies can be told apart: z = %.2f, which is beyond ±%.2f", z, critical)
			}
		})
	}
}

// The test itself: it finds a shift of 0.45 standard deviations, and nothing where there is none.
func TestSignedRank(t *testing.T) {
	var differences []time.Duration
	for i := range 200 { // the quantiles of a normal distribution
		differences = append(differences, time.Duration(1e6*math.Sqrt2*math.Erfinv(2*(float64(i)+0.5)/200-1)))
	}
	if z := signedRank(differences); math.Abs(z) > 0.1 {
		t.Errorf("no shift: z = %.2f", z)
	}
	for i := range differences {
		differences[i] += 0.45e6
	}
	if z := signedRank(differences); z < critical {
		t.Errorf("a shift: z = %.2f", z)
	}
}
