package decider_test

import (
	"errors"
	"testing"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
)

var counter = decider.Decider[decider.Command[int], int, int]{
	Initial: func() int { return 0 },
	Decide: func(c decider.Command[int], s int) ([]int, error) {
		if c.Body < 0 {
			return nil, event.Reject("negative", "%d", c.Body)
		}
		return []int{c.Body, 1}, nil
	},
	Evolve: func(s, e int) int { return s + e },
}

// codec is of no use but to be there: these tests decode events by their version.
type codec struct{ decider.Codec }

func (codec) DecodeEvent(e *event.Envelope) (any, error) {
	if e.Type != "added" {
		return nil, event.ErrUnknownType
	}
	return int(e.Version), nil
}

func spec() decider.Spec[int, int, int] {
	return decider.Spec[int, int, int]{Name: "counter", Plural: "counters", Decider: counter, Codec: codec{},
		Commands: []decider.CommandType{{Type: "v1.Add", Name: "add"}}}
}

func TestFold(t *testing.T) {
	if s := counter.Fold(1, 2, 3); s != 6 {
		t.Error(s)
	}
	if s := counter.FoldFrom(10, 1); s != 11 {
		t.Error(s)
	}
}

func TestTypeDecidesAndFoldsAsItsDecider(t *testing.T) {
	typ, err := decider.NewType(spec())
	if err != nil {
		t.Fatal(err)
	}
	events, err := typ.Decide(event.Command{}, 4, typ.Initial())
	if err != nil || len(events) != 2 || events[0] != 4 || typ.Evolve(1, events[0]) != 5 {
		t.Error(events, err)
	}
	if _, err := typ.Decide(event.Command{}, -1, 0); err == nil {
		t.Error("not rejected")
	} else if r, ok := decider.AsRejection(err); !ok || r.Code != "negative" {
		t.Error(err)
	}
	if c, ok := typ.Command("add"); !ok || c.Type != "v1.Add" {
		t.Error(c, ok)
	}
	if _, ok := typ.Command("fly"); ok {
		t.Error("it cannot fly")
	}
}

func TestExtendIsContiguous(t *testing.T) {
	typ, err := decider.NewType(spec())
	if err != nil {
		t.Fatal(err)
	}
	s := typ.Begin()
	for v := event.Version(1); v <= 3; v++ {
		if s, err = typ.Extend(s, &event.Envelope{Version: v, Type: "added"}); err != nil {
			t.Fatal(err)
		}
	}
	if s.State != 6 || s.Version != 3 {
		t.Errorf("%+v", s)
	}
	for _, v := range []event.Version{3, 5} {
		if got, err := typ.Extend(s, &event.Envelope{Version: v, Type: "added"}); !errors.Is(err, event.ErrCorrupt) || got.Version != 3 {
			t.Errorf("version %d after 3: %+v, %v", v, got, err)
		}
	}
	if _, err := typ.Extend(s, &event.Envelope{Version: 4, Type: "other"}); !errors.Is(err, event.ErrUnknownType) {
		t.Error(err)
	}
}

func TestSpecIsChecked(t *testing.T) {
	for name, spoil := range map[string]func(*decider.Spec[int, int, int]){
		"name":        func(s *decider.Spec[int, int, int]) { s.Name = "Counter" },
		"plural":      func(s *decider.Spec[int, int, int]) { s.Plural = "" },
		"decide":      func(s *decider.Spec[int, int, int]) { s.Decider.Decide = nil },
		"codec":       func(s *decider.Spec[int, int, int]) { s.Codec = nil },
		"no commands": func(s *decider.Spec[int, int, int]) { s.Commands = nil },
		"twice":       func(s *decider.Spec[int, int, int]) { s.Commands = append(s.Commands, s.Commands[0]) },
		"unnamed":     func(s *decider.Spec[int, int, int]) { s.Commands[0].Name = "" },
	} {
		s := spec()
		spoil(&s)
		if _, err := decider.NewType(s); !errors.Is(err, event.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
