package producer

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/event/principal"
	"github.com/cqrsflow/cqrsflow/internal/secret"
	"github.com/cqrsflow/cqrsflow/schemas/record"
)

// rules are an Authorizer whose answer can be changed, and that keeps what it was asked.
type rules struct {
	mu    sync.Mutex
	may   func(*Asked) Answer
	asked []Asked
}

func (r *rules) Authorize(a *Asked) Answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, *a)
	return r.may(a)
}

func (r *rules) become(may func(*Asked) Answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.may = may
}

func (r *rules) all() []Asked {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Asked(nil), r.asked...)
}

func everything(*Asked) Answer { return Answer{Allowed: true, Policy: "all"} }
func nothing(*Asked) Answer    { return Answer{Policy: "none-at-all"} }

func keyring(t testing.TB, keys secret.Keys) *principal.Keyring {
	t.Helper()
	k, err := principal.NewKeyring(keys)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

var (
	ada = principal.Principal{Kind: principal.User, ID: "ada", Roles: []string{"customer"}}
	bob = principal.Principal{Kind: principal.User, ID: "bob"}
)

// signed signs a command for a minute from at on.
func signed(t testing.TB, k *principal.Keyring, who principal.Principal, at time.Time, c event.Command, body []byte) event.Command {
	t.Helper()
	if c.ID == "" {
		c.ID = NewCommandID()
	}
	s := principal.Signer{Keys: k, As: who, Valid: time.Minute, Clock: func() time.Time { return at }}
	if err := s.Sign(&c, record.JSON, body); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDeniedLeavesNoEvent(t *testing.T) {
	l := newLab(t, 1)
	r := &rules{may: func(a *Asked) Answer {
		return Answer{Allowed: a.Command == "account.v1.deposit", Policy: "deposits-only"}
	}}
	told := make(chan Denial, 10)
	var log bytes.Buffer
	_, stop := l.process(func(c *Config) {
		c.Authorize, c.Hooks.Denied = r, func(d Denial) { told <- d }
		c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	p := l.publisher()
	l.do(p, command("alice", "deposit"), amount(5))
	o := l.do(p, command("alice", "withdraw"), amount(3))
	if o.Kind != event.Denied || o.Code != CodePermissionDenied || o.Version != 1 || o.State != nil || len(o.Events) > 0 || o.Replayed {
		t.Fatalf("%+v", o)
	}
	if strings.Contains(o.Message, "deposits-only") {
		t.Errorf("the caller is told of the policy: %s", o.Message)
	}
	d := <-told
	if want := (Denial{Principal: "anonymous", Aggregate: "account", Stream: "alice", Command: "account.v1.withdraw", CommandID: o.CommandID,
		Code: CodePermissionDenied, Policy: "deposits-only", Offset: o.CommandOffset}); d != want {
		t.Errorf("%+v, want %+v", d, want)
	}
	if o := l.do(p, command("alice", "deposit"), amount(1)); o.Version != 2 || state(t, o).Balance != 6 {
		t.Errorf("after a denial: %+v", o)
	}
	stop()
	if n := len(l.events()["alice"]); n != 2 {
		t.Errorf("%d events", n)
	}
	var lines []string
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "msg=denied") {
			lines = append(lines, line)
		}
	}
	if len(lines) != 1 || !strings.Contains(lines[0], "level=INFO") || !strings.Contains(lines[0], "policy=deposits-only") ||
		!strings.Contains(lines[0], "principal=anonymous") || strings.Contains(lines[0], "amount") {
		t.Errorf("%q", lines)
	}
	if len(told) > 0 {
		t.Errorf("one denial, told more than once: %+v", <-told)
	}
}

// The order of the steps: what cannot be read is not asked about; whoever may not, learns nothing from the steps after.
func TestThePermissionCheckIsTheThirdStep(t *testing.T) {
	l := newLab(t, 1)
	r := &rules{may: everything}
	l.process(func(c *Config) { c.Authorize = r })
	p := l.publisher()
	first := command("alice", "deposit")
	first.ID = "key-1"
	l.do(p, first, amount(5))
	r.become(nothing)

	n := len(r.all())
	if o := l.do(p, command("alice", "deposit"), []byte(`{"amount":`)); o.Kind != event.Invalid || o.Code != CodeMalformed {
		t.Errorf("malformed: %+v", o)
	}
	if o := l.do(p, command("alice", "deposit"), []byte(`{"amount":-1}`)); o.Kind != event.Invalid || o.Code != CodeInvalid {
		t.Errorf("invalid: %+v", o)
	}
	if len(r.all()) != n {
		t.Error("it was asked about what cannot be read")
	}
	stale := command("alice", "deposit")
	stale.ExpectedVersion = 7
	for name, c := range map[string]struct {
		c    event.Command
		body []byte
	}{
		"before the known commands":           {first, amount(5)},
		"before another use of a known ID":    {first, amount(6)},
		"before the expected version":         {stale, amount(5)},
		"before a decision that rejects":      {command("alice", "withdraw"), amount(100)},
		"before a decision that panics":       {command("alice", "panic"), amount(1)},
		"before a decision that does nothing": {command("alice", "nothing"), amount(1)},
	} {
		if o := l.do(p, c.c, c.body); o.Kind != event.Denied || o.Code != CodePermissionDenied || o.State != nil || o.Replayed || len(o.Events) > 0 {
			t.Errorf("%s: %+v", name, o)
		}
	}
	r.become(everything)
	if o := l.do(p, first, amount(5)); !o.Replayed || o.Kind != event.Accepted {
		t.Errorf("a denial has made the process forget: %+v", o)
	}
}

// What is checked is the state that is decided on: also one that an earlier command of the same transaction has made.
func TestTheCheckSeesTheStateThatIsDecidedOn(t *testing.T) {
	l := newLab(t, 1)
	r := &rules{may: func(a *Asked) Answer { return Answer{Allowed: a.Attributes["balance"].(int64) < 5, Policy: "poor"} }}
	p := l.publisher()
	for _, c := range []event.Command{command("alice", "deposit"), command("alice", "deposit")} {
		c.Time = time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)
		if _, err := p.Publish(l.context(10*time.Second), c, "account", record.JSON, []byte(`{"amount":5,"for":"bea"}`)); err != nil {
			t.Fatal(err)
		}
	}
	batches := make(chan int, 10)
	l.process(func(c *Config) {
		c.Authorize = r
		c.Hooks.Transaction = func(n int, _ time.Duration, committed bool) {
			if committed {
				batches <- n
			}
		}
	})
	if o := l.do(p, command("alice", "deposit"), amount(1)); o.Kind != event.Denied || o.Version != 1 {
		t.Fatalf("%+v", o)
	}
	if n := <-batches; n < 2 {
		t.Fatalf("a transaction of %d commands: nothing is shown", n)
	}
	all := r.all()
	if len(all) != 3 {
		t.Fatalf("asked %d times", len(all))
	}
	want := []Asked{
		{Command: "account.v1.deposit", Aggregate: "account", Stream: "alice", Attributes: map[string]any{"balance": int64(0)}, Owner: "bea", Backdated: true},
		{Command: "account.v1.deposit", Aggregate: "account", Stream: "alice", Attributes: map[string]any{"balance": int64(5)}, Owner: "bea", Backdated: true, Exists: true},
		{Command: "account.v1.deposit", Aggregate: "account", Stream: "alice", Attributes: map[string]any{"balance": int64(5)}, Exists: true},
	}
	for i := range want {
		if diff := cmp.Diff(want[i], all[i]); diff != "" {
			t.Errorf("question %d: %s", i, diff)
		}
	}
}

// A command that waits on its topic is judged by what holds when it is decided, not when it was signed.
func TestAQueuedCommandIsJudgedWhenItIsDecided(t *testing.T) {
	l := newLab(t, 1)
	k := keyring(t, secret.Generate("a"))
	r := &rules{may: everything}
	cfg := func(c *Config) { c.Authorize, c.Principals = r, k }
	_, stop := l.process(cfg)
	p := l.publisher()
	if o := l.do(p, signed(t, k, ada, time.Now(), command("alice", "deposit"), amount(5)), amount(5)); o.Kind != event.Accepted {
		t.Fatalf("%+v", o)
	}
	stop()
	queued := signed(t, k, ada, time.Now(), command("alice", "deposit"), amount(5))
	answer := make(chan event.Outcome, 1)
	err := p.Enqueue(l.context(30*time.Second), "account", queued, record.JSON, amount(5), func(o event.Outcome, err error) {
		if err != nil {
			t.Error(err)
		}
		answer <- o
	})
	if err != nil {
		t.Fatal(err)
	}
	r.become(func(a *Asked) Answer { return Answer{Allowed: a.Principal.ID != "ada", Policy: "not-ada"} })
	l.process(cfg)
	if o := <-answer; o.Kind != event.Denied || o.Principal != "user:ada" {
		t.Errorf("%+v", o)
	}
	if n := len(l.events()["alice"]); n != 1 {
		t.Errorf("%d events", n)
	}
}

func TestPrincipalsAreVerified(t *testing.T) {
	l := newLab(t, 1)
	k, old := keyring(t, secret.Generate("a")), keyring(t, secret.Generate("b"))
	r := &rules{may: everything}
	_, stop := l.process(func(c *Config) { c.Authorize, c.Principals = r, k })
	p := l.publisher()
	now := time.Now()
	good := signed(t, k, ada, now, command("alice", "deposit"), amount(5))
	o := l.do(p, good, amount(5))
	if o.Kind != event.Accepted || o.Principal != "user:ada" {
		t.Fatalf("%+v", o)
	}
	if got := r.all(); len(got) != 1 || got[0].Principal.String() != "user:ada" || !got[0].Principal.Has("customer") {
		t.Errorf("%+v", got)
	}
	if e := l.events()["alice"]; len(e) != 1 || e[0].Principal != "user:ada" {
		t.Errorf("%+v", e)
	}
	with := func(auth string, change func(*event.Command)) event.Command {
		c := command("alice", "deposit")
		c.ID, c.Auth = good.ID, auth
		if change != nil {
			change(&c)
		}
		return c
	}
	bad := map[string]event.Command{
		"replayed under another ID":        with(good.Auth, func(c *event.Command) { c.ID = "other" }),
		"replayed on another stream":       with(good.Auth, func(c *event.Command) { c.Stream = "bea" }),
		"replayed on another type":         with(good.Auth, func(c *event.Command) { c.Type = "account.v1.withdraw" }),
		"replayed with a time":             with(good.Auth, func(c *event.Command) { c.Time = now.Add(-time.Hour) }),
		"replayed with another version":    with(good.Auth, func(c *event.Command) { c.ExpectedVersion = 1 }),
		"replayed with a variant":          with(good.Auth, func(c *event.Command) { c.Variant = "x=v2" }),
		"another principal":                with(strings.Replace(good.Auth, "user=ada", "user=bob", 1), nil),
		"another role":                     with(strings.Replace(good.Auth, "roles=customer", "roles=admin", 1), nil),
		"no header at all but a text":      with("user:ada", nil),
		"a key that is not configured":     signed(t, old, ada, now, command("alice", "deposit"), amount(5)),
		"expired, though said to be taken": signed(t, k, ada, now.Add(-2*time.Minute), command("alice", "deposit"), amount(5)),
	}
	for name, c := range bad {
		if o := l.do(p, c, amount(5)); o.Kind != event.Denied || o.Code != CodePrincipalInvalid || o.Principal != "" || o.State != nil {
			t.Errorf("%s: %+v", name, o)
		}
	}
	if o := l.do(p, good, amount(6)); o.Kind != event.Denied || o.Code != CodePrincipalInvalid {
		t.Errorf("another body: %+v", o)
	}
	if got := r.all(); len(got) != 1 {
		t.Errorf("what proves nothing was asked about: %+v", got[1:])
	}
	// Unsigned is anonymous, and nobody else: the ID of ada's command is free for them, and for bob.
	for _, c := range []event.Command{with("", nil), signed(t, k, bob, now, with("", nil), amount(5))} {
		if o := l.do(p, c, amount(5)); o.Kind != event.Accepted || o.Replayed {
			t.Errorf("%+v", o)
		}
		if o := l.do(p, c, amount(5)); o.Kind != event.Accepted || !o.Replayed {
			t.Errorf("repeated: %+v", o)
		}
	}
	if e := l.events()["alice"]; len(e) != 3 || e[1].Principal != "" || e[2].Principal != "user:bob" {
		t.Errorf("%+v", e)
	}
	stop()

	// Where it is so configured, what proves nothing counts as unsigned.
	l.process(func(c *Config) { c.Authorize, c.Principals, c.UnprovenAnonymous = r, k, true })
	for name, c := range bad {
		if o := l.do(p, c, amount(0)); o.Kind == event.Denied || o.Principal != "" {
			t.Errorf("%s: %+v", name, o)
		}
	}
	for _, a := range r.all()[1:] {
		if s := a.Principal.String(); s != "anonymous" && s != "user:bob" {
			t.Errorf("%+v", a)
		}
	}
}

// A repeat is known by who asked, also where only the log is left, and the command has no event that says it.
func TestARepeatIsKnownByWhoAskedAfterLosingTheStore(t *testing.T) {
	l := newLab(t, 1)
	k := keyring(t, secret.Generate("a"))
	cfg := func(c *Config) { c.Principals = k }
	_, stop := l.process(cfg)
	p := l.publisher()
	silent := signed(t, k, ada, time.Now(), command("alice", "nothing"), amount(0))
	loud := signed(t, k, ada, time.Now(), command("alice", "deposit"), amount(3))
	for _, c := range []struct {
		c    event.Command
		body []byte
	}{{silent, amount(0)}, {loud, amount(3)}} {
		if o := l.do(p, c.c, c.body); o.Kind != event.Accepted || o.Replayed {
			t.Fatalf("%+v", o)
		}
	}
	stop()
	l.dir = t.TempDir()
	l.process(cfg)
	if o := l.do(p, silent, amount(0)); !o.Replayed {
		t.Errorf("without events: %+v", o)
	}
	if o := l.do(p, loud, amount(3)); !o.Replayed {
		t.Errorf("with events: %+v", o)
	}
}

// Without keys nobody is told from another: a header that nobody can check changes nothing.
func TestWithoutKeysEverybodyIsAnonymous(t *testing.T) {
	l := newLab(t, 1)
	r := &rules{may: everything}
	l.process(func(c *Config) { c.Authorize = r })
	p := l.publisher()
	c := signed(t, keyring(t, secret.Generate("a")), ada, time.Now(), command("alice", "deposit"), amount(5))
	if o := l.do(p, c, amount(5)); o.Kind != event.Accepted || o.Principal != "" {
		t.Errorf("%+v", o)
	}
	c.Auth = ""
	if o := l.do(p, c, amount(5)); !o.Replayed {
		t.Errorf("%+v", o)
	}
	if a := r.all()[0]; a.Principal.Kind != principal.Anonymous {
		t.Errorf("%+v", a)
	}
}

func TestAnAuthorizerThatPanicsDenies(t *testing.T) {
	l := newLab(t, 1)
	panicked := make(chan string, 1)
	l.process(func(c *Config) {
		c.Authorize = &rules{may: func(*Asked) Answer { panic("out of order") }}
		c.Hooks.Panicked = func(aggregate string) { panicked <- aggregate }
	})
	if o := l.do(l.publisher(), command("alice", "deposit"), amount(5)); o.Kind != event.Denied || o.Code != CodePermissionDenied {
		t.Errorf("%+v", o)
	}
	if got := <-panicked; got != "account" {
		t.Error(got)
	}
}

// A signature vouches for the command's variant; without keys, or a signature, nothing does.
func TestWhoSignsVouchesForTheVariant(t *testing.T) {
	l := newLab(t, 1)
	k := keyring(t, secret.Generate("a"))
	became := make(chan string, 1)
	l.process(func(c *Config) {
		c.Principals = k
		c.Hooks.Variant = func(_, result string) { became <- result }
	})
	p := l.publisher()
	c := command("alice", "deposit")
	c.Variant = "checkout=v9"
	l.do(p, c, amount(1))
	if got := <-became; got != variantUnsigned {
		t.Errorf("unsigned: %s", got)
	}
	l.do(p, signed(t, k, ada, time.Now(), c, amount(1)), amount(1))
	if got := <-became; got != variantUnknown { // it was looked for
		t.Errorf("signed: %s", got)
	}
}

// A backlog does not expire: what counts is when the broker took the command. A time that the producer gave counts for nothing.
func TestExpiryIsJudgedByTheBrokersTime(t *testing.T) {
	k := keyring(t, secret.Generate("a"))
	then := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	body := amount(5)
	c := signed(t, k, ada, then, command("alice", "deposit"), body)
	typ := accountType(t)
	s := step{who: gate{keys: k}}
	for name, tc := range map[string]struct {
		stamped  int8
		at, now  time.Time
		accepted bool
	}{
		"taken in time, decided in time":              {1, then, then, true},
		"taken in time, decided days later":           {1, then.Add(time.Minute), then.Add(72 * time.Hour), true},
		"taken too late":                              {1, then.Add(2 * time.Minute), then, false},
		"the producer says that it was taken in time": {0, then, then.Add(72 * time.Hour), false},
		"the producer's clock is wrong":               {0, then.Add(72 * time.Hour), then, true},
	} {
		r := &kgo.Record{Value: body, Timestamp: tc.at, Attrs: kgo.NewRecordAttrs(kgo.RecordAttrsOpts{TimestampType: tc.stamped})}
		cmd := c
		l := &loaded{Snapshot: typ.Begin()}
		if got := s.permitted(&partition{typ: typ}, r, &cmd, record.JSON, accountCommand{}, l, tc.now); got != tc.accepted {
			t.Errorf("%s: %v, %+v", name, got, s.scratch.denial)
		}
		if cmd.Auth != "" || (cmd.Principal != "") != tc.accepted {
			t.Errorf("%s: %+v", name, cmd)
		}
	}
}

func TestPublisherSigns(t *testing.T) {
	l := newLab(t, 1)
	k := keyring(t, secret.Generate("a"))
	l.process(func(c *Config) { c.Principals = k })
	cli := principal.Signer{Keys: k, As: principal.Principal{Kind: principal.Service, ID: "cli"}}
	p := l.publisher(func(c *PublisherConfig) { c.Sign = cli.Sign })
	if o := l.do(p, command("alice", "deposit"), amount(5)); o.Principal != "service:cli" {
		t.Errorf("%+v", o)
	}
	if o := l.do(p, signed(t, k, ada, time.Now(), command("alice", "deposit"), amount(5)), amount(5)); o.Principal != "user:ada" {
		t.Errorf("what was signed is signed anew: %+v", o)
	}
}
