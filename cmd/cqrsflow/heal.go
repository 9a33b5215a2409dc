package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/app"
	"github.com/cqrsflow/cqrsflow/internal/config"
	"github.com/cqrsflow/cqrsflow/internal/progress"
	"github.com/cqrsflow/cqrsflow/internal/verify"
)

// healer has streams that differ made anew.
type healer struct {
	ops    client
	stderr io.Writer
}

const (
	// healAtOnce is how many streams are marked by one request.
	healAtOnce = 5000
	// healEvery is how often it is asked whether they have been healed, healPatience how long nothing of that
	// may happen: the workers may not run.
	healEvery    = 250 * time.Millisecond
	healPatience = 2 * time.Minute
)

// heal has the streams of the reports put right, and verifies again.
func (h healer) heal(e *environment, s *config.Settings, k check, found []*verify.Report) ([]*verify.Report, error) {
	before := map[string][]event.StreamID{} // by report
	failed := map[string]map[event.StreamID]string{}
	for _, r := range found {
		if len(r.Drifted) == 0 {
			switch {
			case r.Drift > 0 && r.Aggregate != "":
				r.Advice = append(r.Advice, "what the log itself contradicts, nothing heals")
			case r.Drift > 0:
				r.Advice = append(r.Advice, fmt.Sprintf("this cannot be healed stream by stream; `cqrsflow projection rebuild %s` puts it right", k.name))
			}
			continue
		}
		why, err := h.streams(e, k.name, r.Aggregate, r.Drifted)
		if err != nil {
			return nil, fmt.Errorf("heal: %w", err)
		}
		before[r.Projection], failed[r.Projection] = r.Drifted, why
	}
	if len(before) == 0 {
		return found, nil
	}
	again, err := k.verify(e, s)
	for _, r := range again {
		for _, id := range before[r.Projection] {
			if !slices.Contains(r.Drifted, id) {
				r.Healed = append(r.Healed, id)
			}
		}
		slices.Sort(r.Healed)
		for _, id := range slices.Sorted(maps.Keys(failed[r.Projection])) {
			r.Advice = append(r.Advice, fmt.Sprintf("%s cannot be healed: %s", id, failed[r.Projection][id]))
		}
		if r.Drift > 0 {
			r.Advice = append(r.Advice, fmt.Sprintf("`cqrsflow projection rebuild %s` puts everything right that the log does not contradict", k.name))
		}
	}
	return again, err
}

// streams has streams of an aggregate type healed, and returns why some could not be.
func (h healer) streams(e *environment, projection, aggregate string, streams []event.StreamID) (map[event.StreamID]string, error) {
	slices.Sort(streams)
	streams = slices.Compact(streams)
	bar := progress.New(h.stderr).Bar("healing "+projection, int64(len(streams)))
	defer bar.Abandon()
	failed := map[event.StreamID]string{}
	for chunk := range slices.Chunk(streams, healAtOnce) {
		if err := h.ops.post(e.ctx, "/projections/heal", app.HealRequest{Projection: projection, Aggregate: aggregate, Streams: chunk}, nil); err != nil {
			return nil, err
		}
		if err := h.await(e, projection, aggregate, len(chunk), failed, bar.Add); err != nil {
			return nil, err
		}
	}
	bar.Done()
	return failed, nil
}

// await waits until none of the marked streams has its turn still to come.
func (h healer) await(e *environment, projection, aggregate string, marked int, failed map[event.StreamID]string, done func(int)) error {
	tick := time.NewTicker(healEvery)
	defer tick.Stop()
	moved := time.Now()
	for {
		var marks []app.Healing
		if err := h.ops.call(e.ctx, http.MethodGet, "/projections/healing", url.Values{"projection": {projection}}, nil, &marks); err != nil {
			return err
		}
		left := 0
		for _, m := range marks {
			switch {
			case m.Aggregate != aggregate:
			case m.Failed == "":
				left++
			default:
				failed[m.Stream] = strings.TrimSuffix(m.Failed, "\n")
			}
		}
		if left < marked {
			done(marked - left)
			marked, moved = left, time.Now()
		}
		if left == 0 {
			return nil
		}
		if time.Since(moved) > healPatience {
			return fmt.Errorf("%w: %d streams of %s are marked, and nobody has healed one for %v: does a process feed %s? They stay marked",
				event.ErrUnavailable, left, projection, healPatience, projection)
		}
		select {
		case <-e.ctx.Done():
			return e.ctx.Err()
		case <-tick.C:
		}
	}
}
