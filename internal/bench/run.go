package bench

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Run is what all benchmarks take.
type Run struct {
	// Progress is told what is being done, how much of it and of how much; nothing. It is called concurrently.
	Progress func(what string, done, total int)
	// Logger; slog.Default().
	Logger *slog.Logger
}

func (r Run) withDefaults() Run {
	if r.Progress == nil {
		r.Progress = func(string, int, int) {}
	}
	if r.Logger == nil {
		r.Logger = slog.Default()
	}
	return r
}

func def[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// name is one that nothing else has: benchmarks keep away from what is on the servers.
func name(separator string) string {
	return "cqrsflow" + separator + "bench" + separator + strconv.FormatUint(rand.Uint64(), 36)
}

// side is one of the two things that are compared.
type side struct {
	name string
	// run does the work once, after whatever prepares it, and returns how long the work took.
	run   func(ctx context.Context) (time.Duration, error)
	rates []float64
}

// alternate runs both sides rounds times, taking turns at being first, so that the disk's moods and the
// caches that one leaves behind meet both. It leaves the rate of each round in the sides: n a duration. No
// round begins after the limit, but the first.
func (r Run) alternate(ctx context.Context, rounds int, limit time.Duration, n int, sides ...*side) error {
	began := time.Now()
	for round := range rounds {
		if round > 0 && time.Since(began) > limit {
			r.Logger.Warn("fewer rounds were measured, because of the time limit", "rounds", round, "limit", limit.String())
			break
		}
		for i := range sides {
			s := sides[(i+round)%len(sides)]
			r.Progress("measuring", round*len(sides)+i, rounds*len(sides))
			runtime.GC() // what one side leaves behind is not for the other to clear away
			took, err := s.run(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			s.rates = append(s.rates, rate(n, took))
		}
	}
	r.Progress("measuring", rounds*len(sides), rounds*len(sides))
	return nil
}

// each runs f for every number below n, all at the same time, and returns the first error, which cancels the rest.
func each(ctx context.Context, n int, f func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var once sync.Once
	var first error
	for i := range n {
		wg.Go(func() {
			if err := f(ctx, i); err != nil {
				once.Do(func() { first = err })
				cancel()
			}
		})
	}
	wg.Wait()
	return first
}

// median of rates; 0 of none.
func median(rates []float64) float64 {
	if len(rates) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(rates))
	if len(s)%2 == 0 {
		return (s[len(s)/2-1] + s[len(s)/2]) / 2
	}
	return s[len(s)/2]
}

// budget shares out what is left of a time limit among the steps that are still to come.
type budget struct {
	end   time.Time
	steps int
}

// next is the share of the next step.
func (b *budget) next(ctx context.Context) (context.Context, context.CancelFunc) {
	share := time.Until(b.end) / time.Duration(max(1, b.steps))
	b.steps--
	return context.WithTimeout(ctx, share)
}
