package token

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
)

// RemoteConfig says where the public keys are.
type RemoteConfig struct {
	// URL of the JWKS document. Required; https, unless it is on this host.
	URL string
	// Fresh is how long keys are used before they are fetched again (default 5 minutes).
	Fresh time.Duration
	// Stale is how long keys are used when they cannot be fetched (default 1 hour): then nobody is let in.
	Stale time.Duration
	// Throttle is the least time between two fetches, whatever is asked for (default 10 seconds).
	Throttle time.Duration
	// Timeout of a fetch (default 5 seconds).
	Timeout time.Duration
	// Client defaults to one that follows no redirects.
	Client *http.Client
	// Now defaults to time.Now.
	Now func() time.Time
}

// maxJWKS bounds the document, in bytes.
const maxJWKS = 256 << 10

// Remote is a Source that fetches a JWKS document and keeps it. An unknown key makes it fetch again, at most once every
// Throttle and one at a time: tokens with invented key IDs cost the issuer nothing. It is safe for concurrent use.
type Remote struct {
	cfg RemoteConfig

	// fetching is held, as a token in the channel, by whoever fetches.
	fetching chan struct{}

	mu      sync.Mutex
	keys    map[string]ed25519.PublicKey
	fetched time.Time // when keys were fetched
	tried   time.Time // when that was last tried
	failure error     // of the last try
}

// NewRemote checks the configuration (errors wrap event.ErrConfig) and fetches nothing yet.
func NewRemote(cfg RemoteConfig) (*Remote, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("%w: the URL of the JWKS document must be https://<host>/…", event.ErrConfig)
	}
	if u.Scheme == "http" && !isThisHost(u.Hostname()) {
		return nil, fmt.Errorf("%w: the JWKS document at %s is not fetched over https: whoever is in between could give keys of their own", event.ErrConfig, cfg.URL)
	}
	for _, d := range []struct {
		v    *time.Duration
		or   time.Duration
		name string
	}{{&cfg.Fresh, 5 * time.Minute, "Fresh"}, {&cfg.Stale, time.Hour, "Stale"}, {&cfg.Throttle, 10 * time.Second, "Throttle"}, {&cfg.Timeout, 5 * time.Second, "Timeout"}} {
		if *d.v == 0 {
			*d.v = d.or
		}
		if *d.v < 0 {
			return nil, fmt.Errorf("%w: JWKS: %s is %v; it must be positive", event.ErrConfig, d.name, *d.v)
		}
	}
	if cfg.Client == nil {
		cfg.Client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Remote{cfg: cfg, fetching: make(chan struct{}, 1)}, nil
}

func isThisHost(host string) bool { return host == "localhost" || host == "127.0.0.1" || host == "::1" }

// Key returns a key: from what was fetched where that is fresh and has it. Errors wrap event.ErrNotFound where the issuer has no
// such key, as far as is known, and event.ErrUnavailable where no document is recent enough to say.
func (r *Remote) Key(ctx context.Context, id string) (ed25519.PublicKey, error) {
	key, must, may := r.look(id)
	if must || may {
		if err := r.fetch(ctx, id, must); err != nil {
			return nil, err
		}
		key, must, _ = r.look(id)
	}
	switch {
	case must: // still
		r.mu.Lock()
		defer r.mu.Unlock()
		return nil, fmt.Errorf("%w: the JWKS document at %s: %w", event.ErrUnavailable, r.cfg.URL, r.failure)
	case key == nil:
		return nil, fmt.Errorf("%w: no key %q at %s", event.ErrNotFound, clip(id), r.cfg.URL)
	}
	return key, nil
}

// look says what is known: the key; that nothing can be said without fetching (must); that fetching could bring more (may).
func (r *Remote) look(id string) (key ed25519.PublicKey, must, may bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.cfg.Now()
	key = r.keys[id]
	throttled := !r.tried.IsZero() && now.Sub(r.tried) < r.cfg.Throttle
	must = r.fetched.IsZero() || now.Sub(r.fetched) > r.cfg.Stale
	if must {
		return nil, true, false
	}
	return key, false, !throttled && (key == nil || now.Sub(r.fetched) > r.cfg.Fresh)
}

// fetch fetches once for all who wait. Where the key is there and only old, nobody waits for another's fetch.
func (r *Remote) fetch(ctx context.Context, id string, must bool) error {
	select {
	case r.fetching <- struct{}{}:
	default:
		if key, _, _ := r.look(id); key != nil && !must {
			return nil
		}
		select {
		case r.fetching <- struct{}{}:
		case <-ctx.Done():
			return fmt.Errorf("wait for the JWKS document: %w", ctx.Err())
		}
	}
	defer func() { <-r.fetching }()
	// Another one may have done it meanwhile.
	r.mu.Lock()
	now := r.cfg.Now()
	throttled := !r.tried.IsZero() && now.Sub(r.tried) < r.cfg.Throttle
	if !throttled {
		r.tried = now
	}
	r.mu.Unlock()
	if throttled {
		return nil
	}
	// Not cancelled with the request that happens to need it: others wait for it, and it counts as the one try.
	fetching, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.Timeout)
	defer cancel()
	keys, err := r.get(fetching)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failure = err; err == nil {
		r.keys, r.fetched = keys, now
	}
	return nil
}

func (r *Remote) get(ctx context.Context) (map[string]ed25519.PublicKey, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.cfg.URL, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/jwk-set+json, application/json")
	res, err := r.cfg.Client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer is %s", res.Status)
	}
	doc, err := io.ReadAll(io.LimitReader(res.Body, maxJWKS+1))
	if err != nil {
		return nil, err
	}
	if len(doc) > maxJWKS {
		return nil, fmt.Errorf("it has more than %d bytes", maxJWKS)
	}
	keys, err := parseJWKS(doc)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, errors.New("it has no Ed25519 key")
	}
	return keys, nil
}
