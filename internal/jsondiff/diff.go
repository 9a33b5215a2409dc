// Package jsondiff compares decoded JSON values.
package jsondiff

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
)

// Change is a difference between two JSON values. A side that is absent is nil.
type Change struct {
	Path   string `json:"path"`
	Before any    `json:"before"`
	After  any    `json:"after"`
}

// Diff lists the paths whose values differ, in the order of their names; only leaves, and whole values
// that are on one side only.
func Diff(before, after any) []Change {
	out := []Change{}
	diffInto(&out, "", before, after)
	return out
}

func diffInto(out *[]Change, path string, before, after any) {
	if reflect.DeepEqual(before, after) {
		return
	}
	switch b := before.(type) {
	case map[string]any:
		if a, ok := after.(map[string]any); ok {
			keys := maps.Clone(b)
			maps.Copy(keys, a)
			for _, k := range slices.Sorted(maps.Keys(keys)) {
				p := k
				if path != "" {
					p = path + "." + k
				}
				diffInto(out, p, b[k], a[k])
			}
			return
		}
	case []any:
		if a, ok := after.([]any); ok {
			at := func(s []any, i int) any {
				if i < len(s) {
					return s[i]
				}
				return nil
			}
			for i := range max(len(a), len(b)) {
				diffInto(out, fmt.Sprintf("%s[%d]", path, i), at(b, i), at(a, i))
			}
			return
		}
	case nil:
		// What appears whole is shown by its parts where it is an object at the top.
		if a, ok := after.(map[string]any); ok && path == "" {
			diffInto(out, path, map[string]any{}, a)
			return
		}
	}
	if _, ok := before.(map[string]any); ok && after == nil && path == "" {
		diffInto(out, path, before, map[string]any{})
		return
	}
	*out = append(*out, Change{path, before, after})
}

// Text is a JSON value on one line; nothing is a dash.
func Text(v any) string {
	if v == nil {
		return "-"
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}
