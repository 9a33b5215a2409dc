package main

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDiffJSON(t *testing.T) {
	parse := func(s string) (v any) {
		if err := json.Unmarshal([]byte(s), &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct {
		before, after string
		want          []change
	}{
		{`{"a":1,"b":[1,2]}`, `{"b":[1,2],"a":1}`, []change{}},
		{`{"status":"placed","version":1}`, `{"status":"paid","version":2,"paidAt":"x"}`,
			[]change{{"paidAt", nil, "x"}, {"status", "placed", "paid"}, {"version", 1.0, 2.0}}},
		{`{"lines":[{"sku":"a"}]}`, `{"lines":[{"sku":"b"},{"sku":"c"}]}`,
			[]change{{"lines[0].sku", "a", "b"}, {"lines[1]", nil, map[string]any{"sku": "c"}}}},
		{`null`, `{"a":1}`, []change{{"a", nil, 1.0}}},
		{`{"a":1}`, `null`, []change{{"a", 1.0, nil}}},
		{`{"a":{"b":1}}`, `{"a":2}`, []change{{"a", map[string]any{"b": 1.0}, 2.0}}},
	} {
		if d := cmp.Diff(c.want, diffJSON(parse(c.before), parse(c.after))); d != "" {
			t.Errorf("%s to %s (-want +got):\n%s", c.before, c.after, d)
		}
	}
}
