package app

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/config"
	"github.com/cqrsflow/cqrsflow/internal/lifecycle"
	"github.com/cqrsflow/cqrsflow/internal/secret"
	"github.com/cqrsflow/cqrsflow/query"
	"github.com/cqrsflow/cqrsflow/services/identity"
	"github.com/cqrsflow/cqrsflow/services/identity/mail"
	"github.com/cqrsflow/cqrsflow/services/identity/password"
	"github.com/cqrsflow/cqrsflow/services/identity/token"
	"github.com/cqrsflow/cqrsflow/services/identity/vault"
)

// keyConnections bounds the connections for users' keys. They are apart from the read models', whose commits may be asynchronous:
// a key must be there before anything that it encrypts is.
const keyConnections = 8

// startIdentity is the role identity: users register and log in.
func (p *process) startIdentity(ctx context.Context, port *publicPort) error {
	c, keys := &p.cfg.Identity, p.tokenKeys
	v, err := p.openVault(ctx)
	if err != nil {
		return err
	}
	made := identity.Config{Commands: p.as(identity.ServiceName), Accounts: query.NewAccounts(p.store.Pool()), Vault: v, Keys: keys.Keys, Product: c.Product, PublicURL: c.PublicURL,
		ForwardedBy: c.ForwardedBy, SessionLifetime: c.Lifetime, SessionIdle: c.Idle, WithoutSecondFactor: !c.SecondFactor, OnAttempt: p.metrics.onAttempt, Logger: p.log}
	if made.TrustedProxies, err = networks("identity.trusted_proxies", c.TrustedProxies); err != nil {
		return err
	}
	if made.Secrets, err = secret.ParseKeys("index:" + c.IndexKey); err != nil {
		return fmt.Errorf("%w: %s: %w", event.ErrConfig, config.Name("identity.index_key"), err)
	}
	_, key := made.Secrets.Current()
	if made.Index, err = vault.NewIndex(secret.Of(key)); err != nil {
		return err
	}
	made.Passwords, err = password.NewPool(password.Config{Params: password.Params{Time: uint32(c.HashPasses), Memory: uint32(c.HashMemory >> 10), Threads: 1}, Concurrent: c.Hashing})
	if err != nil {
		return err
	}
	if made.Issuer, err = token.NewIssuer(token.IssuerConfig{Issuer: c.Issuer, Audience: c.Audience, Keys: keys.Keys}); err != nil {
		return err
	}
	if made.Verifier, err = token.NewVerifier(token.VerifierConfig{Issuer: c.Issuer, Audience: c.Audience, Keys: keys}); err != nil {
		return err
	}
	if made.Mailer, err = mailer(c); err != nil {
		return err
	}
	if p.identity, err = identity.New(made); err != nil {
		return err
	}
	// What goes on after answers publishes commands: it ends before what takes and decides them.
	p.group.Go(lifecycle.Intake, "identity", p.identity.Run)
	for _, path := range identity.Paths {
		port.mounted[path] = p.identity
	}
	operator := p.identity.Operator()
	for _, path := range identity.OperatorPaths {
		p.ops.Handle(path, operator)
	}
	return nil
}

// openVault opens the table of users' keys, making it where it is not there.
func (p *process) openVault(ctx context.Context) (*vault.Vault, error) {
	if err := vault.Migrate(ctx, p.cfg.Postgres.URL); err != nil {
		return nil, err
	}
	keks, err := secret.ParseKeys(p.cfg.Identity.KEKs)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", event.ErrConfig, config.Name("identity.keks"), err)
	}
	cfg, err := pgxpool.ParseConfig(p.cfg.Postgres.URL)
	if err != nil { // pgx leaves the password out
		return nil, fmt.Errorf("%w: %s: %w", event.ErrConfig, config.Name("postgres.url"), err)
	}
	cfg.MaxConns = keyConnections
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("%w: PostgreSQL pool: %w", event.ErrConfig, err)
	}
	p.group.OnClose("PostgreSQL connections for keys", func() error { pool.Close(); return nil })
	return vault.New(vault.Config{Pool: pool, KEKs: keks})
}

func mailer(c *config.Identity) (mail.Mailer, error) {
	switch {
	case c.Outbox != "":
		return mail.NewOutbox(c.Outbox, c.MailFrom)
	case c.SMTPAddr != "":
		return mail.NewSMTP(mail.SMTPConfig{Addr: c.SMTPAddr, From: c.MailFrom, Username: c.SMTPUsername, Password: secret.Of(c.SMTPPassword),
			Encryption: mail.Encryption(c.SMTPEncryption)})
	}
	return nil, fmt.Errorf("%w: the role identity needs %s, or %s", event.ErrConfig, config.Name("identity.smtp.addr"), config.Name("identity.outbox"))
}

func networks(key string, texts []string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range texts {
		n, err := config.ParseNetwork(text)
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", event.ErrConfig, config.Name(key), err)
		}
		out = append(out, n)
	}
	return out, nil
}

// makeIdentity makes, for dev, what identity needs, and whoever signs and verifies principals, and nobody has given: keys and a
// folder for mails, in the data directory.
func makeIdentity(cfg *config.Settings, server string) error {
	c, dir := &cfg.Identity, filepath.Join(cfg.General.Data, identityDir)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if c.TokenKeys == "" {
		c.TokenKeys = filepath.Join(dir, "token-keys")
		if err := token.EnsureKey(c.TokenKeys); err != nil {
			return err
		}
	}
	for _, s := range []struct {
		value      *string
		name, head string
	}{{&c.KEKs, "keks", "dev:"}, {&cfg.Principals.Keys, "principal-keys", "dev:"}, {&c.IndexKey, "index-key", ""}} {
		if *s.value != "" {
			continue
		}
		var err error
		if *s.value, err = ensureSecret(filepath.Join(dir, s.name), s.head); err != nil {
			return err
		}
	}
	if c.PublicURL == "" {
		c.PublicURL = server
	}
	if c.Outbox == "" && c.SMTPAddr == "" {
		c.Outbox = filepath.Join(cfg.General.Data, outboxDir)
	}
	return nil
}

// sampleUsers are who dev begins with: one of each role.
var sampleUsers = []string{"admin", "clerk", "auditor", "customer"}

// makeSampleUsers makes those that are not there. It returns their password where it made one up.
func (p *process) makeSampleUsers(ctx context.Context) (made string, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	plain := p.cfg.Dev.Password
	if plain == "" {
		plain = rand.Text()
	}
	for _, role := range sampleUsers {
		_, existed, err := p.identity.CreateUser(ctx, identity.Registration{Email: role + "@example.com", Name: "Sample " + role, Password: secret.Of(plain), Roles: []string{role}})
		if err != nil {
			return made, err
		}
		if !existed && p.cfg.Dev.Password == "" {
			made = plain
		}
	}
	return made, nil
}
