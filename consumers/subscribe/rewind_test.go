package subscribe_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/cqrsflow/cqrsflow/consumers/internal/logtest"
	"github.com/cqrsflow/cqrsflow/consumers/subscribe"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

// Who begins at the end and cannot handle its first batch gets that batch again, not the whole past.
func TestFromEndAfterAFailure(t *testing.T) {
	log := logtest.New(t, 1, "order")
	log.Append(t, "order", logtest.One("old", &orderv1.OrderPlaced{}, &orderv1.OrderPaid{}))
	var s seen
	var failed atomic.Bool
	start(t, log, &s, func(c *subscribe.Config) {
		c.Group, c.FromEnd = "mailer", true
		c.Handle = func(ctx context.Context, e []subscribe.Event) error {
			if failed.CompareAndSwap(false, true) {
				return errors.New("the mail server is down")
			}
			return s.handle(ctx, e)
		}
	})
	n := 1
	logtest.Until(t, "an event came from the end", func() bool {
		n++
		log.Append(t, "order", logtest.One(fmt.Sprintf("o-%d", n), &orderv1.OrderPlaced{}))
		return len(s.ids()) > 0
	})
	if slices.Contains(s.ids(), "old/1") {
		t.Errorf("events from before the start were handled: %v", s.ids()[:2])
	}
}
