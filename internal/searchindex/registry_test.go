package searchindex

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cqrsflow/cqrsflow/event"
)

func (r *Registry) states() (out []string) {
	for _, v := range r.Versions {
		out = append(out, fmt.Sprintf("%d.%d %s", v.Number, v.Shape, v.State))
	}
	return out
}

func TestRegistry(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r := NewRegistry(1, 1, now)
	expect := func(want ...string) {
		t.Helper()
		if d := cmp.Diff(want, r.states()); d != "" {
			t.Error(d)
		}
	}
	if _, err := r.Cancel(); !errors.Is(err, event.ErrNotFound) {
		t.Errorf("cancel: %v", err)
	}
	if began, _ := r.Require(1, now); began {
		t.Error("the same shape was built again")
	}
	if v, began, _ := r.Begin(1, now); !began || v.Number != 2 {
		t.Errorf("begin: %+v", v)
	}
	if v, began, _ := r.Begin(1, now); began || v.Number != 2 {
		t.Errorf("begin again: %+v", v)
	}
	before := r
	if began, gone := r.Require(2, now); !began || !cmp.Equal(gone, []int{2}) {
		t.Errorf("a later shape: %v, %v", began, gone)
	}
	if d := cmp.Diff([]string{"1.1 active", "2.1 building"}, before.states()); d != "" {
		t.Errorf("a copy was changed: %s", d)
	}
	expect("1.1 active", "3.2 building")
	if r.Switch(2, Active, now) {
		t.Error("switched to what is not there")
	}
	if !r.Switch(3, Switching, now) {
		t.Error("not switching")
	}
	if _, err := r.Cancel(); !errors.Is(err, event.ErrInvalid) {
		t.Errorf("cancel in the middle of the switch: %v", err)
	}
	if began, _ := r.Require(3, now); began {
		t.Error("the switch was broken off")
	}
	if !r.Switch(3, Active, now) {
		t.Error("not switched")
	}
	expect("1.1 retired", "3.2 active")
	if _, began, gone := r.Begin(2, now); !began || !cmp.Equal(gone, []int{1}) {
		t.Errorf("what is retired: %v", gone)
	}
	if v, err := r.Cancel(); err != nil || v != 4 {
		t.Errorf("cancel: %d, %v", v, err)
	}
	expect("3.2 active")
}
