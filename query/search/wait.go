package search

import (
	"context"
	"errors"
	"fmt"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
	"github.com/cqrsflow/cqrsflow/query"
)

// positions are how far the partitions are.
func positions(all []searchindex.Progress) []event.Position {
	out := make([]event.Position, 0, len(all))
	for i := range all {
		if pos, ok := all[i].Position(); ok {
			out = append(out, pos)
		}
	}
	return out
}

// behind returns those positions that the read model has still to apply.
func behind(all []searchindex.Progress, after []event.Position) []event.Position {
	var missing []event.Position
	for _, want := range after {
		if want.Aggregate != searchindex.Aggregate {
			continue
		}
		applied := false
		for i := range all {
			pos, ok := all[i].Position()
			applied = applied || ok && pos.Aggregate == want.Aggregate && pos.Partition == want.Partition && pos.Offset >= want.Offset
		}
		if !applied {
			missing = append(missing, want)
		}
	}
	return missing
}

// waitError is why a wait ended without what it waited for.
func waitError(ctx context.Context, missing []event.Position) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("wait for search to apply %s: %w", event.FormatPositions(missing), query.ErrBehind)
	}
	return fmt.Errorf("wait for search: %w", ctx.Err())
}
