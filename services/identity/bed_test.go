package identity_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	sinks "github.com/cqrsflow/cqrsflow/consumers/postgres"
	models "github.com/cqrsflow/cqrsflow/consumers/postgres/identity"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/event/principal"
	"github.com/cqrsflow/cqrsflow/internal/aggregates"
	"github.com/cqrsflow/cqrsflow/internal/embedded/kafka"
	"github.com/cqrsflow/cqrsflow/internal/embedded/postgres"
	"github.com/cqrsflow/cqrsflow/internal/secret"
	"github.com/cqrsflow/cqrsflow/producer"
	"github.com/cqrsflow/cqrsflow/query"
	"github.com/cqrsflow/cqrsflow/schemas"
	"github.com/cqrsflow/cqrsflow/services/identity"
	"github.com/cqrsflow/cqrsflow/services/identity/mail"
	"github.com/cqrsflow/cqrsflow/services/identity/password"
	"github.com/cqrsflow/cqrsflow/services/identity/token"
	"github.com/cqrsflow/cqrsflow/services/identity/totp"
	"github.com/cqrsflow/cqrsflow/services/identity/vault"
	"github.com/cqrsflow/cqrsflow/services/policy"
	"github.com/cqrsflow/cqrsflow/topology"
)

var (
	server    *postgres.Server
	databases atomic.Int64
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "embedded PostgreSQL for tests:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "cqrsflow-identity-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute) // binaries may have to be fetched
	defer cancel()
	if server, err = postgres.Start(ctx, postgres.Config{DataDir: dir, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		return 1, err
	}
	around := goleak.IgnoreCurrent()
	code = m.Run()
	if leaked := goleak.Find(around); leaked != nil && code == 0 {
		err, code = leaked, 1
	}
	return code, errors.Join(err, server.Close())
}

func database(t testing.TB) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	name := fmt.Sprintf("test_%d", databases.Add(1))
	if _, err := conn.Exec(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

// options of a bed; the zero value is one instance of identity and one processor.
type options struct {
	instances, processors int
	// change changes the configuration of an instance.
	change func(*identity.Config)
	// way is on which instances reach Kafka and PostgreSQL; nil is a way that is always there.
	way *way
	// processor changes the configuration of a processor.
	processor func(*producer.Config)
}

// bed is identity with everything behind it: Kafka in memory, processors that enforce the built-in policies, PostgreSQL with the
// read models. Time passes only when a test says so.
type bed struct {
	t        testing.TB
	broker   *kafka.Server
	services []*identity.Service
	commands *producer.Publisher
	vault    *vault.Vault
	pool     *pgxpool.Pool
	log      *lines
	mails    chan mail.Message
	keys     *token.Folder
	issuer   *token.Issuer
	verifier *token.Verifier
	dirs     []string
	ahead    atomic.Int64
	// stopProcessors ends the processors and waits for them; startProcessor starts another one.
	stopProcessors func()
	startProcessor func(name string)
	kafka          []kgo.Opt
}

// start of a bed's clock. Access tokens are in whole seconds; so is this.
var begin = time.Now().UTC().Truncate(time.Second)

func (b *bed) now() time.Time { return begin.Add(time.Duration(b.ahead.Load())) }

func (b *bed) pass(d time.Duration) { b.ahead.Add(int64(d)) }

// lines are what was logged.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newBed(t testing.TB, o options) *bed {
	t.Helper()
	b := &bed{t: t, log: &lines{}, mails: make(chan mail.Message, 1000)}
	log := slog.New(slog.NewJSONHandler(b.log, nil))
	broker, err := kafka.Start(t.Context(), kafka.Config{Addr: "127.0.0.1:0", DataDir: t.TempDir(), Logger: log})
	must(t, err)
	t.Cleanup(func() { must(t, broker.Close()) })
	b.broker = broker
	opts := []kgo.Opt{kgo.SeedBrokers(broker.Addr())}
	b.kafka = opts
	ids := b.makeTopics(opts)

	database := database(t)
	must(t, sinks.Migrate(t.Context(), database, sinks.Models(models.Projections()...)...))
	must(t, vault.Migrate(t.Context(), database))
	store, err := sinks.Open(t.Context(), sinks.Config{URL: database, Logger: log})
	must(t, err)
	t.Cleanup(store.Close)
	b.pool = store.Pool()

	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	goOn := func(ctx context.Context, wg *sync.WaitGroup, what string, run func(context.Context) error) {
		wg.Go(func() {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				t.Errorf("%s: %v", what, err)
			}
		})
	}
	b.stopProcessors = func() {}
	t.Cleanup(func() { b.stopProcessors() })
	var processors []*producer.Processor
	b.startProcessor = func(name string) {
		pctx, stop := context.WithCancel(context.Background())
		var processing sync.WaitGroup
		before := b.stopProcessors
		b.stopProcessors = func() { stop(); processing.Wait(); before() }
		dir := filepath.Join(t.TempDir(), name)
		cfg := producer.Config{Kafka: opts, Types: types(), TopicIDs: ids, Dir: dir, Instance: name, Clock: b.now, Logger: log, SessionTimeout: 10 * time.Second,
			Principals: keyring(t), Authorize: builtIn(t)}
		if o.processor != nil {
			o.processor(&cfg)
		}
		p, err := producer.NewProcessor(cfg)
		must(t, err)
		b.dirs = append(b.dirs, dir)
		goOn(pctx, &processing, "processor", p.Run)
		processors = append(processors, p)
	}
	for n := range max(1, o.processors) {
		b.startProcessor(fmt.Sprint("p", n))
	}
	goOn(ctx, &running, "notifications", store.Run)
	sctx, quit := context.WithCancel(context.Background())
	var serving sync.WaitGroup
	byName := map[string]*decider.Type{}
	for _, typ := range types() {
		byName[typ.Name] = typ
	}
	for _, projection := range models.Projections() {
		r, err := store.Runner(projection, 1, runner.Config{Client: opts, Aggregates: byName, Logger: log})
		must(t, err)
		goOn(ctx, &running, "projection", r.Run)
	}

	pool, publishing := b.pool, opts
	if o.way != nil {
		pool, publishing = o.way.pool(t, b.pool), append(opts[:1:1], kgo.Dialer(o.way.kafka.dial))
	}
	b.vault, err = vault.New(vault.Config{Pool: pool, KEKs: key("kek"), Now: b.now})
	must(t, err)
	folder := t.TempDir()
	must(t, token.EnsureKey(folder))
	b.keys, err = token.OpenFolder(folder, log)
	must(t, err)
	b.issuer, err = token.NewIssuer(token.IssuerConfig{Issuer: "https://id.example", Audience: "shop", Keys: b.keys.Keys})
	must(t, err)
	b.verifier, err = token.NewVerifier(token.VerifierConfig{Issuer: "https://id.example", Audience: "shop", Keys: b.keys, Now: b.now})
	must(t, err)
	for range max(1, o.instances) {
		publisher, err := producer.NewPublisher(t.Context(), producer.PublisherConfig{Kafka: publishing, Aggregates: names(), Logger: log, Sign: b.signer(identity.ServiceName).Sign})
		must(t, err)
		b.commands = publisher
		goOn(ctx, &running, "publisher", publisher.Run)
		cfg := identity.Config{Commands: publisher, Accounts: query.NewAccounts(pool), Vault: b.vault, Mailer: b, Issuer: b.issuer, Verifier: b.verifier,
			Keys: b.keys.Keys, Secrets: key("index"), PublicURL: "https://shop.example", Now: b.now, Logger: log}
		_, index := key("index").Current()
		cfg.Index, err = vault.NewIndex(secret.Of(index))
		must(t, err)
		cfg.Passwords, err = password.NewPool(password.Config{Queue: 1000})
		must(t, err)
		if o.change != nil {
			o.change(&cfg)
		}
		s, err := identity.New(cfg)
		must(t, err)
		b.services = append(b.services, s)
		goOn(sctx, &serving, "identity", s.Run)
		<-publisher.Ready()
	}
	t.Cleanup(func() { quit(); serving.Wait() }) // first of all, as when a process stops
	for _, p := range processors {
		b.until("the processors serve", func() bool {
			parts, joined := p.Status()
			for _, part := range parts {
				joined = joined && part.State == "serving"
			}
			return joined
		})
	}
	return b
}

// keyring has the key that proves who asks.
func keyring(t testing.TB) *principal.Keyring {
	t.Helper()
	k, err := principal.NewKeyring(key("principal"))
	must(t, err)
	return k
}

// signer signs as a service, by the bed's clock, and for longer than it ever passes at once: what goes on after an answer is not
// to expire because a test lets time pass.
func (b *bed) signer(service string) *principal.Signer {
	b.t.Helper()
	return &principal.Signer{Keys: keyring(b.t), As: principal.Principal{Kind: principal.Service, ID: service}, Clock: b.now, Valid: 1000 * time.Hour}
}

// authorizer asks policies, as the process does that puts processor and policies together.
type authorizer struct{ set *policy.Set }

func builtIn(t testing.TB) authorizer {
	t.Helper()
	words, err := policy.NewVocabulary(aggregates.All(), "daily_sales")
	must(t, err)
	set, err := policy.Parse(words, policy.Defaults())
	must(t, err)
	return authorizer{set}
}

func (a authorizer) Authorize(q *producer.Asked) producer.Answer {
	d := a.set.Command(&policy.Request{Principal: q.Principal, Command: q.Command, Stream: q.Stream, Exists: q.Exists, Attributes: q.Attributes,
		Owner: q.Owner, Backdated: q.Backdated})
	return producer.Answer{Allowed: d.Allowed, Policy: d.Policy}
}

// types are the aggregates of identity.
func types() []*decider.Type {
	var out []*decider.Type
	for _, name := range names() {
		typ, _ := aggregates.Lookup(name)
		out = append(out, typ)
	}
	return out
}

func names() []string { return []string{"user", "session", "emailclaim", "source"} }

func (b *bed) makeTopics(opts []kgo.Opt) map[string][16]byte {
	client, err := kgo.NewClient(opts...)
	must(b.t, err)
	defer client.Close()
	top := topology.New(client, topology.Config{Partitions: 2, Replication: 1}, names())
	plan, err := top.Plan(b.t.Context())
	must(b.t, err)
	must(b.t, top.Apply(b.t.Context(), plan))
	ids, err := top.Recorded(b.t.Context())
	must(b.t, err)
	return ids
}

// key makes a key by its ID; the same ID is the same key.
func key(id string) secret.Keys {
	k, err := secret.ParseKeys(id + ":" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat(id[:1], 32))))
	if err != nil {
		panic(err)
	}
	return k
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// until waits for something that happens by itself, with a deadline.
func (b *bed) until(what string, ok func() bool) {
	b.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			b.t.Fatalf("not in a minute: %s\n%s", what, b.log)
		}
		time.Sleep(2 * time.Millisecond) // between two looks, not instead of them
	}
}

// Send makes a bed a Mailer.
func (b *bed) Send(_ context.Context, m mail.Message) error {
	b.mails <- m
	return nil
}

// mail is the next one that was sent.
func (b *bed) mail() mail.Message {
	b.t.Helper()
	select {
	case m := <-b.mails:
		return m
	case <-time.After(time.Minute):
		b.t.Fatalf("no mail\n%s", b.log)
		return mail.Message{}
	}
}

var inLink = regexp.MustCompile(`#token=(\S+)`)

// token is the one in the next mail.
func (b *bed) token() string {
	b.t.Helper()
	m := b.mail()
	found := inLink.FindStringSubmatch(m.Text.Reveal())
	if found == nil {
		b.t.Fatalf("there is no link in the mail %q", m.Subject)
	}
	return found[1]
}

// do has a command decided that no path of users takes: an operator's, who may do everything.
func (b *bed) do(stream string, body proto.Message) {
	b.t.Helper()
	data, err := schemas.Marshal(body)
	must(b.t, err)
	c := event.Command{ID: producer.NewCommandID(), Type: string(body.ProtoReflect().Descriptor().FullName()), Stream: event.StreamID(stream), ExpectedVersion: event.AnyVersion}
	must(b.t, b.signer("cli").Sign(&c, schemas.ContentTypeProtobuf, data))
	o, err := b.commands.Do(b.t.Context(), c, "user", schemas.ContentTypeProtobuf, data)
	must(b.t, err)
	if o.Kind != event.Accepted {
		b.t.Fatalf("%s: %s %s", body.ProtoReflect().Descriptor().Name(), o.Code, o.Message)
	}
}

// verify looks at an access token as a gateway would.
func (b *bed) verify(access string) (token.Claims, error) {
	return b.verifier.Verify(b.t.Context(), secret.Of(access))
}

// stream lists the types of a stream's events.
func (b *bed) stream(aggregate, id string) string {
	b.t.Helper()
	client, err := kgo.NewClient(append(b.kafka[:1:1], kgo.ConsumeTopics(topology.TopicsOf("", aggregate).Events), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))...)
	must(b.t, err)
	defer client.Close()
	admin := kadm.NewClient(client)
	ends, err := admin.ListCommittedOffsets(b.t.Context(), topology.TopicsOf("", aggregate).Events)
	must(b.t, err)
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	var out []string
	for len(left) > 0 {
		fetches := client.PollFetches(b.t.Context())
		must(b.t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			if string(r.Key) == id {
				for _, h := range r.Headers {
					if h.Key == "ce_type" {
						out = append(out, string(h.Value))
					}
				}
			}
			// The last record is a transaction's marker, which is not fetched.
			if r.Offset+2 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	return strings.Join(out, " ")
}

// client sends requests, from an address, to one of the instances; it keeps cookies.
type client struct {
	b        *bed
	instance int
	source   string
	cookies  []*http.Cookie
	header   http.Header
	access   string
	refresh  string
}

func (b *bed) client() *client { return &client{b: b, source: "192.0.2.1:1234", header: http.Header{}} }

// answer is what came back.
type answer struct {
	t      testing.TB
	status int
	header http.Header
	text   string
	body   map[string]any
}

func (c *client) send(method, path string, body any) answer {
	c.b.t.Helper()
	var b []byte
	switch body := body.(type) {
	case nil:
	case string:
		b = []byte(body)
	default:
		var err error
		b, err = json.Marshal(body)
		must(c.b.t, err)
	}
	r := httptest.NewRequest(method, path, bytes.NewReader(b))
	r.RemoteAddr = c.source
	for name, values := range c.header {
		r.Header[name] = values
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.access != "" {
		r.Header.Set("Authorization", "Bearer "+c.access)
	}
	for _, cookie := range c.cookies {
		r.AddCookie(cookie)
	}
	w := httptest.NewRecorder()
	c.b.services[c.instance].ServeHTTP(w, r)
	a := answer{t: c.b.t, status: w.Code, header: w.Header(), text: w.Body.String()}
	_ = json.Unmarshal(w.Body.Bytes(), &a.body) // a 204 has none
	if cookies := w.Result().Cookies(); len(cookies) > 0 {
		c.cookies = cookies
	}
	return a
}

func (c *client) post(path string, body any) answer { return c.send(http.MethodPost, path, body) }
func (c *client) get(path string) answer            { return c.send(http.MethodGet, path, nil) }

// is checks status and, where there is one, the problem's code.
func (a answer) is(status int, code string) answer {
	a.t.Helper()
	got, _ := a.body["code"].(string)
	if a.status != status || got != code {
		a.t.Fatalf("the answer is %d %s, want %d %s", a.status, a.text, status, code)
	}
	return a
}

func (a answer) str(field string) string {
	a.t.Helper()
	s, ok := a.body[field].(string)
	if !ok {
		a.t.Fatalf("there is no %s in %s", field, a.text)
	}
	return s
}

type object = map[string]any

const (
	good  = "seven lamps over the quay"
	other = "nine bells under the pier"
)

// join registers a user and confirms the address.
func (b *bed) join(email string) {
	b.t.Helper()
	c := b.client()
	c.post("/v1/auth/register", object{"email": email, "password": good, "name": "Ada"}).is(202, "")
	c.post("/v1/auth/confirm", object{"token": b.token()}).is(204, "")
	b.known(email)
}

// known waits until the address can be found.
func (b *bed) known(email string) {
	b.t.Helper()
	_, index := key("index").Current()
	x, err := vault.NewIndex(secret.Of(index))
	must(b.t, err)
	claim, err := x.Email(email)
	must(b.t, err)
	b.until("the claim is in the read model", func() bool {
		var user string
		return b.pool.QueryRow(b.t.Context(), "SELECT user_id FROM claims WHERE id = $1", claim).Scan(&user) == nil
	})
}

// login logs in and keeps the tokens.
func (c *client) login(email, plain string) answer {
	c.b.t.Helper()
	c.access = ""
	a := c.post("/v1/auth/login", object{"email": email, "password": plain})
	c.keep(a)
	return a
}

func (c *client) keep(a answer) {
	if access, ok := a.body["accessToken"].(string); ok {
		c.access, c.refresh = access, a.str("refreshToken")
	}
}

// enrol sets up a second factor and returns its seed, with recovery codes.
func (c *client) enrol() (seed totp.Seed, recovery []string) {
	c.b.t.Helper()
	text := c.post("/v1/auth/mfa/totp", object{}).is(200, "").str("secret")
	seed = seedOf(c.b.t, text)
	a := c.post("/v1/auth/mfa/totp/activate", object{"code": totp.Code(seed, c.b.now())}).is(200, "")
	for _, code := range a.body["recoveryCodes"].([]any) {
		recovery = append(recovery, code.(string))
	}
	return seed, recovery
}
