// Package faults ends processes and disturbs servers at moments that a seed decides, and keeps account of what
// really happened.
package faults

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

// SeedEnv gives the seed of an earlier run, to have its moments again.
const SeedEnv = "CQRSFLOW_SEED"

// Random is a source of randomness with a seed that the test's log names.
func Random(t testing.TB) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv(SeedEnv); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("%s: %v", SeedEnv, err)
		}
	}
	t.Logf("%s=%d", SeedEnv, seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// Moments are n shares of the work to be done, in order, all of them from first to last.
func Moments(r *rand.Rand, n int, first, last float64) []float64 {
	at := make([]float64, n)
	for i := range at { // one in each nth, so that there is work between them
		at[i] = first + (last-first)*(float64(i)+r.Float64())/float64(n)
	}
	slices.Sort(at)
	return at
}
