package identity_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/producer"
	"github.com/cqrsflow/cqrsflow/services/identity"
	"github.com/cqrsflow/cqrsflow/services/identity/totp"
)

// planted are values to be found nowhere, by what they are.
type planted map[string][][]byte

// add adds a value, in every form in which it may stand somewhere.
func (p planted) add(what string, value []byte) {
	forms := [][]byte{value, []byte(hex.EncodeToString(value)), []byte(url.QueryEscape(string(value)))}
	for shift := range 3 { // base64 of something in which it stands, at each of the places that it can stand at
		padded := append(make([]byte, shift), value...)
		first, last := (shift*8+5)/6, len(padded)*8/6
		for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			forms = append(forms, []byte(enc.EncodeToString(padded)[first:last]))
		}
	}
	p[what] = append(p[what], forms...)
}

// in names those that data holds.
func (p planted) in(data []byte) (found []string) {
	for what, forms := range p {
		for _, form := range forms {
			if bytes.Contains(data, form) {
				found = append(found, what)
				break
			}
		}
	}
	return found
}

// Every form is found wherever it stands; else the test below would find nothing because it looks for nothing.
func TestPlantedValuesWouldBeFound(t *testing.T) {
	p := planted{}
	p.add("name", []byte("Ada Planted-Lovelace"))
	for _, before := range []string{"", "a", "ab", "abc"} {
		text := []byte(before + "Ada Planted-Lovelace" + before)
		for _, data := range []string{string(text), hex.EncodeToString(text), base64.StdEncoding.EncodeToString(text), base64.RawURLEncoding.EncodeToString(text),
			url.QueryEscape(string(text))} {
			if len(p.in([]byte(data))) != 1 {
				t.Errorf("not found in %q", data)
			}
		}
	}
	if found := p.in([]byte("Ada Planted")); found != nil {
		t.Errorf("%q is found where it is not", found)
	}
}

// What people entrust to identity stands in clear nowhere: not in Kafka's records, committed or not, nor in the local stores,
// PostgreSQL, logs, labels of metrics and errors. Each of these is looked at to have something of the user at all.
func TestASVS_14_2_4_PlantedValues(t *testing.T) {
	var labels struct {
		sync.Mutex
		text strings.Builder
	}
	b := newBed(t, options{
		change: func(c *identity.Config) {
			c.OnAttempt = func(factor, result string) {
				labels.Lock()
				defer labels.Unlock()
				labels.text.WriteString(factor + " " + result + "\n")
			}
		},
		processor: func(c *producer.Config) { c.RoundEvents, c.RoundAge = 4, time.Second }, // so that there are snapshots
	})
	const address, name, first, second = "Planted.Person@example.org", "Ada Planted-Lovelace", "seven odd lamps over nine quays", "eight odd bells under a pier"
	p := planted{}
	p.add("address", []byte(address))
	p.add("address", []byte(strings.ToLower(address)))
	p.add("local part", []byte("planted.person"))
	p.add("name", []byte(name))
	p.add("password", []byte(first))
	p.add("new password", []byte(second))
	p.add("wrong password", []byte("a guess that somebody made"))
	p.add("hash of a password", []byte("$argon2id$"))
	p.add("user agent", []byte("PlantedBrowser/7"))
	p.add("source", []byte("203.0.113.77"))

	c := b.client()
	c.source = "203.0.113.77:4711"
	c.header.Set("User-Agent", "PlantedBrowser/7")
	var answers bytes.Buffer // those that refuse
	refused := func(a answer, status int) {
		t.Helper()
		if a.status != status {
			t.Fatalf("%d %s", a.status, a.text)
		}
		answers.WriteString(a.text)
	}
	mailed := func(what string) string {
		t.Helper()
		text := b.token()
		p.addToken(t, what, text)
		return text
	}
	c.post("/v1/auth/register", object{"email": address, "password": first, "name": name}).is(202, "")
	c.post("/v1/auth/confirm", object{"token": mailed("confirmation")}).is(204, "")
	b.known(address)
	c.post("/v1/auth/register", object{"email": address, "password": first, "name": name}).is(202, "") // it is taken
	b.mail()
	refused(c.login(address, "a guess that somebody made"), 401)
	refused(c.post("/v1/auth/login", object{"email": address, "password": first, "more": first}), 400)
	refused(c.post("/v1/auth/login", `{"email": "`+address+`", "password": ["`+first+`"]}`), 400)
	refused(c.post("/v1/auth/register", object{"email": address, "password": "planted", "name": name}), 422)
	c.login(address, first).is(200, "")
	id := c.get("/v1/me").is(200, "").str("id")
	seed, recovery := c.enrol()
	p.add("TOTP seed", seed.Bytes())
	p.add("TOTP seed", []byte(seed.Base32()))
	for _, code := range recovery {
		p.add("recovery code", []byte(code))
		p.add("recovery code", []byte(strings.ReplaceAll(code, "-", "")))
	}
	b.pass(time.Minute)
	challenge := c.login(address, first).str("challenge")
	c.keep(c.post("/v1/auth/mfa", object{"challenge": challenge, "code": totp.Code(seed, b.now())}).is(200, ""))
	c.keep(c.post("/v1/auth/mfa", object{"challenge": challenge, "code": recovery[0]}).is(200, ""))
	refused(c.post("/v1/auth/mfa", object{"challenge": challenge, "code": recovery[0]}), 401)
	p.addToken(t, "access token", c.access)
	p.addToken(t, "refresh token", c.refresh)
	used := c.refresh
	c.keep(c.post("/v1/auth/refresh", object{"refreshToken": used}).is(200, ""))
	p.addToken(t, "access token", c.access)
	p.addToken(t, "refresh token", c.refresh)
	p.add("challenge", []byte(challenge))
	for _, cookie := range c.cookies {
		p.addToken(t, "device", cookie.Value)
	}
	c.post("/v1/auth/password", object{"current": first, "new": second}).is(204, "")
	b.pass(2 * time.Minute)
	c.post("/v1/auth/password/reset", object{"email": address}).is(202, "")
	c.post("/v1/auth/password/reset/confirm", object{"token": mailed("reset"), "new": first}).is(204, "")
	refused(c.post("/v1/auth/refresh", object{"refreshToken": c.refresh}), 401)
	refused(c.get("/v1/me"), 401)
	b.until("the session is in the read model, and revoked", func() bool {
		var n int
		return b.pool.QueryRow(t.Context(), "SELECT count(*) FROM sessions WHERE user_id = $1 AND revoked_at IS NOT NULL", id).Scan(&n) == nil && n >= 3
	})

	b.stopProcessors()
	look := func(where string, has bool, data []byte) {
		t.Helper()
		for _, what := range p.in(data) {
			t.Errorf("the %s stands in clear in %s", what, where)
		}
		if !has {
			t.Errorf("nothing of the user stands in %s: the test looks at the wrong thing", where)
		}
	}
	for what, topics := range map[string]string{"commands": ".commands", "events": ".events", "outcomes": ".outcomes", "snapshots": ".snapshots", "other topics": ""} {
		data := b.records(topics)
		look("the "+what, topics == "" || bytes.Contains(data, []byte(id)), data)
	}
	files, entries := b.stores()
	look("the files of the local stores", len(files) > 0, files)
	look("the local stores", bytes.Contains(entries, []byte(id)), entries)
	rows := b.rows()
	look("PostgreSQL", bytes.Contains(rows, []byte(id)), rows)
	look("the log", strings.Contains(b.log.String(), id), []byte(b.log.String()))
	labels.Lock()
	defer labels.Unlock()
	look("the labels of metrics", strings.Contains(labels.text.String(), "totp succeeded"), []byte(labels.text.String()))
	look("answers that refuse", answers.Len() > 0, answers.Bytes())
}

// addToken adds a token as clients have it, and what each of its parts stands for.
func (p planted) addToken(t testing.TB, what, text string) {
	t.Helper()
	secret, _, _ := strings.Cut(strings.TrimPrefix(text, "cqrt_"), ".")
	if what == "access token" { // its head and its claims are no secret; its signature is
		secret = text[strings.LastIndexByte(text, '.')+1:]
	}
	raw, err := base64.RawURLEncoding.DecodeString(secret)
	must(t, err)
	if len(raw) < 32 {
		t.Fatalf("the %s has %d bytes", what, len(raw))
	}
	p.add(what, []byte(secret))
	p.add(what, raw)
}

// records are keys, values and headers of every record of the topics whose names end so, aborted transactions' included; of an
// empty suffix, of all topics that no suffix names.
func (b *bed) records(suffix string) []byte {
	b.t.Helper()
	client, err := kgo.NewClient(b.kafka...)
	must(b.t, err)
	defer client.Close()
	admin := kadm.NewClient(client)
	topics, err := admin.ListTopics(b.t.Context())
	must(b.t, err)
	left := map[string]map[int32]int64{}
	at := map[string]map[int32]kgo.Offset{}
	for _, topic := range topics.Names() {
		known := false
		for _, s := range []string{".commands", ".events", ".outcomes", ".snapshots"} {
			known = known || strings.HasSuffix(topic, s)
		}
		if suffix == "" && known || !strings.HasSuffix(topic, suffix) {
			continue
		}
		ends, err := admin.ListEndOffsets(b.t.Context(), topic)
		must(b.t, err)
		must(b.t, ends.Error())
		ends.Each(func(o kadm.ListedOffset) {
			if o.Offset == 0 {
				return
			}
			if left[topic] == nil {
				left[topic], at[topic] = map[int32]int64{}, map[int32]kgo.Offset{}
			}
			left[topic][o.Partition], at[topic][o.Partition] = o.Offset, kgo.NewOffset().AtStart()
		})
	}
	reader, err := kgo.NewClient(append(b.kafka[:1:1], kgo.ConsumePartitions(at), kgo.FetchIsolationLevel(kgo.ReadUncommitted()), kgo.KeepControlRecords())...)
	must(b.t, err)
	defer reader.Close()
	var out bytes.Buffer
	for len(left) > 0 {
		fetches := reader.PollFetches(b.t.Context())
		must(b.t, fetches.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			out.Write(r.Key)
			out.WriteByte('\n')
			out.Write(r.Value)
			for _, h := range r.Headers {
				out.WriteString("\n" + h.Key + ": ")
				out.Write(h.Value)
			}
			out.WriteByte('\n')
			if r.Offset+1 >= left[r.Topic][r.Partition] {
				delete(left[r.Topic], r.Partition)
				if len(left[r.Topic]) == 0 {
					delete(left, r.Topic)
				}
			}
		})
	}
	return out.Bytes()
}

// stores are the files of the local stores, and, as these are compressed, what is in them. No processor may run.
func (b *bed) stores() (files, entries []byte) {
	b.t.Helper()
	opened := 0
	for _, root := range b.dirs {
		must(b.t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if !d.IsDir() {
				data, err := os.ReadFile(path)
				files = append(files, data...)
				return err
			}
			if found, _ := filepath.Glob(filepath.Join(path, "MANIFEST-*")); len(found) == 0 {
				return nil
			}
			opened++
			db, err := pebble.Open(path, &pebble.Options{ReadOnly: true, Logger: quiet{}})
			if err != nil {
				return err
			}
			it, err := db.NewIter(nil)
			if err != nil {
				return errors.Join(err, db.Close())
			}
			for it.First(); it.Valid(); it.Next() {
				entries = append(append(append(append(entries, it.Key()...), '\n'), it.Value()...), '\n')
			}
			return errors.Join(it.Close(), db.Close())
		}))
	}
	if opened == 0 {
		b.t.Fatal("there are no local stores")
	}
	return files, entries
}

// quiet is a pebble.Logger of which only what ends the test is heard.
type quiet struct{}

func (quiet) Infof(string, ...any)           {}
func (quiet) Errorf(string, ...any)          {}
func (quiet) Fatalf(format string, a ...any) { panic(fmt.Sprintf(format, a...)) }

// rows are all rows of all tables, as text.
func (b *bed) rows() []byte {
	b.t.Helper()
	rows, err := b.pool.Query(b.t.Context(), `SELECT format('%I.%I', table_schema, table_name) FROM information_schema.tables
		WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')`)
	must(b.t, err)
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(b.t, err)
	var out bytes.Buffer
	for _, table := range tables {
		rows, err := b.pool.Query(b.t.Context(), "SELECT t::text FROM "+table+" t")
		must(b.t, err)
		texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
		must(b.t, err)
		out.WriteString(table + "\n" + strings.Join(texts, "\n") + "\n")
	}
	return out.Bytes()
}
