package password

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/secret"
)

// ErrOverloaded: more passwords are being checked than the pool takes. Nothing was computed; try again after a second.
var ErrOverloaded = fmt.Errorf("%w: too many passwords are being checked at once", event.ErrUnavailable)

// Config says how much hashing may cost.
type Config struct {
	// Params of new hashes. Default: Default.
	Params Params
	// Concurrent is how many hashes are computed at once (default 2). Each takes a core and Params.Memory.
	Concurrent int
	// Queue is how many more may wait (default 8 for each that is computed). Whoever comes then gets ErrOverloaded.
	Queue int
}

// Pool hashes and verifies, a few at once. Memory is Concurrent times Params.Memory, and about as much again that the
// garbage collector has not taken back yet, whatever comes in. It has no goroutines of its own and is safe for concurrent use.
type Pool struct {
	params Params
	derive derive
	dummy  string
	// admitted bounds who computes or waits, running who computes.
	admitted, running chan struct{}
}

// NewPool makes a pool. Its error wraps event.ErrConfig.
func NewPool(cfg Config) (*Pool, error) {
	if cfg.Params == (Params{}) {
		cfg.Params = Default
	}
	if err := cfg.Params.Check(); err != nil {
		return nil, err
	}
	if cfg.Concurrent == 0 {
		cfg.Concurrent = 2
	}
	if cfg.Queue == 0 {
		cfg.Queue = 8 * cfg.Concurrent
	}
	if cfg.Concurrent < 0 || cfg.Queue < 0 {
		return nil, fmt.Errorf("%w: a pool that hashes %d passwords at once with %d waiting; both must be positive", event.ErrConfig, cfg.Concurrent, cfg.Queue)
	}
	dummy := hashed{params: cfg.Params, salt: make([]byte, saltLen), key: make([]byte, keyLen)}
	_, _ = rand.Read(dummy.salt)
	_, _ = rand.Read(dummy.key) // no password is known that gives it
	return &Pool{
		params: cfg.Params, derive: argon2id, dummy: dummy.String(),
		admitted: make(chan struct{}, cfg.Concurrent+cfg.Queue), running: make(chan struct{}, cfg.Concurrent),
	}, nil
}

// Hash makes the PHC string of a password with a new salt. It waits for its turn until ctx ends; once begun it is finished.
// Errors are ErrOverloaded or wrap the context's. The policy is not its business.
func (p *Pool) Hash(ctx context.Context, password secret.Text) (string, error) {
	var h hashed
	err := p.do(ctx, func() { h = newHash(password.Reveal(), p.params, p.derive) })
	if err != nil {
		return "", fmt.Errorf("hash a password: %w", err)
	}
	return h.String(), nil
}

// Verify reports whether the password is the one whose PHC string that is. Errors are as Hash's, or wrap event.ErrUndecodable
// where the string is none.
func (p *Pool) Verify(ctx context.Context, password secret.Text, phc string) (bool, error) {
	h, err := parse(phc)
	if err != nil {
		return false, err
	}
	ok := false
	if err := p.do(ctx, func() { ok = h.fits(password.Reveal(), p.derive) }); err != nil {
		return false, fmt.Errorf("verify a password: %w", err)
	}
	return ok, nil
}

// NeedsRehash reports whether a stored hash should be replaced now that its password is known.
func (p *Pool) NeedsRehash(phc string) bool { return NeedsRehash(phc, p.params) }

// Dummy is a PHC string that no password fits, of the cost of any other: Verify against it where there is no such user, so
// that the answer takes as long.
func (p *Pool) Dummy() string { return p.dummy }

func (p *Pool) do(ctx context.Context, compute func()) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case p.admitted <- struct{}{}:
	default:
		return ErrOverloaded
	}
	defer func() { <-p.admitted }()
	select {
	case p.running <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-p.running }()
	compute()
	return nil
}
