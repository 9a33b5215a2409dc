package trace

import (
	"net/http"
	"strings"
	"testing"
)

func TestOf(t *testing.T) {
	const id, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	for _, c := range []struct {
		parents   []string
		continued bool
	}{
		{[]string{"00-" + id + "-" + span + "-01"}, true},
		{[]string{"cc-" + id + "-" + span + "-01-more"}, true},
		{[]string{"00-" + id + "-" + span + "-01-more"}, false},
		{[]string{"ff-" + id + "-" + span + "-01"}, false},
		{[]string{"00-" + strings.ToUpper(id) + "-" + span + "-01"}, false},
		{[]string{"00-" + strings.Repeat("0", 32) + "-" + span + "-01"}, false},
		{[]string{"00-" + id + "-" + span + "-01", "00-" + id + "-" + span + "-01"}, false},
		{[]string{"nonsense"}, false},
		{nil, false},
	} {
		got := Of(http.Header{"Traceparent": c.parents})
		if got.Continued != c.continued || (got.TraceID == id) != c.continued || len(got.TraceID) != 32 || len(got.Parent) != 55 || strings.Contains(got.Parent, span) ||
			strings.HasSuffix(got.Parent, "-01") != c.continued {
			t.Errorf("%q: %+v", c.parents, got)
		}
	}
	for value, want := range map[string]string{"r-1": "r-1", "": "", "a b": "", "a\x7f": "", "ü": "", strings.Repeat("x", 128): strings.Repeat("x", 128), strings.Repeat("x", 129): ""} {
		if got := Of(http.Header{"X-Request-Id": {value}}).RequestID; got != want {
			t.Errorf("the request ID %q is taken as %q", value, got)
		}
	}
}
