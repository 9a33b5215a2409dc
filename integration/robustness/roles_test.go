package robustness_test

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/cqrsflow/cqrsflow/integration/harness"
	"github.com/cqrsflow/cqrsflow/integration/robustness/faults"
	"github.com/cqrsflow/cqrsflow/integration/robustness/model"
	"github.com/cqrsflow/cqrsflow/integration/robustness/traffic"
	"github.com/cqrsflow/cqrsflow/integration/robustness/validate"
)

// busy is a system on real servers with work to do: an import, and traffic over HTTP.
type busy struct {
	*harness.System
	t     *testing.T
	roles map[string]*harness.Role
	// want is what must come about of the import; the traffic adds its own at the end.
	want     model.Shop
	file     string
	imports  *harness.Process
	web      *traffic.HTTP
	traffic  chan struct{}
	shop     model.Shop
	err      error
	progress *validate.Progress
}

// newBusy starts the roles, each as a process, that of command with these flags. There will be work to do: as many purchases to
// import, and orders over HTTP.
func newBusy(t *testing.T, purchases, orders int, command ...string) *busy {
	t.Helper()
	b := &busy{System: harness.OnContainers(t), t: t, roles: map[string]*harness.Role{}, traffic: make(chan struct{})}
	b.file, b.want = model.CDNOW(t, cdnow, purchases)
	for _, role := range harness.AllRoles {
		var flags []string
		if role == "command" {
			flags = command
		}
		b.roles[role] = b.Serve(t, role, flags...)
	}
	for _, r := range b.roles {
		r.AwaitReady(t)
	}
	var err error
	if b.progress, err = validate.NewProgress(t.Context(), b.System, kadm.NewClient(b.Kafka(t))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.progress.Close)
	b.web = &traffic.HTTP{API: b.API, Orders: orders, Clients: 4, Name: "web", Patience: harness.Patience}
	return b
}

// begin starts the work.
func (b *busy) begin() {
	b.t.Helper()
	b.imports = harness.Start(b.t, "import", b.Settings, "import", "cdnow", "--no-wait", b.file)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(b.traffic)
		b.shop, b.err = b.web.Run(ctx)
	}()
	b.t.Cleanup(func() { cancel(); <-b.traffic })
}

// orderEvents is how many events of orders there will be.
func (b *busy) orderEvents() int64 { return int64(2*len(b.want)) + int64(4*b.web.Orders) }

// worked waits until every command has its answer.
func (b *busy) worked() {
	b.t.Helper()
	if code := b.imports.Exit(b.t); code != 0 {
		b.t.Fatalf("the import ended with code %d\n%s%s", code, b.imports.Stdout.String(), b.imports.Stderr.String())
	}
	select {
	case <-b.traffic:
	case <-time.After(2 * harness.Patience):
		b.t.Fatalf("the traffic does not end: %d of %d commands have their answers", b.web.Acknowledged(), b.web.Total())
	}
	if b.err != nil {
		b.t.Error(b.err)
	}
	b.want.Add(b.shop)
}

// finish waits for the work and everything that follows from it, and compares.
func (b *busy) finish() {
	b.t.Helper()
	b.worked()
	harness.Eventually(b.t, 2*harness.Patience, "everything completes", func() error { return validate.Complete(b.t.Context(), b.Target, b.want) })
	if err := validate.Everything(b.t.Context(), b.Target, b.want); err != nil {
		b.t.Fatal(err)
	}
	verify(b.t, b.Target, "order/cdnow-1", "order/web-0", "customer/web-buyer-0")
	b.t.Logf("%d requests over HTTP had no answer and were repeated", b.web.Repeated())
}

// Each role is killed at random moments of its work and started again.
func TestRolesKilled(t *testing.T) {
	b := newBusy(t, 10_000, 100)
	b.begin()
	r := faults.Random(t)
	ctx := t.Context()
	victim := func(role string, kills int, total int64, done func() (int64, error)) *faults.Victim {
		p := b.roles[role]
		return &faults.Victim{Name: role, Moments: faults.Moments(r, kills, 0.05, 0.5), Total: total, Done: done,
			Kill: func() error { return p.Kill9() }, Start: func() { p.Start(t) }}
	}
	events := b.orderEvents()
	faults.KillAll(t, 3*harness.Patience,
		victim("command", 2, events+int64(len(b.want)+b.web.Orders), func() (int64, error) { return b.progress.Ends(ctx, "order.events", "customer.events") }),
		victim("project-sql", 2, events, func() (int64, error) { return b.progress.Orders(ctx) }),
		victim("project-search", 2, events, func() (int64, error) { return b.progress.Search(ctx) }),
		victim("history", 2, events+int64(len(b.want)+b.web.Orders), func() (int64, error) { return b.progress.History(ctx) }),
		victim("react", 2, events, func() (int64, error) { return b.progress.Group(ctx, "purchases.v1") }),
		victim("query", 2, b.web.Total(), func() (int64, error) { return b.web.Acknowledged(), nil }),
	)
	b.finish()
	if b.web.Repeated() == 0 {
		t.Error("no request met a dead process")
	}
	for _, p := range b.roles {
		p.Stop(t)
	}
}
