package compare_test

import (
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/compare"
	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

// The page needs nothing but itself, shows what is in the report, and what comes from commands stays text.
func TestPage(t *testing.T) {
	l := newLab(t, 1)
	typ := orders(t, map[string]decide{"rude": onPay(func(decider.Command[proto.Message], *orderv1.OrderState) ([]proto.Message, error) {
		return nil, event.Reject("no", "<script>alert(1)</script>")
	})})
	l.history(typ, 10)
	for candidate, want := range map[string][]string{
		"v2":   {"order: v1 and v2", "Revenue (paid)", "other events", "o-0", "v1 is deterministic", "<b>30</b> commands", "66.67 %"},
		"rude": {"accepted → rejected", "&lt;script&gt;alert(1)", "10", "is deterministic"},
	} {
		r := l.run(typ, candidateOf(candidate))
		r.Judge(compare.Thresholds{Diff: new(0.01)})
		var b strings.Builder
		if err := r.HTML(&b); err != nil {
			t.Fatal(err)
		}
		for _, w := range append(want, "Failed.", `<svg class="plot" role="img" aria-label=`) {
			if !strings.Contains(b.String(), w) {
				t.Errorf("%s: the page lacks %q", candidate, w)
			}
		}
		if found := regexp.MustCompile(`(?i)<script|<link|<img|src=|href=|url\(|@import|https?://`).FindString(b.String()); found != "" {
			t.Errorf("%s: the page has %s", candidate, found)
		}
	}
	// A report of nothing is a page as well.
	empty := newLab(t, 1).run(typ)
	var b strings.Builder
	if err := empty.HTML(&b); err != nil || !strings.Contains(b.String(), "There was no command to compare.") {
		t.Errorf("%v\n%s", err, b.String())
	}
	empty.Judge(compare.Thresholds{Slowdown: new(1.1)})
	if empty.Verdict.Passed {
		t.Error("nothing has passed")
	}
}
