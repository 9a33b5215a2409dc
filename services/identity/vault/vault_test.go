package vault

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/embedded/postgres"
	"github.com/cqrsflow/cqrsflow/internal/secret"
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
	dir, err := os.MkdirTemp("", "cqrsflow-vault-")
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

// database makes an empty database and returns its URL.
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

// place is a database with a table of keys, a clock and a configuration for vaults on them.
type place struct {
	pool  *pgxpool.Pool
	ahead atomic.Int64
}

func newPlace(t testing.TB) *place {
	t.Helper()
	url := database(t)
	if err := Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return &place{pool: pool}
}

func (p *place) now() time.Time { return time.Unix(1e9, p.ahead.Load()) }

// keks makes key-encryption keys by their IDs; the same ID is the same key.
func keks(t testing.TB, ids ...string) secret.Keys {
	t.Helper()
	var parts []string
	for _, id := range ids {
		parts = append(parts, id+":"+base64.StdEncoding.EncodeToString([]byte(strings.Repeat(id[:1], 32))))
	}
	keys, err := secret.ParseKeys(strings.Join(parts, ","))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// vault is one process's.
func (p *place) vault(t testing.TB, ids ...string) *Vault {
	t.Helper()
	v, err := New(Config{Pool: p.pool, KEKs: keks(t, ids...), CacheSize: 100, Now: p.now})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func encrypt(t testing.TB, v *Vault, user, field, plain string) []byte {
	t.Helper()
	sealed, err := v.Encrypt(t.Context(), user, field, []byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// read decrypts: the text, or "[redacted]".
func read(t testing.TB, v *Vault, user, field string, sealed []byte) string {
	t.Helper()
	f, err := v.Decrypt(t.Context(), user, field, sealed)
	if err != nil {
		t.Fatal(err)
	}
	if f.Redacted {
		if f.Text.Reveal() != nil {
			t.Error("redacted, and there")
		}
		return "[redacted]"
	}
	return string(f.Text.Reveal())
}

const email = "ada@example.org"

func TestFieldsAreEncrypted(t *testing.T) {
	p := newPlace(t)
	v := p.vault(t, "a")
	sealed := encrypt(t, v, "u-1", "email", email)
	if bytes.Contains(sealed, []byte("ada")) || bytes.Equal(sealed, encrypt(t, v, "u-1", "email", email)) {
		t.Error("it is not encrypted, or always in the same way")
	}
	for _, other := range []*Vault{v, p.vault(t, "a"), p.vault(t, "b", "a")} {
		if got := read(t, other, "u-1", "email", sealed); got != email {
			t.Errorf("%q", got)
		}
	}
	if got := read(t, v, "u-1", "notes", encrypt(t, v, "u-1", "notes", "")); got != "" {
		t.Errorf("an empty field is %q", got)
	}
	var wrapped []byte
	if err := p.pool.QueryRow(t.Context(), "SELECT wrapped FROM keys.user_keys WHERE user_id = 'u-1'").Scan(&wrapped); err != nil {
		t.Fatal(err)
	}
	if len(wrapped) != 1+12+32+16 {
		t.Errorf("the wrapped key has %d bytes", len(wrapped))
	}
}

// A ciphertext is this field of this user: moved elsewhere, or changed, it is nothing.
func TestCiphertextsAreBound(t *testing.T) {
	p := newPlace(t)
	v := p.vault(t, "a")
	sealed := encrypt(t, v, "u-1", "email", email)
	encrypt(t, v, "u-2", "email", email)
	for _, at := range [][2]string{{"u-2", "email"}, {"u-1", "name"}, {"u-1", ""}} {
		if f, err := v.Decrypt(t.Context(), at[0], at[1], sealed); !errors.Is(err, event.ErrUndecodable) || f.Redacted {
			t.Errorf("%v: %v", at, err)
		}
	}
	for i := range sealed {
		damaged := bytes.Clone(sealed)
		damaged[i] ^= 1
		if _, err := v.Decrypt(t.Context(), "u-1", "email", damaged); !errors.Is(err, event.ErrUndecodable) || strings.Contains(err.Error(), "ada") {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
	for _, short := range [][]byte{nil, sealed[:1], sealed[:28]} {
		if _, err := v.Decrypt(t.Context(), "u-1", "email", short); !errors.Is(err, event.ErrUndecodable) {
			t.Errorf("%d bytes: %v", len(short), err)
		}
	}
	// Users' wrapped keys are bound, too: a row with another one's key gives nobody's fields.
	if _, err := p.pool.Exec(t.Context(), "UPDATE keys.user_keys SET wrapped = (SELECT wrapped FROM keys.user_keys WHERE user_id = 'u-2') WHERE user_id = 'u-1'"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.vault(t, "a").Decrypt(t.Context(), "u-1", "email", sealed); !errors.Is(err, event.ErrConfig) {
		t.Errorf("%v", err)
	}
	// The border between user and field is fixed.
	if bytes.Equal(associated([]string{"field", "u-1", "x"}), associated([]string{"field", "u-", "1x"})) {
		t.Error("names run into each other")
	}
}

func TestForgottenIsRedactedEverywhereWithinTheTTL(t *testing.T) {
	p := newPlace(t)
	here, there := p.vault(t, "a"), p.vault(t, "a")
	sealed := encrypt(t, here, "u-1", "email", email)
	kept := encrypt(t, here, "u-2", "email", email)
	read(t, there, "u-1", "email", sealed) // cached
	first, err := here.Forget(t.Context(), "u-1")
	if err != nil {
		t.Fatal(err)
	}
	if first.User != "u-1" || first.At.IsZero() || first.Again || !first.HadKey {
		t.Errorf("%+v", first)
	}
	if got := read(t, here, "u-1", "email", sealed); got != "[redacted]" {
		t.Errorf("here: %q", got)
	}
	p.ahead.Store(int64(TTL))
	if got := read(t, there, "u-1", "email", sealed); got != "[redacted]" {
		t.Errorf("there: %q", got)
	}
	for _, v := range []*Vault{here, there, p.vault(t, "a")} {
		if _, err := v.Encrypt(t.Context(), "u-1", "email", []byte(email)); !errors.Is(err, ErrForgotten) || !errors.Is(err, event.ErrNotFound) {
			t.Errorf("a new key: %v", err)
		}
		if got := read(t, v, "u-2", "email", kept); got != email {
			t.Errorf("another user: %q", got)
		}
	}
	again, err := there.Forget(t.Context(), "u-1")
	if err != nil || !again.Again || again.HadKey || !again.At.Equal(first.At) {
		t.Errorf("%+v, %v", again, err)
	}
	var left int
	if err := p.pool.QueryRow(t.Context(), "SELECT count(*) FROM keys.user_keys WHERE user_id = 'u-1' AND (wrapped IS NOT NULL OR kek IS NOT NULL)").Scan(&left); err != nil || left != 0 {
		t.Errorf("the key is left: %d, %v", left, err)
	}
}

func TestForgettingWhoHasNoKey(t *testing.T) {
	p := newPlace(t)
	v := p.vault(t, "a")
	if got := read(t, v, "u-9", "email", []byte("whatever")); got != "[redacted]" {
		t.Errorf("%q", got)
	}
	r, err := v.Forget(t.Context(), "u-9")
	if err != nil || r.HadKey || r.Again || r.At.IsZero() {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := v.Encrypt(t.Context(), "u-9", "email", []byte(email)); !errors.Is(err, ErrForgotten) {
		t.Error(err)
	}
	for _, user := range []string{"", "u 1", "u\x00"} {
		if _, err := v.Forget(t.Context(), user); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("%q: %v", user, err)
		}
		if _, err := v.Encrypt(t.Context(), user, "email", nil); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("%q: %v", user, err)
		}
	}
}

// Many processes make the key of one user at once, and one forgets: all agree on one key, or on none.
func TestRacesEndInOneKeyOrNone(t *testing.T) {
	p := newPlace(t)
	const processes = 8
	var mu sync.Mutex
	sealed := map[string][][]byte{}
	var wg sync.WaitGroup
	for range processes {
		v := p.vault(t, "a")
		wg.Go(func() {
			for n := range 20 {
				user := fmt.Sprintf("u-%d", n)
				b, err := v.Encrypt(context.Background(), user, "email", []byte(email))
				if errors.Is(err, ErrForgotten) && n%2 == 1 {
					continue
				}
				if err != nil {
					t.Error(err)
					continue
				}
				mu.Lock()
				sealed[user] = append(sealed[user], b)
				mu.Unlock()
			}
		})
	}
	forgetter := p.vault(t, "a")
	wg.Go(func() {
		for n := 1; n < 20; n += 2 {
			if _, err := forgetter.Forget(context.Background(), fmt.Sprintf("u-%d", n)); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	v := p.vault(t, "a")
	for n := range 20 {
		user, want := fmt.Sprintf("u-%d", n), email
		if n%2 == 1 {
			want = "[redacted]"
		} else if len(sealed[user]) != processes {
			t.Errorf("%s: %d of %d", user, len(sealed[user]), processes)
		}
		for _, b := range sealed[user] {
			if got := read(t, v, user, "email", b); got != want {
				t.Errorf("%s: %q, want %q", user, got, want)
			}
		}
	}
}

func TestKeyEncryptionKeysChange(t *testing.T) {
	p := newPlace(t)
	old := p.vault(t, "a")
	sealed := map[string][]byte{}
	for n := range rewrapBatch + 20 {
		user := fmt.Sprintf("u-%04d", n)
		sealed[user] = encrypt(t, old, user, "email", email)
	}
	if _, err := old.Forget(t.Context(), "u-0007"); err != nil {
		t.Fatal(err)
	}
	// Without the old key nothing is redacted by mistake.
	if f, err := p.vault(t, "b").Decrypt(t.Context(), "u-0001", "email", sealed["u-0001"]); !errors.Is(err, event.ErrConfig) || f.Redacted || !strings.Contains(err.Error(), "key a, which is not configured") {
		t.Errorf("%+v, %v", f, err)
	}
	if _, err := p.vault(t, "b").Encrypt(t.Context(), "u-0001", "email", nil); !errors.Is(err, event.ErrConfig) {
		t.Error(err)
	}
	if _, err := p.vault(t, "b").Rewrap(t.Context()); !errors.Is(err, event.ErrConfig) {
		t.Error(err)
	}
	both := p.vault(t, "b", "a")
	encrypt(t, both, "u-new", "email", email)
	n, err := both.Rewrap(t.Context())
	if err != nil || n != rewrapBatch+19 {
		t.Errorf("%d are wrapped anew, %v", n, err)
	}
	if n, err := both.Rewrap(t.Context()); err != nil || n != 0 {
		t.Errorf("again: %d, %v", n, err)
	}
	fresh := p.vault(t, "b")
	for user, b := range sealed {
		want := email
		if user == "u-0007" {
			want = "[redacted]"
		}
		if got := read(t, fresh, user, "email", b); got != want {
			t.Fatalf("%s: %q, want %q", user, got, want)
		}
	}
	if _, err := New(Config{Pool: p.pool}); !errors.Is(err, event.ErrConfig) {
		t.Error(err)
	}
	if _, err := New(Config{KEKs: keks(t, "a")}); !errors.Is(err, event.ErrConfig) {
		t.Error(err)
	}
	if _, err := New(Config{Pool: p.pool, KEKs: keks(t, "a"), CacheSize: -1}); !errors.Is(err, event.ErrConfig) {
		t.Error(err)
	}
}

// A user who is forgotten between being read and being wrapped anew stays forgotten, and stops nobody.
func TestRewrapBringsNobodyBack(t *testing.T) {
	p := newPlace(t)
	old := p.vault(t, "a")
	sealed := encrypt(t, old, "u-1", "email", email)
	encrypt(t, old, "u-2", "email", email)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tx, err := p.pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.Background()) }()
	// As Forget does, before it commits.
	if _, err := tx.Exec(ctx, "UPDATE keys.user_keys SET kek = NULL, wrapped = NULL, forgotten_at = now() WHERE user_id = 'u-1'"); err != nil {
		t.Fatal(err)
	}
	both := p.vault(t, "b", "a")
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	go func() { n, err := both.Rewrap(ctx); done <- result{n, err} }()
	for waiting := 0; waiting == 0; { // until Rewrap has read the row and waits to write it
		if err := p.pool.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if r := <-done; r.err != nil || r.n != 1 {
		t.Errorf("%d are wrapped anew, %v; want u-2 alone", r.n, r.err)
	}
	if got := read(t, p.vault(t, "b"), "u-1", "email", sealed); got != "[redacted]" {
		t.Errorf("%q", got)
	}
}

// A database that cannot be asked is no reason to redact.
func TestDatabaseThatIsNotThere(t *testing.T) {
	pool, err := pgxpool.New(t.Context(), "postgres://user:hunter2@127.0.0.1:1/keys")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	down := &place{pool: pool}
	v := down.vault(t, "a")
	for _, err := range []error{
		func() error { _, err := v.Encrypt(t.Context(), "u-1", "email", nil); return err }(),
		func() error {
			f, err := v.Decrypt(t.Context(), "u-1", "email", nil)
			if f.Redacted {
				t.Error("redacted")
			}
			return err
		}(),
		func() error { _, err := v.Forget(t.Context(), "u-1"); return err }(),
		func() error { _, err := v.Rewrap(t.Context()); return err }(),
		Migrate(t.Context(), "postgres://user:hunter2@127.0.0.1:1/keys"),
	} {
		if !errors.Is(err, event.ErrUnavailable) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	}
	if err := Migrate(t.Context(), "postgres://user:hunter2@host:port/"); !errors.Is(err, event.ErrConfig) || strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := v.Decrypt(ctx, "u-1", "email", nil); !errors.Is(err, context.Canceled) || event.SafeToRetry(err) {
		t.Error(err)
	}
	// A database without the table needs an operator.
	bare, err := pgxpool.New(t.Context(), database(t))
	if err != nil {
		t.Fatal(err)
	}
	defer bare.Close()
	if f, err := (&place{pool: bare}).vault(t, "a").Decrypt(t.Context(), "u-1", "email", nil); !errors.Is(err, event.ErrConfig) || f.Redacted {
		t.Error(err)
	}
}

func TestMigrateFromSeveralProcessesAtOnceAndAgain(t *testing.T) {
	url := database(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := Migrate(t.Context(), url); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := Migrate(t.Context(), url); err != nil {
		t.Fatal(err)
	}
}

func TestFieldsAndKeysAreMasked(t *testing.T) {
	p := newPlace(t)
	v := p.vault(t, "a")
	f, err := v.Decrypt(t.Context(), "u-1", "email", encrypt(t, v, "u-1", "email", email))
	if err != nil {
		t.Fatal(err)
	}
	_, kek := v.keks.Current()
	var shown string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		shown += fmt.Sprintf(verb, f) + fmt.Sprintf(verb, v.keks)
	}
	for _, form := range []string{email, fmt.Sprintf("%x", email), strings.Trim(fmt.Sprintf("%d", []byte(email)), "[]"), strings.Trim(fmt.Sprintf("%d", kek), "[]")} {
		if strings.Contains(shown, form) {
			t.Errorf("%q is shown", form)
		}
	}
}

// A key of nobody is discarded without a trace, and may be made again; who was forgotten stays so.
func TestDiscard(t *testing.T) {
	p := newPlace(t)
	v := p.vault(t, "a")
	rows := func() (n int) {
		t.Helper()
		if err := p.pool.QueryRow(t.Context(), "SELECT count(*) FROM keys.user_keys").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	sealed, err := v.Encrypt(t.Context(), "u-1", "email", []byte(email))
	if err != nil || rows() != 1 {
		t.Fatal(rows(), err)
	}
	for range 2 {
		if err := v.Discard(t.Context(), "u-1"); err != nil || rows() != 0 {
			t.Errorf("%d rows are left, %v", rows(), err)
		}
	}
	if got := read(t, v, "u-1", "email", sealed); got != "[redacted]" {
		t.Errorf("what it encrypted can be read: %q", got)
	}
	if _, err := v.Forget(t.Context(), "u-2"); err != nil {
		t.Fatal(err)
	}
	if err := v.Discard(t.Context(), "u-2"); err != nil || rows() != 1 {
		t.Errorf("%d rows are left of who was forgotten, %v", rows(), err)
	}
	if err := v.Discard(t.Context(), "u 1"); !errors.Is(err, event.ErrInvalid) {
		t.Error(err)
	}
}
