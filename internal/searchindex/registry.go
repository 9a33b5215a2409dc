package searchindex

import (
	"fmt"
	"slices"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
)

// State is what becomes of a version of the read model.
type State string

// The states of a version, see consumers/rebuild. Switching is a building one to which readers are being
// switched: it cannot be given up any more.
const (
	Building  State = "building"
	Switching State = "switching"
	Active    State = "active"
	Retired   State = "retired"
)

// Version is one filling of the read model, in an index of its own.
type Version struct {
	Number   int       `json:"version"`
	Shape    int       `json:"shape"`
	State    State     `json:"state"`
	Began    time.Time `json:"beganAt"`
	Switched time.Time `json:"switchedAt,omitzero"`
}

// Registry says which versions there are. It is stored beside the indexes, as JSON.
type Registry struct {
	// Last is the number given out last: none is given out twice.
	Last int `json:"last"`
	// Versions are the oldest first. One is active; one at most is building or switching.
	Versions []Version `json:"versions"`
}

// NewRegistry is that of an index of which nothing is recorded: its version is active.
func NewRegistry(version, shape int, now time.Time) Registry {
	return Registry{Last: version, Versions: []Version{{Number: version, Shape: shape, State: Active, Began: now, Switched: now}}}
}

// Active is the version that readers see.
func (r *Registry) Active() Version {
	i := slices.IndexFunc(r.Versions, func(v Version) bool { return v.State == Active })
	if i < 0 {
		return Version{}
	}
	return r.Versions[i]
}

// Next is the version that is being built; false where there is none.
func (r *Registry) Next() (Version, bool) {
	i := slices.IndexFunc(r.Versions, func(v Version) bool { return v.State == Building || v.State == Switching })
	if i < 0 {
		return Version{}, false
	}
	return r.Versions[i], true
}

// Get finds a version.
func (r *Registry) Get(version int) (Version, bool) {
	i := slices.IndexFunc(r.Versions, func(v Version) bool { return v.Number == version })
	if i < 0 {
		return Version{}, false
	}
	return r.Versions[i], true
}

// Begin adds a version to be built, unless there is one: it returns that. Retired ones are taken out, and
// returned to be removed.
func (r *Registry) Begin(shape int, now time.Time) (v Version, began bool, gone []int) {
	if v, ok := r.Next(); ok {
		return v, false, nil
	}
	r.Versions = slices.DeleteFunc(slices.Clone(r.Versions), func(v Version) bool {
		if v.State == Retired {
			gone = append(gone, v.Number)
		}
		return v.State == Retired
	})
	r.Last++
	v = Version{Number: r.Last, Shape: shape, State: Building, Began: now}
	r.Versions = append(r.Versions, v)
	return v, true, gone
}

// Require begins a version of a shape that the active one has not reached, unless one is being built; one
// of an earlier shape is given up for it, and returned to be removed.
func (r *Registry) Require(shape int, now time.Time) (began bool, gone []int) {
	next, there := r.Next()
	if r.Active().Shape >= shape || there && (next.Shape >= shape || next.State == Switching) {
		return false, nil
	}
	if there {
		r.remove(next.Number)
		gone = []int{next.Number}
	}
	_, began, more := r.Begin(shape, now)
	return began, append(gone, more...)
}

// Cancel takes out the version that is being built. Its errors are event.ErrNotFound where there is none,
// and event.ErrInvalid where readers are being switched to it.
func (r *Registry) Cancel() (int, error) {
	next, ok := r.Next()
	switch {
	case !ok:
		return 0, fmt.Errorf("%w: no version of %s is being built", event.ErrNotFound, Name)
	case next.State == Switching:
		return 0, fmt.Errorf("%w: version %d of %s is complete: readers are being switched to it", event.ErrInvalid, next.Number, Name)
	}
	r.remove(next.Number)
	return next.Number, nil
}

// Remove takes a version out.
func (r *Registry) Remove(version int) { r.remove(version) }

func (r *Registry) remove(version int) {
	r.Versions = slices.DeleteFunc(slices.Clone(r.Versions), func(v Version) bool { return v.Number == version })
}

// Switch notes that a version is being switched to, in two steps: it is complete, and readers see it. It
// reports false where the version is not being built, nor switched to.
func (r *Registry) Switch(version int, to State, now time.Time) bool {
	next, ok := r.Next()
	if !ok || next.Number != version {
		return false
	}
	r.Versions = slices.Clone(r.Versions)
	for i := range r.Versions {
		v := &r.Versions[i]
		switch {
		case v.Number == version && to == Active:
			v.State, v.Switched = Active, now
		case v.Number == version:
			v.State = to
		case v.State == Active && to == Active:
			v.State = Retired
		}
	}
	return true
}
