// Package catchup tells how far consumer groups are behind the log: for a person who waits for the read models,
// not for programs, which have positions for that.
package catchup

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/cqrsflow/cqrsflow/event"
)

// Group is a consumer group by the name that people know.
type Group struct {
	// Name is the projection, "command" or a reactor; ID is the group.
	Name string `json:"name"`
	ID   string `json:"group"`
}

// Lag is how far a group is behind.
type Lag struct {
	Group
	// State is Kafka's: Stable where it works, Empty where nobody does, Dead where it never existed.
	State   string `json:"state"`
	Members int    `json:"members"`
	// Done and Total are offsets summed over partitions. Markers of transactions count, so a group that has
	// done everything may lag by one a partition: Lag leaves that one out.
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
	Lag   int64 `json:"lag"`
}

// Measure asks Kafka. Its error wraps event.ErrUnavailable.
func Measure(ctx context.Context, admin *kadm.Client, groups []Group) ([]Lag, error) {
	ids := make([]string, len(groups))
	for i, g := range groups {
		ids[i] = g.ID
	}
	found, err := admin.Lag(ctx, slices.Clone(ids)...)
	if err != nil {
		return nil, fmt.Errorf("%w: measure lag: %w", event.ErrUnavailable, err)
	}
	out := make([]Lag, len(groups))
	for i, g := range groups {
		f, ok := found[g.ID]
		out[i] = Lag{Group: g, State: f.State, Members: len(f.Members)}
		if !ok || f.State == "" {
			out[i].State = "Dead"
		}
		if err := f.Error(); err != nil && f.State != "Dead" {
			return nil, fmt.Errorf("%w: measure lag of group %s: %w", event.ErrUnavailable, g.ID, err)
		}
		for _, topic := range f.Lag {
			for _, p := range topic {
				if p.Err != nil || p.Lag < 0 {
					continue
				}
				out[i].Total += p.End.Offset
				out[i].Done += p.End.Offset - p.Lag
				if p.Lag > 1 {
					out[i].Lag += p.Lag
				}
			}
		}
	}
	return out, nil
}

// lookEvery is how often Wait asks; settled is how many looks in a row must find nothing to do and nothing new.
const (
	lookEvery = 250 * time.Millisecond
	settled   = 3
)

// Wait blocks until the groups that have members have nothing left to do, and nothing has come in between:
// what one of them does may be another's work. groups tells which there are now; those without members are
// left out. While busy, where not nil, says that there is more to come, it goes on. show, where not nil, is
// told how far they are together.
func Wait(ctx context.Context, admin *kadm.Client, groups func(context.Context) ([]Group, error), busy func() bool, show func(done, total int64)) error {
	var last int64
	for calm := 0; calm < settled; {
		now, err := groups(ctx)
		if err != nil {
			return err
		}
		lags, err := Measure(ctx, admin, now)
		if err != nil {
			return err
		}
		var done, total, lag int64
		for _, l := range lags {
			if l.Members > 0 {
				done, total, lag = done+l.Done, total+l.Total, lag+l.Lag
			}
		}
		if show != nil {
			show(done, total)
		}
		if calm++; lag > 0 || total != last || busy != nil && busy() {
			calm, last = 0, total
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(lookEvery):
		}
	}
	return nil
}
