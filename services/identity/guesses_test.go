package identity_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/domain/source"
	"github.com/cqrsflow/cqrsflow/domain/user"
	"github.com/cqrsflow/cqrsflow/internal/secret"
	"github.com/cqrsflow/cqrsflow/services/identity"
	"github.com/cqrsflow/cqrsflow/services/identity/totp"
)

// guesses are as many as are sent at once; fewer where tests are to be short: the race detector has them five times as slow.
func guesses(n int) int {
	if testing.Short() {
		return n * 6 / 25
	}
	return n
}

// looked counts how many passwords were looked at, in all instances.
type looked struct {
	identity.Passwords
	n *atomic.Int64
}

func (l looked) Verify(ctx context.Context, plain secret.Text, phc string) (bool, error) {
	ok, err := l.Passwords.Verify(ctx, plain, phc)
	if err == nil {
		l.n.Add(1)
	}
	return ok, err
}

// two instances of identity, two processors: what would let more through if anything decided twice. They have the time that a
// loaded machine needs, and n counts the passwords that they look at.
func two(n *atomic.Int64) options {
	return options{instances: 2, processors: 2, change: func(c *identity.Config) {
		c.Timeout = time.Minute
		c.Passwords = looked{c.Passwords, n}
	}}
}

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

// tally is how the attempts at a stream have ended, as the log says.
type tally struct{ begun, failed, succeeded, withdrawn, expired int }

// counted are those that count as failed: what was begun and has neither succeeded nor been withdrawn.
func (t tally) counted() int { return t.begun - t.succeeded - t.withdrawn }

// open are those that have not ended.
func (t tally) open() int { return t.counted() - t.failed - t.expired }

// settled waits until nothing goes on after answers, and returns how the attempts at the stream have ended.
func (b *bed) settled(aggregate, id string) tally {
	b.t.Helper()
	for _, s := range b.services {
		s.Rest()
	}
	events := b.stream(aggregate, id)
	count := func(name string) int { return strings.Count(events+" ", "."+name+" ") }
	return tally{count("AttemptBegun"), count("AttemptFailed"), count("AttemptSucceeded"), count("AttemptWithdrawn"), count("AttemptExpired")}
}

// judge says what must hold of wrong guesses at once, however slow the machine is: each is answered, one that is looked at with
// 401, all others with 429 or, where an answer did not come in time, with 503; and no more are looked at than the limit. Where all
// came in time, it is the limit exactly, and each has failed in the log.
func (b *bed) judge(answers map[int]int, n, limit int, verified int64, log tally) {
	b.t.Helper()
	if answers[401]+answers[429]+answers[503] != n || int64(answers[401]) != verified {
		b.t.Errorf("the answers are %v, and %d passwords were looked at; want a 401 for each of these, and 429 or 503 for the others", answers, verified)
	}
	if int(verified) > limit || log.counted() > limit || log.counted() < int(verified) {
		b.t.Errorf("%d passwords were looked at, and %d attempts count (%+v); the limit is %d", verified, log.counted(), log, limit)
	}
	if answers[503] > 0 {
		b.t.Logf("the machine is too slow for %d of %d: %v, %+v", answers[503], n, answers, log)
	} else if int(verified) != limit || log.failed != limit || log.open() != 0 {
		b.t.Errorf("%d passwords were looked at, and in the log are %+v; want %d that have failed", verified, log, limit)
	}
}

// Of 500 guesses at once, from as many addresses, through two instances and two processors, as many are verified as may fail
// before the first delay: the log says so, not only the answers.
func TestParallelGuessesDoNotExceedTheLimit(t *testing.T) {
	var verified atomic.Int64
	b, c, id := joined(t, two(&verified))
	before, n := b.settled("user", id), guesses(500)
	verified.Store(0)
	guess := func(_ int, c *client) answer { return c.login(ada, other) }
	first := b.atOnce(n, guess)
	log := b.settled("user", id)
	log.begun, log.succeeded = log.begun-before.begun, log.succeeded-before.succeeded
	b.judge(first, n, user.Attempts.From, verified.Load(), log)

	// The next delay lets one more guess through, whoever is first. The owner's device is not kept out meanwhile.
	b.pass(user.Attempts.First)
	second := b.atOnce(guesses(100), guess)
	if got := int(verified.Load()); got > user.Attempts.From+1 || first[503]+second[503] == 0 && (second[401] != 1 || second[429] != guesses(100)-1) {
		t.Errorf("after the delay the answers are %v, and %d passwords were looked at so far; want one 401", second, got)
	}
	c.login(ada, good).is(200, "")
}

// Whoever has the owner's device is not delayed, but after 100 failures nobody guesses any more.
func TestParallelGuessesFromAKnownDevice(t *testing.T) {
	var verified atomic.Int64
	b, c, id := joined(t, two(&verified))
	before, n := b.settled("user", id), guesses(500)
	if !strings.Contains(b.stream("user", id), "DeviceRemembered") {
		t.Fatal("the device is not known")
	}
	verified.Store(0)
	answers := b.atOnce(n, func(_ int, guesser *client) answer {
		guesser.cookies = slices.Clone(c.cookies)
		return guesser.login(ada, other)
	})
	log := b.settled("user", id)
	log.begun, log.succeeded = log.begun-before.begun, log.succeeded-before.succeeded
	b.judge(answers, n, user.Attempts.Ceiling, verified.Load(), log)
	b.pass(time.Hour) // what is open has expired by then, and counts
	if log.counted() == user.Attempts.Ceiling {
		c.login(ada, good).is(429, "too_many_attempts")
	}
}

// One address that tries an account each, there or not, is stopped at its own limit; accounts of others have not failed more
// often than that.
func TestParallelGuessesFromOneSource(t *testing.T) {
	var verified atomic.Int64
	b, c, id := joined(t, two(&verified))
	before, n := b.settled("source", b.sourceOf(id)), guesses(500)
	verified.Store(0)
	attacker := b.client()
	attacker.source = "203.0.113.9:1"
	answers := b.atOnce(n, func(i int, c *client) answer {
		c.source = attacker.source
		return c.login(fmt.Sprintf("nobody-%d@example.org", i), other)
	})
	b.judge(answers, n, source.Attempts.From, verified.Load(), b.settled("source", b.lastSource()))
	c.login(ada, good).is(200, "")
	if after := b.settled("source", b.sourceOf(id)); after.succeeded != before.succeeded+1 {
		t.Errorf("another source has %d attempts that succeeded, want %d", after.succeeded, before.succeeded+1)
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
	b, c, id := joined(t, two(new(atomic.Int64)))
	seed, recovery := c.enrol()
	b.pass(time.Minute)
	outer := b.t
	for _, tc := range []struct{ factor, code string }{{"totp", totp.Code(seed, b.now())}, {"recovery_code", recovery[2]}} {
		t.Run(tc.factor, func(t *testing.T) {
			b.t = t
			defer func() { b.t = outer }()
			challenge := c.login(ada, good).str("challenge")
			before := b.settled("user", id)
			answers := b.atOnce(100, func(_ int, c *client) answer {
				return c.post("/v1/auth/mfa", object{"challenge": challenge, "code": tc.code})
			})
			if answers[200]+answers[401]+answers[429]+answers[503] != 100 || answers[200] != 1 && answers[503] == 0 {
				t.Errorf("the answers are %v; want 200 once, and 401 or 429", answers)
			}
			if after := b.settled("user", id); after.succeeded > before.succeeded+1 || answers[200] > after.succeeded-before.succeeded {
				t.Errorf("%d attempts have succeeded; want one", after.succeeded-before.succeeded)
			}
			b.pass(20 * time.Minute) // the guesses have failed, and slow the factor down
		})
	}
}
