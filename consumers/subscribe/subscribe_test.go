package subscribe_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/cqrsflow/cqrsflow/consumers/internal/logtest"
	"github.com/cqrsflow/cqrsflow/consumers/subscribe"
	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/aggregates"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A program that mails customers when their orders are shipped.
func Example() {
	orders, _ := aggregates.Lookup("order")
	run := func(ctx context.Context, brokers ...string) error {
		return subscribe.Run(ctx, subscribe.Config{
			Group:      "mailer",
			Client:     []kgo.Opt{kgo.SeedBrokers(brokers...)},
			Aggregates: []*decider.Type{orders},
			Wants:      []string{"order.v1.OrderShipped"},
			Handle: func(_ context.Context, events []subscribe.Event) error {
				for _, e := range events {
					fmt.Println(e.Stream, "was shipped with event", e.Version)
				}
				return nil
			},
		})
	}
	t := &example{}
	defer t.end()
	log := logtest.New(t, 1, "order")
	log.Append(t, "order", logtest.One("order-7", &orderv1.OrderPlaced{Customer: "c-1"}, &orderv1.OrderPaid{}, &orderv1.OrderShipped{}))
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := run(ctx, log.Cluster.ListenAddrs()...); err != nil {
		fmt.Println(err)
	}
	// Output: order-7 was shipped with event 3
}

type seen struct {
	mu struct {
		sync.Mutex
		ids  []string
		errs []error
		fail int
	}
}

func (s *seen) handle(_ context.Context, events []subscribe.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.fail > 0 {
		s.mu.fail--
		return errors.New("not now")
	}
	for _, e := range events {
		s.mu.ids = append(s.mu.ids, e.ID())
		if e.Err != nil {
			s.mu.errs = append(s.mu.errs, e.Err)
		} else if e.Body == nil {
			s.mu.errs = append(s.mu.errs, errors.New("no body"))
		}
	}
	return nil
}

func (s *seen) ids() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mu.ids)
}

func start(t *testing.T, log *logtest.Log, s *seen, edit func(*subscribe.Config)) func() {
	t.Helper()
	cfg := subscribe.Config{Group: "test", Client: log.Client(), Aggregates: []*decider.Type{logtest.Types(t, "order")["order"]},
		Handle: s.handle, RetryMin: time.Millisecond, Logger: slog.New(slog.DiscardHandler)}
	if edit != nil {
		edit(&cfg)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- subscribe.Run(ctx, cfg) }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

func TestEventsComeInOrderAndAgainAfterAFailure(t *testing.T) {
	log := logtest.New(t, 1, "order")
	log.Append(t, "order", logtest.One("o-1", &orderv1.OrderPlaced{}, &orderv1.OrderPaid{}), logtest.Raw("o-1", "order.v1.OrderPaid", []byte("\xff")))
	log.Foreign(t, "order", "o-1")
	var s seen
	s.mu.fail = 3
	stop := start(t, log, &s, nil)
	logtest.Until(t, "all events came", func() bool { return len(s.ids()) == 3 })
	if diff := cmp.Diff([]string{"o-1/1", "o-1/2", "o-1/3"}, s.ids()); diff != "" {
		t.Error(diff)
	}
	if len(s.mu.errs) != 1 || !errors.Is(s.mu.errs[0], event.ErrUndecodable) {
		t.Errorf("errors: %v", s.mu.errs)
	}
	logtest.Until(t, "lag is 0", func() bool { return lag(t, log) == 0 })
	stop()

	// A restart goes on after what was handled.
	var again seen
	start(t, log, &again, nil)
	log.Append(t, "order", logtest.One("o-2", &orderv1.OrderPlaced{}))
	logtest.Until(t, "the new event came", func() bool { return len(again.ids()) > 0 })
	if diff := cmp.Diff([]string{"o-2/1"}, again.ids()); diff != "" {
		t.Error(diff)
	}
}

func lag(t *testing.T, log *logtest.Log) int64 {
	t.Helper()
	cl, err := kgo.NewClient(log.Client()...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	lags, err := kadm.NewClient(cl).Lag(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	var sum int64
	lags.Each(func(l kadm.DescribedGroupLag) { sum += l.Lag.Total() })
	return sum
}

func TestWantsAndFromEnd(t *testing.T) {
	log := logtest.New(t, 1, "order")
	log.Append(t, "order", logtest.One("o-1", &orderv1.OrderPlaced{}, &orderv1.OrderPaid{}))
	var all, end seen
	start(t, log, &all, func(c *subscribe.Config) { c.Wants = []string{"order.v1.OrderPaid"} })
	logtest.Until(t, "the wanted event came", func() bool { return len(all.ids()) > 0 })
	if diff := cmp.Diff([]string{"o-1/2"}, all.ids()); diff != "" {
		t.Error(diff)
	}
	start(t, log, &end, func(c *subscribe.Config) { c.Group, c.FromEnd = "other", true })
	n := 1
	logtest.Until(t, "an event came from the end", func() bool {
		n++
		log.Append(t, "order", logtest.One(fmt.Sprintf("o-%d", n), &orderv1.OrderPlaced{}))
		return len(end.ids()) > 0
	})
	if slices.Contains(end.ids(), "o-1/1") {
		t.Errorf("events from before the start: %v", end.ids())
	}
}

func TestConfigIsChecked(t *testing.T) {
	if err := subscribe.Run(t.Context(), subscribe.Config{Group: "x"}); !errors.Is(err, event.ErrConfig) {
		t.Error(err)
	}
}

// example stands in for a test: an Example has none.
type example struct {
	testing.TB
	cleanups []func()
}

func (*example) Helper() {}

func (e *example) Cleanup(f func()) { e.cleanups = append(e.cleanups, f) }

func (*example) Fatal(args ...any) { panic(fmt.Sprint(args...)) }

func (*example) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func (e *example) end() {
	for _, f := range slices.Backward(e.cleanups) {
		f()
	}
}
