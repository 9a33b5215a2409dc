package app

import (
	"context"
	"errors"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/topology"
)

// The time between two tries of a step of the start.
const (
	firstRetry = 250 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// await runs a step of the start, and again where what it needs is not there: for as long as start_wait says.
// Meanwhile /readyz names it. What only another configuration can put right fails at once.
func (p *process) await(ctx context.Context, step func(context.Context) error) error {
	deadline := time.Now().Add(p.cfg.Roles.StartWait)
	said, pause := "", firstRetry
	for {
		err := step(ctx)
		if err == nil || !mayCome(err) || !time.Now().Add(pause).Before(deadline) {
			p.ops.Starting("")
			return err
		}
		if why := err.Error(); why != said {
			p.log.Warn("waiting", "until", deadline.UTC().Format(time.RFC3339), "error", err)
			said = why
			p.ops.Starting(why)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
		pause = min(2*pause, lastRetry)
	}
}

// mayCome says whether what is missing may be there in a while.
func mayCome(err error) bool {
	return errors.Is(err, event.ErrUnavailable) || errors.Is(err, topology.ErrNotApplied)
}
