package decider_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
)

// double is another version of counter's Decide.
func double(c decider.Command[int], _ int) ([]int, error) { return []int{2 * c.Body}, nil }

func TestVariants(t *testing.T) {
	s := spec()
	s.Variants = []decider.Variant[int, int, int]{{Name: "v2", Decide: double}}
	typ, err := decider.NewType(s)
	if err != nil {
		t.Fatal(err)
	}
	if got := typ.Variants(); !slices.Equal(got, []string{"v1", "v2"}) {
		t.Error(got)
	}
	for name, want := range map[string][]any{"": {4, 1}, "v1": {4, 1}, "v2": {8}} {
		v, ok := typ.Variant(name)
		if !ok {
			t.Fatalf("there is no %q", name)
		}
		if got, err := v.Decide(event.Command{}, 4, typ.Initial()); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q decided %v, %v", name, got, err)
		}
	}
	if got, err := typ.Decide(event.Command{}, 4, 0); err != nil || !slices.Equal(got, []any{4, 1}) {
		t.Errorf("the default decided %v, %v", got, err)
	}
	if _, ok := typ.Variant("v3"); ok {
		t.Error("a variant that nobody registered")
	}
}

func TestBadVariants(t *testing.T) {
	for want, variants := range map[string][]decider.Variant[int, int, int]{
		`"v1" is registered twice`:        {{Name: "v1", Decide: double}},
		`"v2" is registered twice`:        {{Name: "v2", Decide: double}, {Name: "v2", Decide: double}},
		`"v2" needs Decide`:               {{Name: "v2"}},
		`"" must have a name`:             {{Decide: double}},
		`"a=b" must have a name of lower`: {{Name: "a=b", Decide: double}},
	} {
		s := spec()
		s.Variants = variants
		if _, err := decider.NewType(s); !errors.Is(err, event.ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	s := spec()
	s.Variant = "Base"
	if _, err := decider.NewType(s); !errors.Is(err, event.ErrConfig) {
		t.Error(err)
	}
}
