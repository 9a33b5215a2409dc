package compare_test

import (
	"testing"

	"github.com/cqrsflow/cqrsflow/compare"
)

// The default comparison: what differs is counted, shown, and turned into numbers; the rest agrees, and the control
// decides as it did live.
func TestTwoVersionsOfThePrice(t *testing.T) {
	l := newLab(t, 3)
	typ := orders(t, nil)
	l.history(typ, 60)
	r := l.run(typ)
	if r.Control != "v1" || r.Candidate != "v2" || r.Commands != 180 || r.Agree != 150 || r.Differ != 30 {
		t.Errorf("%+v", r)
	}
	if !r.Deterministic || r.Determinism.Checked != 180 || r.Determinism.Differ != 0 {
		t.Errorf("determinism %+v", r.Determinism)
	}
	if len(r.Differences) != 1 {
		t.Fatalf("differences %+v", r.Differences)
	}
	d := r.Differences[0]
	if d.Kind != compare.KindEvents || d.Command != "order.v1.PayOrder" || d.Count != 30 || len(d.Examples) != 3 {
		t.Errorf("difference %+v", d)
	}
	t.Logf("%s", d.Examples[0].Candidate.Events[0].Data)
	for _, m := range r.Metrics {
		t.Logf("%+v %+v", m, m.Relative)
	}
	t.Logf("%+v", r.Speed)
}
