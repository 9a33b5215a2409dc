package compare

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/domain/account"
	benchschema "github.com/cqrsflow/cqrsflow/schemas/bench"
	benchv1 "github.com/cqrsflow/cqrsflow/schemas/bench/v1"
)

// However many streams there are, what is in memory stays within its bound, and whatever has left it comes back as it was.
func TestStatesAreBounded(t *testing.T) {
	typ, err := decider.NewType(account.Spec(benchschema.FastCodec{}))
	if err != nil {
		t.Fatal(err)
	}
	const streams, limit = 5_000, 100 << 10
	s := newStates(typ, 2, limit)
	at := time.Date(1997, 1, 1, 0, 0, 0, 123456000, time.UTC)
	id := func(i int) []byte { return fmt.Append(nil, "acct-", i) }
	for i := range streams {
		e, err := s.get(id(i))
		if err != nil {
			t.Fatal(err)
		}
		for which := range e.snaps {
			e.snaps[which] = decider.Snapshot{State: &benchv1.AccountState{Balance: int64(i + which)}, Version: 7, RecordedTime: at}
		}
		e.split = i%2 == 0
		if i%3 == 0 {
			e.sums = []sums{{1, 2, 3, float64(i)}, {}}
		}
		if i%500 == 7 {
			e.broken = "an event cannot be read"
		}
		s.grow(e, 100)
		if err := s.trim(); err != nil {
			t.Fatal(err)
		}
		if s.used > limit || len(s.entries) > limit/entryOverhead {
			t.Fatalf("after %d streams %d are in memory, %d bytes", i+1, len(s.entries), s.used)
		}
	}
	for i := range streams {
		e, err := s.get(id(i))
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case i%500 == 7:
			if e.broken != "an event cannot be read" {
				t.Fatalf("%d is not broken any more", i)
			}
			continue
		case e.broken != "" || e.split != (i%2 == 0) || (e.sums != nil) != (i%3 == 0):
			t.Fatalf("%d came back as %+v", i, e)
		case e.sums != nil && (e.sums[0] != sums{1, 2, 3, float64(i)} || e.sums[1] != sums{}):
			t.Fatalf("%d has counted %v", i, e.sums)
		}
		for which, snap := range e.snaps {
			if which == 1 && !e.split {
				break
			}
			if snap.State.(*benchv1.AccountState).GetBalance() != int64(i+which) || snap.Version != 7 || !snap.RecordedTime.Equal(at) {
				t.Fatalf("%d came back with %+v", i, snap)
			}
		}
		if err := s.trim(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.dir); !os.IsNotExist(err) {
		t.Errorf("the temporary folder is still there: %v", err)
	}
}
