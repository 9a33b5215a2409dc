package password

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/crypto/argon2"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// cheap are parameters for tests of what has nothing to do with cost.
var cheap = Params{Time: 1, Memory: 64, Threads: 1}

func pool(t testing.TB, cfg Config) *Pool {
	t.Helper()
	p, err := NewPool(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestHashIsVerified(t *testing.T) {
	p := pool(t, Config{})
	const password = "seventeen walruses"
	phc, err := p.Hash(t.Context(), secret.Of(password))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(phc, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("%s", phc)
	}
	again, err := p.Hash(t.Context(), secret.Of(password))
	if err != nil || again == phc {
		t.Errorf("two hashes of the same password are the same, %v", err)
	}
	for try, want := range map[string]bool{password: true, password + " ": false, " " + password: false, "Seventeen walruses": false, "": false, password[:17]: false} {
		if ok, err := p.Verify(t.Context(), secret.Of(try), phc); err != nil || ok != want {
			t.Errorf("%q: %v, %v", try, ok, err)
		}
	}
	if p.NeedsRehash(phc) {
		t.Error("a new hash needs another one")
	}
}

// The string is that of the format, whoever computes it: here by argon2 directly.
func TestPHCString(t *testing.T) {
	salt := []byte("0123456789abcdef")
	h := hashed{params: cheap, salt: salt, key: argon2.IDKey([]byte("walrus"), salt, 1, 64, 1, 32)}
	const want = "$argon2id$v=19$m=64,t=1,p=1$MDEyMzQ1Njc4OWFiY2RlZg$9N8Ro7/JZ6q/C3HBQN/MVg7629Zk1bpG6T4q/CIhQGw"
	if got := h.String(); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if ok, err := pool(t, Config{}).Verify(t.Context(), secret.Of("walrus"), want); err != nil || !ok {
		t.Errorf("%v, %v", ok, err)
	}
}

func TestNothingIsTruncated(t *testing.T) {
	long := strings.Repeat("x", MaxBytes)
	passwords := []string{long, long[1:], long[:64], long[:72], long[:73], "a\x00b", "a", long[:MaxBytes-1] + "y", "y" + long[1:]}
	for i, password := range passwords {
		h := newHash(password, cheap, argon2id)
		for j, try := range passwords {
			if h.fits(try, argon2id) != (i == j) {
				t.Errorf("%d fits the hash of %d: %v", j, i, i != j)
			}
		}
	}
}

func TestNormalisation(t *testing.T) {
	h := newHash("Caf\u00e9 \u1e9b\u0323", cheap, argon2id)
	for try, want := range map[string]bool{
		"Cafe\u0301 \u1e9b\u0323":     true,  // decomposed
		"Cafe \u1e9b\u0323":           false, // another letter
		"Caf\u00e9 \u1e69":            false, // what NFKC would make of it
		"Caf\u00e9\u00a0\u1e9b\u0323": false, // another space
	} {
		if got := h.fits(try, argon2id); got != want {
			t.Errorf("%+q: %v", try, got)
		}
	}
}

func TestParametersAreStoredAndRaised(t *testing.T) {
	old := pool(t, Config{})
	now := pool(t, Config{Params: Params{Time: 3, Memory: 20 << 10, Threads: 1}})
	phc, err := old.Hash(t.Context(), secret.Of("walrus"))
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := now.Verify(t.Context(), secret.Of("walrus"), phc); err != nil || !ok {
		t.Errorf("an older hash: %v, %v", ok, err)
	}
	if !now.NeedsRehash(phc) || old.NeedsRehash(phc) || !now.NeedsRehash("") || !now.NeedsRehash(strings.Replace(phc, "p=1", "p=2", 1)) {
		t.Error("whether it needs a rehash is wrong")
	}
	for _, p := range []Params{{1, 19 << 10, 1}, {2, 19<<10 - 1, 1}, {2, 19 << 10, 0}, {2, 2 << 20, 1}, {65, 19 << 10, 1}} {
		if _, err := NewPool(Config{Params: p}); !errors.Is(err, event.ErrConfig) {
			t.Errorf("%+v: %v", p, err)
		}
	}
	if _, err := NewPool(Config{Concurrent: -1}); !errors.Is(err, event.ErrConfig) {
		t.Error(err)
	}
}

func TestDamagedHashes(t *testing.T) {
	p := pool(t, Config{})
	good := newHash("walrus", cheap, argon2id).String()
	if _, err := parse(good); err != nil {
		t.Fatal(err)
	}
	for _, phc := range []string{
		"", "$", good[1:], good + "$", good + "=", good[:len(good)-1], strings.Replace(good, "argon2id", "argon2i", 1), strings.Replace(good, "v=19", "v=16", 1),
		strings.Replace(good, "m=64", "m=4294967295", 1), strings.Replace(good, "m=64", "m=1", 1), strings.Replace(good, "m=64", "m=-1", 1), strings.Replace(good, "t=1", "t=0", 1), strings.Replace(good, "t=1", "t=1000000", 1),
		strings.Replace(good, "p=1", "p=0", 1), strings.Replace(good, "p=1", "p=1,keyid=x", 1), strings.Replace(good, "m=64", "m=064", 1), "$argon2id$v=19$m=64,t=1,p=1$$", "$2a$10$abcdefghijklmnopqrstuv",
	} {
		ok, err := p.Verify(t.Context(), secret.Of("walrus"), phc)
		if ok || !errors.Is(err, event.ErrUndecodable) {
			t.Errorf("%q: %v, %v", phc, ok, err)
		}
		if err != nil && strings.Contains(err.Error(), good[25:]) {
			t.Errorf("the message quotes the hash: %v", err)
		}
	}
}

// An unknown user costs what a known one does: the same function is called with the same parameters and lengths.
func TestDummyCostsTheSame(t *testing.T) {
	p := pool(t, Config{Params: Params{Time: 3, Memory: 24 << 10, Threads: 2}})
	var calls []string
	p.derive = func(password, salt []byte, params Params, n uint32) []byte {
		calls = append(calls, fmt.Sprint(len(password), len(salt), params, n))
		return make([]byte, n)
	}
	phc, err := p.Hash(t.Context(), secret.Of("walrus"))
	if err != nil {
		t.Fatal(err)
	}
	for _, stored := range []string{phc, p.Dummy()} {
		if _, err := p.Verify(t.Context(), secret.Of("walrus"), stored); err != nil {
			t.Fatal(err)
		}
	}
	if calls[1] != calls[2] {
		t.Errorf("known: %s, unknown: %s", calls[1], calls[2])
	}
	if len(p.Dummy()) != len(phc) || p.Dummy() == pool(t, Config{}).Dummy() {
		t.Error("the dummy is not like a hash, or the same for everybody")
	}
}

// gate is a derivation that says when it has begun and waits until it may end.
type gate struct {
	begun, end   chan struct{}
	now, most, n atomic.Int64
}

func (g *gate) derive(_, _ []byte, _ Params, n uint32) []byte {
	g.n.Add(1)
	at := g.now.Add(1)
	for most := g.most.Load(); at > most && !g.most.CompareAndSwap(most, at); most = g.most.Load() {
	}
	g.begun <- struct{}{}
	<-g.end
	g.now.Add(-1)
	return make([]byte, n)
}

func TestPoolIsBounded(t *testing.T) {
	p := pool(t, Config{Concurrent: 2, Queue: 3})
	g := &gate{begun: make(chan struct{}, 100), end: make(chan struct{})}
	p.derive = g.derive
	results := make(chan error, 100)
	hash := func() { _, err := p.Hash(context.Background(), secret.Of("walrus")); results <- err }
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(hash)
	}
	// All but the two that compute and the three that wait are refused at once.
	for range 45 {
		if err := <-results; !errors.Is(err, ErrOverloaded) || !errors.Is(err, event.ErrUnavailable) || !event.SafeToRetry(err) {
			t.Fatal(err)
		}
	}
	<-g.begun
	<-g.begun
	if n := g.n.Load(); n != 2 {
		t.Errorf("%d are computed", n)
	}
	close(g.end)
	for range 5 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	if g.most.Load() != 2 || g.n.Load() != 5 {
		t.Errorf("at most %d at once, %d in all", g.most.Load(), g.n.Load())
	}
	if _, err := p.Hash(t.Context(), secret.Of("walrus")); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	p := pool(t, Config{Concurrent: 1, Queue: 1})
	g := &gate{begun: make(chan struct{}, 100), end: make(chan struct{})}
	p.derive = g.derive
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = p.Hash(context.Background(), secret.Of("walrus")) })
	<-g.begun
	for range 3 { // a place in the queue that is given up is free again
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		if ok, err := p.Verify(ctx, secret.Of("walrus"), p.Dummy()); ok || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, %v", ok, err)
		}
		cancel()
	}
	close(g.end)
	wg.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Hash(ctx, secret.Of("walrus")); !errors.Is(err, context.Canceled) || g.n.Load() != 1 {
		t.Errorf("a context that has ended: %v, %d computed", err, g.n.Load())
	}
}

// The memory of many hashes, one after the other and at once, is that of a few.
func TestMemoryDoesNotGrow(t *testing.T) {
	p := pool(t, Config{Concurrent: 2, Queue: 100})
	var wg sync.WaitGroup
	for range 40 {
		wg.Go(func() {
			if _, err := p.Hash(t.Context(), secret.Of("walrus")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if limit := uint64(10 * 19 << 20); m.HeapSys > limit { // all 40 would be 760 MiB
		t.Errorf("the heap has taken %d MiB", m.HeapSys>>20)
	}
}

func BenchmarkHash(b *testing.B) {
	p := pool(b, Config{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Hash(b.Context(), secret.Of("seventeen walruses")); err != nil {
			b.Fatal(err)
		}
	}
}
