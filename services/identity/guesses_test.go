package identity_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/domain/source"
	"github.com/cqrsflow/cqrsflow/domain/user"
	"github.com/cqrsflow/cqrsflow/services/identity/totp"
)

// two instances of identity, two processors: what would let more through if anything decided twice.
var two = options{instances: 2, processors: 2}

// atOnce sends n requests at the same time, in turn to each instance, and returns how many were answered with which status.
func (b *bed) atOnce(n int, send func(i int, c *client) answer) map[int]int {
	b.t.Helper()
	statuses := make([]int, n)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		c := b.client()
		c.instance = i % len(b.services)
		c.source = fmt.Sprintf("198.51.%d.%d:1", i/250, 1+i%250)
		all.Go(func() {
			<-start
			statuses[i] = send(i, c).status
		})
	}
	close(start)
	all.Wait()
	count := map[int]int{}
	for _, status := range statuses {
		count[status]++
	}
	return count
}

// settled waits until no attempt at the stream is open, and returns how many ended in which way.
func (b *bed) settled(aggregate, id string) (begun, failed, succeeded, withdrawn int) {
	b.t.Helper()
	b.until("all attempts at "+aggregate+" have ended", func() bool {
		events := b.stream(aggregate, id)
		count := func(name string) int { return strings.Count(events+" ", "."+name+" ") }
		begun, failed, succeeded, withdrawn = count("AttemptBegun"), count("AttemptFailed"), count("AttemptSucceeded"), count("AttemptWithdrawn")
		return begun > 0 && begun == failed+succeeded+withdrawn+count("AttemptExpired")
	})
	return begun, failed, succeeded, withdrawn
}

// Of 500 guesses at once, from as many addresses, through two instances and two processors, as many are verified as may fail
// before the first delay: the log says so, not only the answers.
func TestParallelGuessesDoNotExceedTheLimit(t *testing.T) {
	b, c, id := joined(t, two)
	_, _, before, _ := b.settled("user", id)
	guess := func(_ int, c *client) answer { return c.login(ada, other) }
	answers := b.atOnce(500, guess)
	if answers[401] != user.Attempts.From || answers[429] != 500-user.Attempts.From {
		t.Errorf("the answers are %v; want %d times 401 and nothing but 429 besides", answers, user.Attempts.From)
	}
	if begun, failed, succeeded, _ := b.settled("user", id); begun != before+user.Attempts.From || failed != user.Attempts.From || succeeded != before {
		t.Errorf("%d attempts were begun and %d have failed after %d that succeeded; want %d that fail", begun, failed, before, user.Attempts.From)
	}

	// The next delay lets one more guess through, whoever is first. The owner's device is not kept out meanwhile.
	b.pass(user.Attempts.First)
	if answers := b.atOnce(100, guess); answers[401] != 1 || answers[429] != 99 {
		t.Errorf("after the delay the answers are %v; want one 401", answers)
	}
	c.login(ada, good).is(200, "")
}

// Whoever has the owner's device is not delayed, but after 100 failures nobody guesses any more.
func TestParallelGuessesFromAKnownDevice(t *testing.T) {
	b, c, id := joined(t, two)
	b.until("the device is known", func() bool { return strings.Contains(b.stream("user", id), "DeviceRemembered") })
	answers := b.atOnce(500, func(_ int, guesser *client) answer {
		guesser.cookies = slices.Clone(c.cookies)
		return guesser.login(ada, other)
	})
	if answers[401] != user.Attempts.Ceiling || answers[429] != 500-user.Attempts.Ceiling {
		t.Errorf("the answers are %v; want %d times 401", answers, user.Attempts.Ceiling)
	}
	if _, failed, _, _ := b.settled("user", id); failed != user.Attempts.Ceiling {
		t.Errorf("%d attempts have failed; want %d", failed, user.Attempts.Ceiling)
	}
	c.login(ada, good).is(429, "too_many_attempts")
}

// One address that tries an account each, there or not, is stopped at its own limit; accounts of others have not failed more
// often than that.
func TestParallelGuessesFromOneSource(t *testing.T) {
	b, c, id := joined(t, two)
	_, _, before, _ := b.settled("source", b.sourceOf(id))
	attacker := b.client()
	attacker.source = "203.0.113.9:1"
	answers := b.atOnce(500, func(i int, c *client) answer {
		c.source = attacker.source
		return c.login(fmt.Sprintf("nobody-%d@example.org", i), other)
	})
	if answers[401] != source.Attempts.From || answers[429] != 500-source.Attempts.From {
		t.Errorf("the answers are %v; want %d times 401", answers, source.Attempts.From)
	}
	if begun, failed, _, _ := b.settled("source", b.lastSource()); begun != source.Attempts.From || failed != source.Attempts.From {
		t.Errorf("%d attempts were begun and %d have failed; want %d", begun, failed, source.Attempts.From)
	}
	c.login(ada, good).is(200, "")
	if _, _, after, _ := b.settled("source", b.sourceOf(id)); after != before+1 {
		t.Errorf("another source has %d attempts that succeeded, want %d", after, before+1)
	}
}

// lastSource is the name of the source that tried last, as logged.
func (b *bed) lastSource() string {
	b.t.Helper()
	log := b.log.String()
	at := strings.LastIndex(log, `"source":"`)
	if at < 0 {
		b.t.Fatal("no attempt is logged")
	}
	name, _, _ := strings.Cut(log[at+len(`"source":"`):], `"`)
	return name
}

// sourceOf is the name of the source of a user's last attempt, as logged.
func (b *bed) sourceOf(id string) string {
	b.t.Helper()
	for _, line := range slices.Backward(strings.Split(b.log.String(), "\n")) {
		if _, after, ok := strings.Cut(line, `"user":"`+id+`","source":"`); ok {
			name, _, _ := strings.Cut(after, `"`)
			return name
		}
	}
	b.t.Fatal("no attempt of the user is logged")
	return ""
}

// A code of the app, and a recovery code, log in once: 100 requests at once, through two instances, from as many addresses.
func TestASVS_6_5_1_CodesOnceInParallel(t *testing.T) {
	b, c, id := joined(t, two)
	seed, recovery := c.enrol()
	b.pass(time.Minute)
	outer := b.t
	for _, tc := range []struct{ factor, code string }{{"totp", totp.Code(seed, b.now())}, {"recovery_code", recovery[2]}} {
		t.Run(tc.factor, func(t *testing.T) {
			b.t = t
			defer func() { b.t = outer }()
			challenge := c.login(ada, good).str("challenge")
			_, _, before, _ := b.settled("user", id)
			answers := b.atOnce(100, func(_ int, c *client) answer {
				return c.post("/v1/auth/mfa", object{"challenge": challenge, "code": tc.code})
			})
			if answers[200] != 1 || answers[200]+answers[401]+answers[429] != 100 {
				t.Errorf("the answers are %v; want 200 once, and 401 or 429", answers)
			}
			if _, _, after, _ := b.settled("user", id); after != before+1 {
				t.Errorf("%d attempts have succeeded; want one", after-before)
			}
			b.pass(20 * time.Minute) // the guesses have failed, and slow the factor down
		})
	}
}
