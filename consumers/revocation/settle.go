package revocation

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/cqrsflow/cqrsflow/event"
)

// settle is how long Settle waits at most: transactions end in much less, unless somebody has left one open.
const settle = 2 * time.Second

// Settle waits until all is known that anybody can have heard of by now, so that who was revoked before it was called does not count
// after it. An outcome can be read a moment before its events: so it waits for transactions that are just ending, too, up to 2 s.
// Longer there is nothing to wait for; then what is known counts, as long as it is not stale.
func (f *Feed) Settle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	if err := f.catchUp(ctx, (*kadm.Client).ListEndOffsets); err != nil {
		f.cfg.Logger.Warn("who was revoked just now may not be known", "error", err)
	}
}

type list func(*kadm.Client, context.Context, ...string) (kadm.ListedOffsets, error)

// catchUp waits until everything is known up to the ends that list has as of now.
func (f *Feed) catchUp(ctx context.Context, list list) error {
	began := f.cfg.Clock()
	topics := make([]string, 0, len(f.types))
	for topic := range f.types {
		topics = append(topics, topic)
	}
	ends, err := list(kadm.NewClient(f.admin), ctx, topics...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return fmt.Errorf("%w: where the log ends: %w", event.ErrUnavailable, err)
	}
	for {
		f.mu.Lock()
		behind := len(f.next) == 0
		ends.Each(func(o kadm.ListedOffset) {
			behind = behind || f.next[place{o.Topic, o.Partition}] < o.Offset
		})
		if !behind && began.After(f.as) {
			f.as = began
			select {
			case <-f.caught:
			default:
				close(f.caught)
			}
		}
		moved := f.moved
		f.mu.Unlock()
		if !behind {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("%w: read to where the log ended: %w", event.ErrUnavailable, ctx.Err())
		}
	}
}
