package identity_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/domain/throttle"
	"github.com/cqrsflow/cqrsflow/domain/user"
	"github.com/cqrsflow/cqrsflow/event"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
	"github.com/cqrsflow/cqrsflow/services/identity"
)

// losing loses the completions of attempts at users that end so: on their way there, or, late, on the way back.
type losing struct {
	identity.Commands
	result string
	late   bool
}

func (l losing) Do(ctx context.Context, c event.Command, aggregate, contentType string, body []byte) (event.Outcome, error) {
	m := &userv1.CompleteAttempt{}
	if c.Type != "user.v1.CompleteAttempt" || proto.Unmarshal(body, m) != nil || m.GetResult() != l.result {
		return l.Commands.Do(ctx, c, aggregate, contentType, body)
	}
	if l.late {
		_, _ = l.Commands.Do(ctx, c, aggregate, contentType, body) // whatever became of it, nobody hears of it
		return event.Outcome{}, fmt.Errorf("%w: lost", event.ErrOutcomeUnknown)
	}
	return event.Outcome{}, fmt.Errorf("%w: lost", event.ErrUnavailable)
}

// loser is the second instance of identity, which loses what losing says.
const loser = 1

func losers(l losing) options {
	n := 0
	return options{instances: 2, change: func(c *identity.Config) {
		if n++; n == 2 {
			l.Commands = c.Commands
			c.Commands = l
		}
	}}
}

// A guess whose failure cannot be noted counts like any other: at once, because it is open, and later, because it has expired.
func TestAGuessCountsWhoseFailureIsLost(t *testing.T) {
	b, _, id := joined(t, losers(losing{result: "failed"}))
	b.join("eve@example.org")
	atAda, atEve := b.client(), b.client()
	atAda.instance, atEve.source = loser, "192.0.2.2:1"
	alike := func(status int, code string) {
		t.Helper()
		x, y := atAda.login(ada, other).is(status, code), atEve.login("eve@example.org", other).is(status, code)
		if x.header.Get("Retry-After") != y.header.Get("Retry-After") {
			t.Errorf("Retry-After is %s where failures are lost, else %s", x.header.Get("Retry-After"), y.header.Get("Retry-After"))
		}
	}
	for range user.Attempts.From {
		alike(401, "invalid_credentials")
	}
	alike(429, "too_many_attempts")
	if log := b.settled("user", id); log.open() != user.Attempts.From || log.failed != 0 {
		t.Fatalf("%+v: nothing was lost", log)
	}
	b.pass(throttle.Open + time.Second)
	alike(401, "invalid_credentials")
	alike(429, "too_many_attempts")
	if log := b.settled("user", id); log.expired != user.Attempts.From || log.counted() != user.Attempts.From+1 {
		t.Errorf("%+v, want %d that have expired, and one more", log, user.Attempts.From)
	}
}

// Who gives the right password and cannot be told so does not get in, has not failed, and comes again.
func TestNobodyFailsWhoseSuccessIsLost(t *testing.T) {
	for name, late := range map[string]bool{"on the way there": false, "on the way back": true} {
		t.Run(name, func(t *testing.T) {
			b, _, id := joined(t, losers(losing{result: "succeeded", late: late}))
			before := b.settled("user", id)
			c := b.client()
			c.instance = loser
			for range user.Attempts.From + 2 {
				if a := c.login(ada, good).is(503, "unavailable"); len(a.header.Values("Set-Cookie")) > 0 || a.body["accessToken"] != nil {
					t.Errorf("somebody gets in: %s %v", a.text, a.header)
				}
				if log := b.settled("user", id); log.counted() != 0 {
					t.Fatalf("%+v: it counts as a failure", log)
				}
			}
			log, done := b.settled("user", id), user.Attempts.From+2
			if late && log.succeeded != before.succeeded+done || !late && log.withdrawn != done {
				t.Errorf("%+v", log)
			}
			c.instance = 0
			c.login(ada, good).is(200, "")
		})
	}
}
