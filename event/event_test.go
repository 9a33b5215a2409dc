package event

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestStreamID(t *testing.T) {
	for _, good := range []string{"o", "o-1", "A.b_c:d-9", strings.Repeat("x", MaxStreamID)} {
		if id, err := ParseStreamID(good); err != nil || string(id) != good {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", "a b", "a/b", "ö", "!checkpoint", "a\x00", strings.Repeat("x", MaxStreamID+1)} {
		if _, err := ParseStreamID(bad); !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestCommandID(t *testing.T) {
	for id, good := range map[string]bool{"a": true, "with space ~": true, strings.Repeat("x", 64): true, "": false, strings.Repeat("x", 65): false, "tab\t": false, "ö": false} {
		if err := CheckCommandID(id); (err == nil) != good {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestPosition(t *testing.T) {
	p := Position{Aggregate: "order", Partition: 3, Offset: 1024}
	if p.String() != "order/3@1024" {
		t.Error(p.String())
	}
	ps, err := ParsePositions(" order/3@1024, customer/0@0 ,")
	if err != nil || len(ps) != 2 || ps[0] != p || FormatPositions(ps) != "order/3@1024, customer/0@0" {
		t.Error(ps, err)
	}
	if (Position{}).String() != "" || FormatPositions([]Position{{}}) != "" {
		t.Error("the zero position has a text")
	}
	for _, bad := range []string{"order", "order/3", "/3@1", "order/-1@1", "order/3@-1", "order/3@x", "order/9999999999@1"} {
		if _, err := ParsePosition(bad); !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzPosition(f *testing.F) {
	f.Add("order/3@1024")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePosition(s)
		if err != nil {
			return
		}
		if again, err := ParsePosition(p.String()); err != nil || again != p {
			t.Errorf("%q: %+v, then %+v, %v", s, p, again, err)
		}
	})
}

func TestKindsHaveNames(t *testing.T) {
	for k, want := range map[Kind]string{0: "unknown", Accepted: "accepted", Rejected: "rejected", Conflict: "conflict", Denied: "denied", Invalid: "invalid", 200: "unknown"} {
		if k.String() != want {
			t.Errorf("%d is %s", k, k)
		}
	}
}

func TestSafeToRetry(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{fmt.Errorf("reading: %w", ErrUnavailable), true},
		{ErrOutcomeUnknown, false},
		{ErrCorrupt, false},
		{fmt.Errorf("%w: %w", ErrUnavailable, context.Canceled), false},
		{fmt.Errorf("%w: %w", ErrUnavailable, context.DeadlineExceeded), false},
	} {
		if SafeToRetry(c.err) != c.want {
			t.Errorf("%v: %v", c.err, !c.want)
		}
	}
	if err := Reject("no_way", "not %d", 7); err.Error() != "no_way: not 7" {
		t.Error(err)
	}
}
