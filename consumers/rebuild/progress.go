package rebuild

import (
	"context"
	"time"

	"github.com/cqrsflow/cqrsflow/consumers/runner"
)

// Near is how many records of a partition may be missing before a switch holds the old version still for
// the rest, and Patience how long it does.
const (
	Near     = 1000
	Patience = 2 * time.Second
)

// CaughtUp reports whether a version is, but for so many records a partition, where the old one is, or at
// the log's end. Of an old one that read another log, or is beyond the log's end, as where a loss was
// accepted, nothing can be expected but the end.
func CaughtUp(ends []runner.End, old, building []Place, missing int64) bool {
	for _, e := range ends {
		need, have := e.End, e.Start
		if now, ok := at(building, e.Partition); ok {
			have = max(have, now.Next)
			if before, ok := at(old, e.Partition); ok && before.TopicID == now.TopicID {
				need = min(need, before.Next)
			}
		}
		if have+missing < need {
			return false
		}
	}
	return len(ends) > 0
}

// within reports whether the log has what a version has processed. ends must have been asked for later.
func within(ends []runner.End, places []Place) bool {
	for _, e := range ends {
		if p, ok := at(places, e.Partition); ok && p.Next > e.End {
			return false
		}
	}
	return true
}

// Progress is how many records of the log a version has processed, of how many there are.
func Progress(ends []runner.End, places []Place) (done, total int64) {
	for _, e := range ends {
		total += e.End - e.Start
		if p, ok := at(places, e.Partition); ok {
			done += min(max(p.Next, e.Start), e.End) - e.Start
		}
	}
	return done, total
}

func at(places []Place, p runner.Partition) (Place, bool) {
	for _, x := range places {
		if x.Aggregate == p.Aggregate && x.Source == p.Source && x.Partition == p.Number {
			return x, true
		}
	}
	return Place{}, false
}

// Await looks until a version has caught up with one that is held still, for at most Patience.
func Await(ctx context.Context, ends Ends, old []Place, building func(context.Context) ([]Place, error)) (bool, error) {
	const lookEvery = 10 * time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	// As of now: what is written from here on is for the new version only.
	log, err := ends(ctx)
	if err != nil {
		return false, late(ctx, err)
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		places, err := building(ctx)
		if err != nil {
			return false, late(ctx, err)
		}
		if CaughtUp(log, old, places, 0) {
			// The log may have lost meanwhile what the new version has read.
			if log, err = ends(ctx); err != nil {
				return false, late(ctx, err)
			}
			return within(log, places), nil
		}
		select {
		case <-ctx.Done():
			return false, nil
		case <-tick.C:
		}
	}
}

// late makes running out of patience no error.
func late(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
