package revocation_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cqrsflow/cqrsflow/consumers/internal/logtest"
	"github.com/cqrsflow/cqrsflow/consumers/revocation"
	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/event/principal"
	"github.com/cqrsflow/cqrsflow/internal/secret"
	"github.com/cqrsflow/cqrsflow/producer"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
	"github.com/cqrsflow/cqrsflow/schemas/record"
	sessionv1 "github.com/cqrsflow/cqrsflow/schemas/session/v1"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ada = principal.Principal{Kind: principal.User, ID: "ada", Session: "s-1", Roles: []string{"clerk", "customer"}}

// clock can be put forward.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// start follows the log until the test ends, and has read it to its end.
func start(t *testing.T, log *logtest.Log, edit func(*revocation.Config)) *revocation.Feed {
	t.Helper()
	types := logtest.Types(t, "user", "session")
	cfg := revocation.Config{Client: log.Client(), Users: types["user"], Sessions: types["session"], Every: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)}
	if edit != nil {
		edit(&cfg)
	}
	f, err := revocation.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Now(ada, time.Now()); !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("before anything was read: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	logtest.Until(t, "the log is read to its end", func() bool { ready, _ := f.Ready(); return ready })
	return f
}

func started() proto.Message {
	return &sessionv1.SessionStarted{User: "ada", AuthenticatedAt: timestamppb.Now()}
}

// What was revoked before Settle is known after it, however soon it is called.
func TestARevocationIsKnownOnceSettled(t *testing.T) {
	log := logtest.New(t, 3, "user", "session")
	log.Append(t, "session", logtest.One("s-1", started()))
	f := start(t, log, nil)
	if p, err := f.Now(ada, time.Now()); err != nil || len(p.Roles) != 2 {
		t.Fatalf("%v, %v", p, err)
	}
	log.Abort(t, "session", logtest.One("s-1", &sessionv1.SessionRevoked{}))
	log.Append(t, "user", logtest.One("ada", &userv1.RolesSet{Roles: []string{"customer"}}))
	f.Settle(t.Context())
	if p, err := f.Now(ada, time.Now()); err != nil || len(p.Roles) != 1 || p.Roles[0] != "customer" {
		t.Errorf("without a role, and a revocation that did not happen: %v, %v", p, err)
	}
	log.Append(t, "session", logtest.One("s-1", &sessionv1.SessionRevoked{User: "ada", Reason: "logout"}))
	f.Settle(t.Context())
	if _, err := f.Now(ada, time.Now()); !errors.Is(err, principal.ErrRevoked) {
		t.Errorf("revoked: %v", err)
	}
	service := principal.Principal{Kind: principal.Service, ID: "ada"}
	if p, err := f.Now(service, time.Now()); err != nil || p.ID != "ada" {
		t.Errorf("a service: %v, %v", p, err)
	}
	// A process that starts later knows it, too. Whoever has signed so long ago that nobody remembers does not count.
	again := start(t, log, nil)
	if _, err := again.Now(ada, time.Now()); !errors.Is(err, principal.ErrRevoked) {
		t.Errorf("revoked before the start: %v", err)
	}
	bea := principal.Principal{Kind: principal.User, ID: "bea"}
	if _, err := again.Now(bea, time.Now()); err != nil {
		t.Error(err)
	}
	if _, err := again.Now(bea, time.Now().Add(-31*24*time.Hour)); !errors.Is(err, principal.ErrRevoked) {
		t.Errorf("a command of a month ago: %v", err)
	}
}

// A user or session of whom an event cannot be read does not count: it may have revoked anything.
func TestWhatCannotBeReadRevokes(t *testing.T) {
	log := logtest.New(t, 1, "user", "session")
	log.Foreign(t, "session", "s-1")
	f := start(t, log, nil)
	log.Append(t, "user", logtest.Raw("ada", "user.v1.RolesSet", []byte("\xff")))
	f.Settle(t.Context())
	if _, err := f.Now(ada, time.Now()); !errors.Is(err, principal.ErrRevoked) {
		t.Error(err)
	}
}

// Who has heard nothing of the log's end for 5 s lets nobody in, and everybody again once it has.
func TestAStaleFeedFailsClosed(t *testing.T) {
	log := logtest.New(t, 1, "user", "session")
	c := &clock{}
	var down atomic.Bool
	log.Cluster.ControlKey(int16(kmsg.ListOffsets), func(kmsg.Request) (kmsg.Response, error, bool) {
		log.Cluster.KeepControl()
		return nil, errors.New("down"), down.Load()
	})
	f := start(t, log, func(cfg *revocation.Config) { cfg.Clock = c.now })
	down.Store(true)
	c.ahead.Add(int64(4 * time.Second))
	if _, err := f.Now(ada, c.now()); err != nil {
		t.Errorf("4 s old: %v", err)
	}
	c.ahead.Add(int64(2 * time.Second))
	if _, err := f.Now(ada, c.now()); !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("6 s old: %v", err)
	}
	if ready, why := f.Ready(); ready || why == "" {
		t.Error("it is ready")
	}
	down.Store(false)
	logtest.Until(t, "it has caught up", func() bool { _, err := f.Now(ada, c.now()); return err == nil })
}

// Commands that wait on their topic while nobody decides are denied where who signed them was revoked meanwhile, and are decided
// with the roles that are left.
func TestARevocationStopsWhatIsAlreadyQueued(t *testing.T) {
	log := logtest.New(t, 2, "order", "user", "session")
	ring, err := principal.NewKeyring(secret.Generate("a"))
	if err != nil {
		t.Fatal(err)
	}
	log.Append(t, "session", logtest.One("s-1", started()), logtest.One("s-2", started()), logtest.One("s-3", started()))
	pub, err := producer.NewPublisher(t.Context(), producer.PublisherConfig{Kafka: log.Client(), Aggregates: []string{"order"}})
	if err != nil {
		t.Fatal(err)
	}
	running(t, pub.Run)
	<-pub.Ready()
	got := map[string]chan event.Outcome{}
	queue := func(order string, who principal.Principal) {
		body, err := proto.Marshal(&orderv1.AnnotateOrder{Text: "hello"})
		if err != nil {
			t.Fatal(err)
		}
		c := event.Command{ID: order, Type: "order.v1.AnnotateOrder", Stream: event.StreamID(order), ExpectedVersion: event.AnyVersion}
		if err := (&principal.Signer{Keys: ring, As: who}).Sign(&c, record.Protobuf, body); err != nil {
			t.Fatal(err)
		}
		got[order] = make(chan event.Outcome, 1)
		done := func(o event.Outcome, err error) {
			if err != nil {
				t.Error(err)
			}
			got[order] <- o
		}
		if err := pub.Enqueue(t.Context(), "order", c, record.Protobuf, body, done); err != nil {
			t.Fatal(err)
		}
	}
	user := func(id, session string, roles ...string) principal.Principal {
		return principal.Principal{Kind: principal.User, ID: id, Session: session, Roles: roles}
	}
	queue("revoked", user("ada", "s-1", "clerk"))
	queue("demoted", user("bea", "s-2", "clerk"))
	queue("untouched", user("cia", "s-3", "clerk"))

	log.Append(t, "session", logtest.One("s-1", &sessionv1.SessionRevoked{User: "ada"}))
	log.Append(t, "user", logtest.One("bea", &userv1.RolesSet{}))
	f := start(t, log, nil)
	order := logtest.Types(t, "order")["order"]
	proc, err := producer.NewProcessor(producer.Config{Kafka: log.Client(), Types: []*decider.Type{order}, Dir: t.TempDir(), Instance: "test", Workers: 1,
		Principals: ring, Authorize: clerks{}, Revocations: f, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	running(t, proc.Run)
	for id, code := range map[string]string{"revoked": producer.CodePrincipalRevoked, "demoted": producer.CodePermissionDenied, "untouched": "order_not_found"} {
		select {
		case o := <-got[id]:
			if o.Code != code || id != "untouched" && o.Kind != event.Denied {
				t.Errorf("%s: %s %s %s", id, o.Kind, o.Code, o.Message)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("no outcome of %s", id)
		}
	}
	// And the next command after a revocation, however soon it comes.
	for i, id := range []string{"s-4", "s-5", "s-6", "s-7"} {
		log.Append(t, "session", logtest.One(id, started()))
		log.Append(t, "session", logtest.One(id, &sessionv1.SessionRevoked{User: "cia"}))
		queue(id, user("cia", id, "clerk"))
		if o := <-got[id]; o.Code != producer.CodePrincipalRevoked {
			t.Errorf("command %d after its session was revoked: %s %s", i, o.Kind, o.Code)
		}
	}
}

// clerks may do everything.
type clerks struct{}

func (clerks) Authorize(a *producer.Asked) producer.Answer {
	return producer.Answer{Allowed: a.Principal.Has("clerk"), Policy: "clerks"}
}

// running runs something until the test ends.
func running(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestConfigIsChecked(t *testing.T) {
	if _, err := revocation.New(revocation.Config{Client: []kgo.Opt{kgo.SeedBrokers("127.0.0.1:1")}}); !errors.Is(err, event.ErrConfig) {
		t.Error(err)
	}
}
