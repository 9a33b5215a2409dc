package jsondiff

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDiff(t *testing.T) {
	parse := func(s string) (v any) {
		if err := json.Unmarshal([]byte(s), &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct {
		before, after string
		want          []Change
	}{
		{`{"a":1,"b":[1,2]}`, `{"b":[1,2],"a":1}`, []Change{}},
		{`{"status":"placed","version":1}`, `{"status":"paid","version":2,"paidAt":"x"}`,
			[]Change{{"paidAt", nil, "x"}, {"status", "placed", "paid"}, {"version", 1.0, 2.0}}},
		{`{"lines":[{"sku":"a"}]}`, `{"lines":[{"sku":"b"},{"sku":"c"}]}`,
			[]Change{{"lines[0].sku", "a", "b"}, {"lines[1]", nil, map[string]any{"sku": "c"}}}},
		{`null`, `{"a":1}`, []Change{{"a", nil, 1.0}}},
		{`{"a":1}`, `null`, []Change{{"a", 1.0, nil}}},
		{`{"a":{"b":1}}`, `{"a":2}`, []Change{{"a", map[string]any{"b": 1.0}, 2.0}}},
	} {
		if d := cmp.Diff(c.want, Diff(parse(c.before), parse(c.after))); d != "" {
			t.Errorf("%s to %s (-want +got):\n%s", c.before, c.after, d)
		}
	}
}
