package faults

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Victim is a process that is to be killed while it works.
type Victim struct {
	Name string
	// Moments are the shares of Total at which it is killed.
	Moments []float64
	// Done says how much of Total it has done; it must be possible to ask while the process is dead.
	Done  func() (int64, error)
	Total int64
	// Kill ends it, Start starts it again and does not wait.
	Kill  func() error
	Start func()
}

// Blow is one kill: how much the victim had done before and after it. After was asked when the process was dead, so
// that less than Total means that there was work left for the next one.
type Blow struct {
	Victim string
	Before int64
	After  int64
	Total  int64
}

func (b Blow) String() string {
	return fmt.Sprintf("%s killed at %d to %d of %d", b.Victim, b.Before, b.After, b.Total)
}

// KillAll kills each victim at each of its moments and starts it again at once, until all have been dealt; from the
// test's goroutine. It fails the test where a moment has passed without its kill, or nothing happens for too long.
func KillAll(t testing.TB, within time.Duration, victims ...*Victim) []Blow {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	var blows []Blow
	left := 0
	for _, v := range victims {
		left += len(v.Moments)
	}
	for left > 0 {
		var status strings.Builder
		for _, v := range victims {
			if len(v.Moments) == 0 {
				continue
			}
			at := int64(v.Moments[0] * float64(v.Total))
			done, err := v.Done()
			fmt.Fprintf(&status, "%s: %d of %d, to be killed at %d (%v); ", v.Name, done, v.Total, at, err)
			if err != nil || done < at || done == 0 {
				continue // a server that is slow to answer is asked again
			}
			if err := v.Kill(); err != nil {
				t.Fatal(err)
			}
			b := Blow{Victim: v.Name, Before: done, Total: v.Total}
			if b.After, err = v.Done(); err != nil {
				t.Fatalf("%s has been killed: %v", v.Name, err)
			}
			v.Start()
			t.Log(b)
			if b.After >= b.Total {
				t.Fatalf("%s came too late to find any work left", b)
			}
			blows = append(blows, b)
			v.Moments = v.Moments[1:]
			left--
		}
		select {
		case <-deadline.C:
			t.Fatalf("not all processes have been killed within %v: %s", within, status.String())
		case <-tick.C:
		}
	}
	return blows
}
