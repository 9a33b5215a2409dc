package rebuild

import (
	"context"
	"fmt"
	"time"

	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
)

// State is what becomes of a version.
type State string

// The states of a version.
const (
	// Building: it is being filled, and nobody reads it.
	Building State = "building"
	// Active: readers see it.
	Active State = "active"
	// Retired: another one took its place. It is not fed any more, and is there until it is dropped, or
	// the next rebuild begins.
	Retired State = "retired"
)

// Version is one filling of a read model.
type Version struct {
	Number int
	// Shape is that of the code that fills it.
	Shape int
	State State
	// Began is when it was asked for, Switched when it became active; zero before that.
	Began, Switched time.Time
	// Healing counts the streams that are marked to be healed in it.
	Healing int
}

// Of returns the version in a state; false where there is none. There is one at most, but for Retired.
func Of(versions []Version, s State) (Version, bool) {
	for _, v := range versions {
		if v.State == s {
			return v, true
		}
	}
	return Version{}, false
}

// Place is how far a version has processed a partition, as its store says.
type Place struct {
	Aggregate string
	Source    runner.Source
	Partition int32
	TopicID   [16]byte
	Next      int64
}

// Healing is a stream that was marked to be made anew. Failed says why that could not be done; while it
// is empty, its turn is still to come.
type Healing struct {
	Aggregate string
	Stream    event.StreamID
	Failed    string
}

// Store keeps the versions of one projection's read model. It is safe for concurrent use, also by several
// processes. Errors wrap event.ErrUnavailable where trying again may help.
type Store interface {
	// Versions lists them, oldest first.
	Versions(ctx context.Context) ([]Version, error)
	// Begin asks for a new version of this code's shape, or returns the one that is being built, and
	// false. What was retired is dropped.
	Begin(ctx context.Context) (v Version, began bool, err error)
	// Cancel gives up the version that is being built, and drops it; event.ErrNotFound where there is none.
	Cancel(ctx context.Context) (version int, err error)
	// Drop removes a retired version; event.ErrNotFound where there is none of that number, and
	// event.ErrInvalid where it is not retired.
	Drop(ctx context.Context, version int) error
	// Prepare makes what is missing of a version's tables or indexes, and returns where events go. Its
	// error is event.ErrNotFound where the version has been dropped.
	Prepare(ctx context.Context, version int) (runner.Sink, error)
	// Places are how far a version is.
	Places(ctx context.Context, version int) ([]Place, error)
	// Switch makes the version that is being built the active one, if it has caught up; it reports
	// whether it is active now. ends asks for the log's ends. It may be called by several processes at once.
	Switch(ctx context.Context, version int, ends Ends) (bool, error)
	// Heal marks streams of an aggregate type, in the active version, to be made anew by the workers of
	// their partitions, of which the type has so many. Marks that failed before are forgotten. Its error
	// is event.ErrInvalid where what is stored of one stream cannot be told from what is of others.
	Heal(ctx context.Context, aggregate string, partitions int32, streams []event.StreamID) error
	// Healing lists the marks of the active version.
	Healing(ctx context.Context) ([]Healing, error)
}

// Ends asks where the partitions of a projection's topics begin and end.
type Ends func(context.Context) ([]runner.End, error)

// Droppable says why a version cannot be dropped, in the errors of Store.Drop.
func Droppable(versions []Version, projection string, version int) error {
	for _, v := range versions {
		switch {
		case v.Number != version:
			continue
		case v.State == Active:
			return fmt.Errorf("%w: version %d of %s is the active one: readers see it", event.ErrInvalid, version, projection)
		case v.State == Building:
			return fmt.Errorf("%w: version %d of %s is being built: `cqrsflow projection cancel %s` gives it up", event.ErrInvalid, version, projection, projection)
		}
		return nil
	}
	return fmt.Errorf("%w: there is no version %d of %s", event.ErrNotFound, version, projection)
}
