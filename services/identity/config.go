package identity

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/secret"
	"github.com/cqrsflow/cqrsflow/query"
	"github.com/cqrsflow/cqrsflow/services/httpserver"
	"github.com/cqrsflow/cqrsflow/services/identity/mail"
	"github.com/cqrsflow/cqrsflow/services/identity/token"
	"github.com/cqrsflow/cqrsflow/services/identity/totp"
	"github.com/cqrsflow/cqrsflow/services/identity/vault"
)

// Commands takes commands and brings back what became of them; *producer.Publisher does.
type Commands interface {
	// Do waits for the outcome until the context's deadline. event.ErrUnavailable: not taken.
	// event.ErrOutcomeUnknown: taken, or perhaps, and no outcome in time.
	Do(ctx context.Context, c event.Command, aggregate, contentType string, body []byte) (event.Outcome, error)
}

// Accounts finds users; *query.Accounts does. It may lag behind: nothing is decided on it alone.
type Accounts interface {
	// ByClaim returns the user's ID, or event.ErrNotFound.
	ByClaim(ctx context.Context, claim string) (string, error)
	// Sessions are those of a user that were not revoked, the latest first.
	Sessions(ctx context.Context, user string) ([]query.Session, error)
	// Claims are the claims that a user has.
	Claims(ctx context.Context, user string) ([]string, error)
	// Users are a page of all users, the latest first.
	Users(ctx context.Context, limit int, cursor string) (query.Page[query.User], error)
	// User returns a user, or event.ErrNotFound.
	User(ctx context.Context, id string) (query.User, error)
}

// Vault encrypts fields of users; *vault.Vault does.
type Vault interface {
	Encrypt(ctx context.Context, user, field string, plain []byte) ([]byte, error)
	Decrypt(ctx context.Context, user, field string, sealed []byte) (vault.Field, error)
	Forget(ctx context.Context, user string) (vault.Receipt, error)
	Discard(ctx context.Context, user string) error
}

// Passwords hashes and verifies, a few at a time; *password.Pool does.
type Passwords interface {
	Hash(ctx context.Context, plain secret.Text) (phc string, err error)
	Verify(ctx context.Context, plain secret.Text, phc string) (bool, error)
	NeedsRehash(phc string) bool
	// Dummy is a hash that no password fits.
	Dummy() string
}

// Config is what identity works with. All without a default is required.
type Config struct {
	Commands  Commands
	Accounts  Accounts
	Vault     Vault
	Index     *vault.Index
	Passwords Passwords
	Mailer    mail.Mailer

	// Issuer makes access tokens, Verifier checks them, Keys are what both of them use.
	Issuer   *token.Issuer
	Verifier *token.Verifier
	Keys     func() *token.KeySet
	// Secrets are keys out of which those for recovery codes and for challenges are made. All processes have the same.
	Secrets secret.Keys

	// Product is the name that people know the service by, in mails and in authenticator apps. Default cqrsflow.
	Product string
	// PublicURL is where links in mails lead, such as https://shop.example.
	PublicURL string
	// TrustedProxies are the addresses of proxies that are believed when they say where a request came from, in the header
	// ForwardedBy (default httpserver.XForwardedFor). From anybody else the connection's address counts.
	TrustedProxies []netip.Prefix
	ForwardedBy    string
	// SessionLifetime is how long a session lasts at most (default and at most 24 h), SessionIdle how long without being
	// refreshed (default and at most 1 h).
	SessionLifetime, SessionIdle time.Duration
	// WithoutSecondFactor lets users whose roles demand a second factor have them in a session without one: for development.
	WithoutSecondFactor bool
	// Timeout bounds a request (default 15 s), and each command in it (half of that).
	Timeout time.Duration
	// OnAttempt is told how each attempt to authenticate ended, for metrics; it must not block. Optional.
	OnAttempt func(factor, result string)
	// Logger; nil is slog.Default().
	Logger *slog.Logger
	// Now defaults to time.Now.
	Now func() time.Time
}

func (c *Config) validate() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: identity: "+format, append([]any{event.ErrConfig}, args...)...)
	}
	c.Product = cmp.Or(c.Product, "cqrsflow")
	c.ForwardedBy = cmp.Or(c.ForwardedBy, httpserver.XForwardedFor)
	c.SessionLifetime = cmp.Or(c.SessionLifetime, 24*time.Hour)
	c.SessionIdle = cmp.Or(c.SessionIdle, time.Hour)
	c.Timeout = cmp.Or(c.Timeout, 15*time.Second)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.OnAttempt == nil {
		c.OnAttempt = func(string, string) {}
	}
	for name, missing := range map[string]bool{"Commands": c.Commands == nil, "Accounts": c.Accounts == nil, "Vault": c.Vault == nil, "Index": c.Index == nil,
		"Passwords": c.Passwords == nil, "Mailer": c.Mailer == nil, "Issuer": c.Issuer == nil, "Verifier": c.Verifier == nil, "Keys": c.Keys == nil,
		"Secrets": c.Secrets.Empty()} {
		if missing {
			return bad("%s is missing", name)
		}
	}
	u, err := url.Parse(c.PublicURL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "":
		return bad("PublicURL is %q; it must be a URL such as https://shop.example", c.PublicURL)
	case strings.ContainsAny(c.Product, ":\r\n"):
		return bad("Product is %q; it must not have a colon or a line break", c.Product)
	case c.ForwardedBy != httpserver.XForwardedFor && c.ForwardedBy != httpserver.Forwarded:
		return bad("ForwardedBy is %q; it must be %s or %s", c.ForwardedBy, httpserver.XForwardedFor, httpserver.Forwarded)
	case c.SessionLifetime < time.Minute || c.SessionLifetime > 24*time.Hour:
		return bad("SessionLifetime is %v; it must be 1m to 24h", c.SessionLifetime)
	case c.SessionIdle < time.Minute || c.SessionIdle > time.Hour:
		return bad("SessionIdle is %v; it must be 1m to 1h", c.SessionIdle)
	case c.Timeout < time.Second || c.Timeout > time.Minute:
		return bad("Timeout is %v; it must be 1s to 1m", c.Timeout)
	}
	c.PublicURL = strings.TrimSuffix(c.PublicURL, "/")
	return nil
}

// recovery hashes recovery codes under the configured keys.
func (c *Config) recovery() (*totp.Recovery, error) { return totp.NewRecovery(c.Secrets) }
