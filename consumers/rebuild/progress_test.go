package rebuild_test

import (
	"context"
	"testing"

	"github.com/cqrsflow/cqrsflow/consumers/rebuild"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
)

func place(next int64, topic byte) []rebuild.Place {
	return []rebuild.Place{{Aggregate: "order", Source: runner.Events, TopicID: [16]byte{topic}, Next: next}}
}

func log(start, end int64) []runner.End {
	return []runner.End{{Partition: runner.Partition{Aggregate: "order", Source: runner.Events}, Start: start, End: end}}
}

func TestCaughtUp(t *testing.T) {
	for name, c := range map[string]struct {
		ends       []runner.End
		old, fresh []rebuild.Place
		missing    int64
		want       bool
	}{
		"nothing is known":                {nil, nil, nil, 0, false},
		"empty log":                       {log(0, 0), nil, nil, 0, true},
		"nothing of the log":              {log(0, 5), nil, nil, 0, false},
		"all of the log":                  {log(0, 5), nil, place(5, 1), 0, true},
		"where the old one is":            {log(0, 50), place(5, 1), place(5, 1), 0, true},
		"behind the old one":              {log(0, 50), place(5, 1), place(4, 1), 0, false},
		"behind, but near":                {log(0, 50), place(5, 1), place(3, 1), 2, true},
		"before the old one":              {log(0, 50), place(5, 1), place(7, 1), 0, true},
		"the old one is beyond the end":   {log(0, 5), place(50, 1), place(5, 1), 0, true},
		"the old one read another log":    {log(0, 50), place(5, 2), place(5, 1), 0, false},
		"the log's beginning was removed": {log(5, 5), place(3, 1), nil, 0, true},
	} {
		if got := rebuild.CaughtUp(c.ends, c.old, c.fresh, c.missing); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// The log loses what the new version has read, in the moment of the switch: it is not switched to.
func TestAwaitLooksAtTheLogAgain(t *testing.T) {
	for _, end := range []int64{10, 5} {
		asked := 0
		ends := func(context.Context) ([]runner.End, error) {
			if asked++; asked == 1 {
				return log(0, 8), nil
			}
			return log(0, end), nil
		}
		ok, err := rebuild.Await(t.Context(), ends, place(8, 1), func(context.Context) ([]rebuild.Place, error) { return place(9, 1), nil })
		if err != nil || ok != (end == 10) {
			t.Errorf("the log ends at %d: %v, %v", end, ok, err)
		}
	}
}

func TestProgress(t *testing.T) {
	if done, total := rebuild.Progress(log(10, 30), place(15, 1)); done != 5 || total != 20 {
		t.Errorf("%d of %d", done, total)
	}
	if done, total := rebuild.Progress(log(10, 30), place(500, 1)); done != 20 || total != 20 {
		t.Errorf("%d of %d", done, total)
	}
}
