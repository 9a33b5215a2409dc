package integration_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/domain/user"
	"github.com/cqrsflow/cqrsflow/integration/containers"
	"github.com/cqrsflow/cqrsflow/integration/harness"
	"github.com/cqrsflow/cqrsflow/internal/planted"
)

// guarded is a system on real servers that enforces policies, with two processes of identity and two processors.
type guarded struct {
	*harness.System
	t          *testing.T
	keys       *harness.Identity
	processors []*harness.Role
	identities []*harness.Role
	others     []*harness.Role
}

func newGuarded(t *testing.T) *guarded {
	keys := harness.NewIdentity(t)
	g := &guarded{System: harness.OnContainers(t, keys.Settings...), t: t, keys: keys}
	g.others = append(g.others, g.Serve(t, "query,project-sql,project-search,history"))
	for i := range 2 {
		g.processors = append(g.processors, g.Serve(t, "command", "--processor-instance", fmt.Sprint("p", i)))
		g.identities = append(g.identities, g.Serve(t, "identity"))
	}
	for _, r := range g.all() {
		r.AwaitReady(t)
	}
	g.Settings = append(g.Settings, "CQRSFLOW_OPS="+g.identities[0].Ops) // where users are administered
	g.Settings = append(g.Settings, keys.Settings...)
	return g
}

func (g *guarded) all() []*harness.Role {
	return append(append(append([]*harness.Role{}, g.processors...), g.identities...), g.others...)
}

func (g *guarded) person(name string) *harness.Person {
	return &harness.Person{Email: name + "@example.org", Password: ownPassword, Name: name, API: g.identities[0].API, Outbox: g.keys.Outbox}
}

// events are the types of a stream's events.
func (g *guarded) events(aggregate, id string) (types []string) {
	g.t.Helper()
	topic := g.Topic(aggregate + ".events")
	cl := g.Kafka(g.t, kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(g.t.Context(), topic)
	if err != nil {
		g.t.Fatal(err)
	}
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	for len(left) > 0 {
		fetches := cl.PollFetches(g.t.Context())
		if err := fetches.Err(); err != nil {
			g.t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			for _, h := range r.Headers {
				if string(r.Key) == id && h.Key == "ce_type" {
					types = append(types, string(h.Value))
				}
			}
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	return types
}

// count counts a stream's events of a type.
func (g *guarded) count(aggregate, id, typ string) (n int) {
	g.t.Helper()
	for _, t := range g.events(aggregate, id) {
		if t == typ {
			n++
		}
	}
	return n
}

// atOnce sends n requests at the same time, in turn to each process, each from an address of its own, and counts the statuses.
func (g *guarded) atOnce(n int, path string, body harness.Object) map[int]int {
	g.t.Helper()
	statuses := make([]int, n)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		p := harness.Person{API: g.identities[i%2].API, From: fmt.Sprintf("198.51.%d.%d", 100+i/250, 1+i%250)}
		all.Go(func() {
			<-start
			a, err := p.TryAsk(g.t, post, path, body)
			if err != nil {
				g.t.Errorf("a request is not answered: %v", err)
			}
			statuses[i] = a.Status
		})
	}
	close(start)
	all.Wait()
	count := map[int]int{}
	for _, status := range statuses {
		count[status]++
	}
	return count
}

// Identity on real servers: the README's way of a user, guesses at once, and what becomes of secrets.
func TestUsersOnServers(t *testing.T) {
	g := newGuarded(t)
	secrets := planted.Values{}
	w := &walk{t: t, Target: g.Target, ada: g.person("planted.ada"), other: g.identities[1].API, secrets: secrets}
	w.Settings = g.Settings
	w.all()
	g.guesses()
	g.code()
	g.serversDown()
	g.nothingInClear(w)
}

// guesses: of 500 at once, through two processes and two processors, no more are verified than may fail before the first delay.
func (g *guarded) guesses() {
	bob := g.person("planted.bob")
	bob.Join(g.t)
	bob.Login(g.t)
	var me struct{ ID string }
	bob.Must(g.t, 200, get, "/v1/me", nil, &me)
	const n = 500
	began := time.Now()
	answers := g.atOnce(n, "/v1/auth/login", harness.Object{"email": bob.Email, "password": wrongPassword})
	limit := user.Attempts.From // and one more after each delay that has passed meanwhile
	for left := time.Since(began) - user.Attempts.Delay(limit); left > 0; left -= user.Attempts.Delay(limit) {
		limit++
	}
	verified := answers[401]
	if verified+answers[429]+answers[503] != n || verified > limit || answers[503] == 0 && verified < user.Attempts.From {
		g.t.Errorf("the answers are %v; want from %d to %d times 401, and 429", answers, user.Attempts.From, limit)
	}
	begun, withdrawn, succeeded := g.count("user", me.ID, "user.v1.AttemptBegun"), g.count("user", me.ID, "user.v1.AttemptWithdrawn"), g.count("user", me.ID, "user.v1.AttemptSucceeded")
	if counted := begun - withdrawn - succeeded; counted > limit || counted < verified {
		g.t.Errorf("%d attempts count in the log (%d begun, %d withdrawn, %d succeeded), and %d were verified", counted, begun, withdrawn, succeeded, verified)
	}
	g.t.Logf("%d guesses: %v; the limit was %d", n, answers, limit)
}

// code: a code of an app logs in once, of 100 times at once.
func (g *guarded) code() {
	eve := g.person("planted.eve")
	eve.Join(g.t)
	eve.Login(g.t)
	var me struct{ ID string }
	eve.Must(g.t, 200, get, "/v1/me", nil, &me)
	eve.Enrol(g.t)
	challenge := eve.Login(g.t).Challenge
	before := g.count("user", me.ID, "user.v1.AttemptSucceeded")
	answers := g.atOnce(100, "/v1/auth/mfa", harness.Object{"challenge": challenge, "code": eve.NextCode()})
	if answers[200]+answers[401]+answers[429]+answers[503] != 100 || answers[200] > 1 || answers[200] == 0 && answers[503] == 0 {
		g.t.Errorf("the answers are %v; want 200 once", answers)
	}
	if after := g.count("user", me.ID, "user.v1.AttemptSucceeded"); after > before+1 || answers[200] > after-before {
		g.t.Errorf("%d attempts have succeeded; want one", after-before)
	}
	g.t.Logf("one code 100 times: %v", answers)
}

// serversDown: without the processors, PostgreSQL or Kafka everything that needs them is 503, nobody gets in, and afterwards nobody is
// kept out by it.
func (g *guarded) serversDown() {
	t := g.t
	carol := g.person("planted.carol")
	carol.Join(t)
	carol.Login(t)
	var me struct{ ID string }
	carol.Must(t, 200, get, "/v1/me", nil, &me)
	closed := func(what string, body harness.Object, path string) {
		t.Helper()
		if a := carol.Ask(t, post, path, body); a.Status != 503 || a.Code() != "unavailable" || a.Header.Get("Retry-After") == "" || a.Header.Get("Set-Cookie") != "" {
			t.Errorf("%s without %s: %s", path, what, a)
		}
	}
	kafka, postgres := containers.Kafka(t), containers.Postgres(t)
	pause := func(s *containers.Server) func() {
		return func() {
			if err := s.Pause(t.Context()); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Unpause(context.Background()) }) // for other tests, where this one fails
		}
	}
	unpause := func(s *containers.Server) func() {
		return func() {
			if err := s.Unpause(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		what     string
		down, up func()
	}{
		{"processors", func() {
			for _, p := range g.processors {
				if err := p.Kill9(); err != nil {
					t.Fatal(err)
				}
			}
		}, func() {
			for _, p := range g.processors {
				p.Start(t)
				p.AwaitReady(t)
			}
		}},
		{"PostgreSQL", pause(postgres.Server), unpause(postgres.Server)},
		{"Kafka", pause(kafka.Server), unpause(kafka.Server)},
	} {
		c.down()
		closed(c.what, carol.Credentials(), "/v1/auth/login")
		closed(c.what, harness.Object{"email": carol.Email, "password": wrongPassword}, "/v1/auth/login")
		closed(c.what, harness.Object{"email": "new@example.org", "password": ownPassword, "name": "New"}, "/v1/auth/register")
		if c.what != "PostgreSQL" { // which a refresh does not need
			closed(c.what, harness.Object{"refreshToken": carol.Refresh}, "/v1/auth/refresh")
		}
		c.up()
		carol.Login(t)
		carol.Must(t, 200, get, "/v1/me", nil, nil)
	}
	if failed, expired := g.count("user", me.ID, "user.v1.AttemptFailed"), g.count("user", me.ID, "user.v1.AttemptExpired"); failed+expired > 0 {
		t.Errorf("outages count as %d failures and %d attempts that have expired", failed, expired)
	}
}

// nothingInClear stops the processes and looks at everything that they have left, and at what they said of themselves. Each place
// has something of the user.
func (g *guarded) nothingInClear(w *walk) {
	t := g.t
	look := func(where, has string, data []byte) {
		t.Helper()
		for _, what := range w.secrets.In(data) {
			t.Errorf("the %s stands in clear in %s", what, where)
		}
		if has != "" && !bytes.Contains(data, []byte(has)) {
			t.Errorf("%q does not stand in %s: the test looks at the wrong thing", has, where)
		}
	}
	g.Must(t, "publish", "order/o-1", "place", `{"customer":"`+w.id+`","lines":[{"sku":"cd","quantity":1,"total":{"amount":"11.77","currency":"USD"}}]}`)
	harness.Eventually(t, harness.Patience, "the order can be searched for", func() error {
		if a := g.Do(t, get, "/v1/orders/search", ""); !bytes.Contains(a.Body, []byte(w.id)) {
			return fmt.Errorf("%s", a)
		}
		return nil
	})
	for _, r := range g.all() {
		a, err := harness.Ask(t.Context(), get, r.Ops+"/metrics", "")
		if err != nil {
			t.Fatal(err)
		}
		look("the metrics of "+r.Name, "cqrsflow", a.Body)
	}
	for _, r := range g.all() {
		r.Stop(t)
		look("the log of "+r.Name, "", []byte(r.Stdout.String()+r.Stderr.String()))
	}
	look("the logs of identity", w.id, []byte(g.identities[0].Stderr.String()+g.identities[1].Stderr.String()))

	kinds := regexp.MustCompile(`\.(commands|events|outcomes|snapshots)$`)
	for _, kind := range []string{"commands", "events", "outcomes", ""} {
		data, err := planted.Records(t.Context(), []kgo.Opt{kgo.SeedBrokers(g.Brokers), kgo.DisableClientMetrics()}, func(topic string) bool {
			ours := strings.HasPrefix(topic, g.Prefix+".")
			return ours && strings.TrimPrefix(kinds.FindString(topic), ".") == kind || kind == "" && ours && strings.HasSuffix(topic, ".snapshots")
		})
		if err != nil {
			t.Fatal(err)
		}
		has := w.id
		if kind == "" {
			has = ""
		}
		look("the topics of "+kind, has, data)
	}
	files, entries, err := planted.Stores(g.processors[0].Dir, g.processors[1].Dir)
	if err != nil {
		t.Fatal(err)
	}
	look("the files of the local stores", "", files)
	look("the local stores", w.id, entries)
	sql, err := g.SQL(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer sql.Close(t.Context())
	rows, err := planted.Rows(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	look("PostgreSQL", w.id, rows)
	found, err := harness.Ask(t.Context(), get, g.Servers.Elasticsearch+"/"+g.Prefix+"*/_search?size=1000", "")
	if err != nil || found.Status != http.StatusOK {
		t.Fatal(found, err)
	}
	look("Elasticsearch", w.id, found.Body)
}
