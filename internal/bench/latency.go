package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/producer"
	"github.com/cqrsflow/cqrsflow/schemas/record"
)

// turns is how often each side of a latency benchmark has its turn.
const turns = 4

// oneInFlight measures one command in flight, from publishing it to its outcome being read.
func (t *traffic) oneInFlight(ctx context.Context) (*Report, error) {
	r := &Report{Bench: "commands-latency", Inputs: t.inputs()}
	maps.DeleteFunc(r.Inputs, func(k string, _ any) bool { return k == "commands" || k == "rounds" })
	r.Inputs["inFlight"], r.Inputs["samples"] = 1, t.Latency
	return r, t.bothSides(ctx, r, t.Latency, func(ctx context.Context, pub *producer.Publisher, n int) ([]time.Duration, error) {
		var took []time.Duration
		for i := range n + 1 {
			c, body, err := t.next()
			if err != nil {
				return nil, err
			}
			began := time.Now()
			if _, err := pub.Do(ctx, c, t.typ.Name, record.Protobuf, body); err != nil {
				return nil, err
			}
			if i > 0 { // the first waits for the group to be joined
				took = append(took, time.Since(began))
			}
		}
		return took, nil
	})
}

// atRate measures latency at a rate, from when a command should have been published to its outcome being
// read: one that had to wait because those before it were slow counts with its wait.
func (t *traffic) atRate(ctx context.Context) (*Report, error) {
	r := &Report{Bench: "commands-latency", Inputs: t.inputs()}
	delete(r.Inputs, "rounds")
	r.Inputs["rate"] = t.Rate
	return r, t.bothSides(ctx, r, t.Count, func(ctx context.Context, pub *producer.Publisher, n int) ([]time.Duration, error) {
		c, body, err := t.next()
		if err == nil {
			_, err = pub.Do(ctx, c, t.typ.Name, record.Protobuf, body) // waits for the group to be joined
		}
		if err != nil {
			return nil, err
		}
		warm := min(n/4, t.Rate) // a second, not counted
		var mu sync.Mutex
		took := make([]time.Duration, 0, n)
		var failure error
		var answers sync.WaitGroup
		defer answers.Wait()
		err = pace(ctx, t.Rate, n+warm, func(i int, due time.Time) error {
			c, body, err := t.next()
			if err != nil {
				return err
			}
			answers.Add(1)
			err = pub.Enqueue(ctx, t.typ.Name, c, record.Protobuf, body, func(_ event.Outcome, err error) {
				defer answers.Done()
				d := time.Since(due)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					failure = cmp.Or(failure, err)
				} else if i >= warm {
					took = append(took, d)
				}
			})
			if err != nil {
				answers.Done()
			}
			return err
		})
		answers.Wait()
		return took, errors.Join(err, failure)
	})
}

// pace calls f n times, rate times a second, with the time at which each call was due. Calls that come
// late do not put off those after them.
func pace(ctx context.Context, rate, n int, f func(i int, due time.Time) error) error {
	begin := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := range n {
		due := begin.Add(time.Duration(i) * time.Second / time.Duration(rate))
		if wait := time.Until(due); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := f(i, due); err != nil {
			return err
		}
	}
	return nil
}

// bothSides has the processor and the bare loop take turns at answering n commands in all each.
func (t *traffic) bothSides(ctx context.Context, r *Report, n int, send func(context.Context, *producer.Publisher, int) ([]time.Duration, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, t.Limit, fmt.Errorf("not done within %v: %w", t.Limit, context.DeadlineExceeded))
	defer cancel()
	bare := t.newBare(10_000)
	bare.from = t.bare.Commands // topics of its own, where only its outcomes are
	var took [2][]time.Duration
	for turn := range turns {
		for i := range 2 {
			side, prefix, run := (i+turn)%2, t.barePrefix(), bare.run
			steady := func() bool { return true }
			if side == 0 {
				p, err := t.processor(producer.Hooks{})
				if err != nil {
					return err
				}
				prefix, run, steady = t.prefix, p.Run, func() bool { return serving(p, t.Partitions) }
			}
			d, err := t.turn(ctx, prefix, run, func(ctx context.Context, pub *producer.Publisher) ([]time.Duration, error) {
				if err := until(ctx, steady); err != nil {
					return nil, err
				}
				return send(ctx, pub, n*(turn+1)/turns-n*turn/turns)
			})
			if err != nil {
				return err
			}
			took[side] = append(took[side], d...)
			t.Progress("measuring", 2*turn+i+1, 2*turns)
		}
	}
	r.Ours, r.Bare = percentiles(took[0]), percentiles(took[1])
	r.finish()
	return nil
}

// turn runs who decides commands, and a publisher beside it.
func (t *traffic) turn(ctx context.Context, prefix string, run func(context.Context) error,
	send func(context.Context, *producer.Publisher) ([]time.Duration, error)) (took []time.Duration, err error) {
	pub, err := producer.NewPublisher(ctx, producer.PublisherConfig{Kafka: t.kafka, Prefix: prefix, Aggregates: []string{t.typ.Name},
		InFlight: 100_000, Logger: t.Logger})
	if err != nil {
		return nil, err
	}
	all, stop := context.WithCancel(ctx)
	defer stop()
	return took, each(all, 3, func(ctx context.Context, i int) error {
		switch i {
		case 0:
			return ended(all, "the publisher", pub.Run(ctx))
		case 1:
			return ended(all, "what decides", run(ctx))
		}
		took, err = send(ctx, pub)
		stop()
		return err
	})
}

// until waits until something holds: workers join their group one after the other, which is not to be measured.
func until(ctx context.Context, holds func() bool) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("not ready: %w", context.Cause(ctx))
		}
	}
	return nil
}

// ended says that something ended that should not have yet.
func ended(all context.Context, what string, err error) error {
	if err == nil && all.Err() == nil {
		return fmt.Errorf("%s ended early", what)
	}
	return err
}
