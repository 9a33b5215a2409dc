package limit

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/services/gateway"
)

// Lease asks for tokens.
type Lease struct {
	Key string
	// Most may be taken in any Window, by all gateways together.
	Most   int
	Window time.Duration
	// Block is how many are asked for.
	Block int
	// Unused tokens of the slot of a lease before are given back.
	Unused int
	Slot   int64
}

// Grant is what was given.
type Grant struct {
	// Tokens may be used until Valid has passed since they were asked for; one may be used at once in any case.
	Tokens int
	Valid  time.Duration
	// Slot is to be named when unused tokens are given back.
	Slot int64
	// Left is how many others may still lease; Reset is after how long there are more.
	Left  int
	Reset time.Duration
}

// Store gives tokens out to all gateways; Postgres does.
type Store interface {
	// Lease gives back, and takes. An error says that nothing was given, and nothing need be used.
	Lease(ctx context.Context, l Lease) (Grant, error)
}

// LeasedConfig says how tokens are leased.
type LeasedConfig struct {
	// Store is required.
	Store Store
	// Timeout of a lease; 1 s.
	Timeout time.Duration
	// Clock; time.Now.
	Clock func() time.Time
}

// Leased is a gateway.Limiter for several gateways. Each leases a twentieth of a limit at a time, at least one, so that what
// another has leased and does not use is at most that much. It is safe for concurrent use.
type Leased struct {
	cfg LeasedConfig
	table[lease]
}

// NewLeased makes a Leased. Its error wraps event.ErrConfig.
func NewLeased(cfg LeasedConfig) (*Leased, error) {
	cfg.Timeout = cmp.Or(cfg.Timeout, time.Second)
	if cfg.Store == nil || cfg.Timeout < 0 {
		return nil, fmt.Errorf("%w: leased limits need a store, and a timeout that is not negative", event.ErrConfig)
	}
	return &Leased{cfg: cfg, table: newTable[lease](cfg.Clock)}, nil
}

// lease is what a gateway has of a key.
type lease struct {
	// turn is held by whoever looks, as a token in the channel: who waits for it can give up.
	turn  chan struct{}
	once  sync.Once
	until time.Duration
	grant Grant
	used  time.Duration
}

// Block is how many tokens of a limit are leased at a time.
func Block(requests int) int { return max(1, requests/20) }

// Take counts one request. Its error wraps event.ErrInvalid for a limit that is none, and event.ErrUnavailable where the store
// does not answer or too many keys count.
func (l *Leased) Take(ctx context.Context, key string, limit gateway.Limit) (gateway.Decision, error) {
	if err := check(limit); err != nil {
		return gateway.Decision{}, err
	}
	s, now := l.shard(key), l.now()
	s.mu.Lock()
	e, err := s.entry(key, limit.Window, func(e *entry[lease]) bool { return now-e.what.used > 2*e.window+l.cfg.Timeout })
	if err == nil {
		e.what.once.Do(func() { e.what.turn = make(chan struct{}, 1) })
		e.what.used = now
	}
	s.mu.Unlock()
	if err != nil {
		return gateway.Decision{}, err
	}
	select {
	case e.what.turn <- struct{}{}:
		defer func() { <-e.what.turn }()
	case <-ctx.Done():
		return gateway.Decision{}, fmt.Errorf("%w: wait for tokens: %w", event.ErrUnavailable, ctx.Err())
	}
	return l.take(ctx, &e.what, key, limit)
}

// take uses a token of the lease, or leases more. That there were none counts until the slot is over, too.
func (l *Leased) take(ctx context.Context, e *lease, key string, limit gateway.Limit) (gateway.Decision, error) {
	now := l.now()
	if fresh := now < e.until; !fresh || e.grant.Tokens == 0 && e.grant.Left > 0 {
		ask := Lease{Key: key, Most: limit.Requests, Window: limit.Window, Block: Block(limit.Requests), Unused: e.grant.Tokens, Slot: e.grant.Slot}
		ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
		defer cancel()
		got, err := l.cfg.Store.Lease(ctx, ask)
		if err != nil {
			// Whether anything was taken is not known: what this gateway had is not used any more, nor given back twice.
			e.grant, e.until = Grant{}, 0
			return gateway.Decision{}, fmt.Errorf("lease tokens: %w", err)
		}
		e.grant, e.until = got, now+got.Valid
	}
	d := gateway.Decision{Limit: limit.Requests, Allowed: e.grant.Tokens > 0, Reset: max(0, e.until+e.grant.Reset-e.grant.Valid-now)}
	if d.Allowed {
		e.grant.Tokens--
	}
	d.Remaining = e.grant.Tokens + e.grant.Left
	return d, nil
}
