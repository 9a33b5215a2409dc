package app

import (
	"context"
	"fmt"
	"net/http"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/cqrsflow/cqrsflow/consumers/revocation"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/event/principal"
	"github.com/cqrsflow/cqrsflow/internal/config"
	"github.com/cqrsflow/cqrsflow/internal/lifecycle"
	"github.com/cqrsflow/cqrsflow/internal/secret"
	"github.com/cqrsflow/cqrsflow/services/api"
	"github.com/cqrsflow/cqrsflow/services/gateway"
	"github.com/cqrsflow/cqrsflow/services/gateway/auth"
	"github.com/cqrsflow/cqrsflow/services/gateway/limit"
	"github.com/cqrsflow/cqrsflow/services/identity/token"
)

// openKeys reads the keys that sign access tokens: for the role identity, and for who verifies with the same folder.
func (p *process) openKeys(context.Context) (err error) {
	if p.tokenKeys, err = token.OpenFolder(p.cfg.Identity.TokenKeys, p.log); err != nil {
		return err
	}
	p.group.Go(lifecycle.Last, "signing keys", p.tokenKeys.Run)
	return nil
}

// startPolicies follows the policies' files.
func (p *process) startPolicies(context.Context) error {
	if p.policies != nil {
		p.group.Go(lifecycle.Last, "policies", p.policies.Run)
	}
	return nil
}

// startRevocations follows who does not count any more: for who decides commands that users have signed, and who lets users in.
func (p *process) startRevocations(context.Context) error {
	types := p.byName()
	cfg := revocation.Config{Client: p.kafka, Prefix: p.cfg.General.Prefix, Users: types["user"], Sessions: types["session"], Logger: p.log}
	if kept := p.cfg.Topology.CommandRetention; kept > 0 { // no command is older
		cfg.Keep = kept
	}
	feed, err := revocation.New(cfg)
	if err != nil {
		return err
	}
	p.revocations = feed
	p.group.Go(lifecycle.Last, "revocations", feed.Run)
	p.ops.Register("revocations", feed.Ready)
	return nil
}

// limiter counts requests: in this process, or together with other gateways; nil where nobody is limited.
func (p *process) limiter(ctx context.Context) (gateway.Limiter, error) {
	switch p.cfg.Gateway.Limits {
	case "off":
		return nil, nil
	case "local":
		return limit.NewLocal(nil), nil
	}
	url := p.cfg.Postgres.URL
	if url == "" {
		return nil, fmt.Errorf("%w: limits that gateways share are in PostgreSQL: %s is missing", event.ErrConfig, config.Name("postgres.url"))
	}
	if err := limit.Migrate(ctx, url); err != nil {
		return nil, err
	}
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil { // pgx leaves the password out
		return nil, fmt.Errorf("%w: %s: %w", event.ErrConfig, config.Name("postgres.url"), err)
	}
	cfg.MaxConns = limitConnections
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("%w: PostgreSQL pool: %w", event.ErrConfig, err)
	}
	p.group.OnClose("PostgreSQL connections for limits", func() error { pool.Close(); return nil })
	store := limit.NewPostgres(pool, p.log)
	p.group.Go(lifecycle.Last, "limits", store.Run)
	return limit.NewLeased(limit.LeasedConfig{Store: store})
}

// limitConnections bounds the connections for leasing tokens: a lease is one short statement.
const limitConnections = 4

// authenticator tells who asks on the public port: users by the keys of this process or those that are fetched, and whoever has
// the operator's token.
func (p *process) authenticator() (gateway.Authenticator, error) {
	c := &p.cfg.Identity
	made := auth.Config{Operator: secret.Of(p.cfg.Client.Token), Service: CommandLine}
	if p.cfg.Client.Token == "" {
		made.Service = ""
	}
	var keys token.Source
	switch {
	case p.tokenKeys != nil:
		keys = p.tokenKeys
	case c.JWKS != "":
		remote, err := token.NewRemote(token.RemoteConfig{URL: c.JWKS})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", config.Name("identity.jwks_url"), err)
		}
		keys = remote
	case p.cfg.Client.Token == "":
		return nil, fmt.Errorf("%w: nobody could be told from another: the roles gateway and query without the role identity need %s and %s, or %s, or at least %s",
			event.ErrConfig, config.Name("identity.issuer"), config.Name("identity.jwks_url"), config.Name("identity.token_keys"), config.Name("token"))
	}
	if keys != nil {
		v, err := token.NewVerifier(token.VerifierConfig{Issuer: c.Issuer, Audience: c.Audience, Keys: keys})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", config.Name("identity.issuer"), err)
		}
		made.Users, made.Standing = v, p.revocations
	}
	b, err := auth.New(made)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", config.Name("token"), err)
	}
	return b, nil
}

// authenticate is the API's: whoever the gateway before it has named, or whoever brings a token.
func (p *process) authenticate() (api.Authenticate, error) {
	a, err := p.authenticator()
	if err != nil {
		return nil, err
	}
	return func(r *http.Request) (context.Context, error) {
		if principal.FromContext(r.Context()).Kind != principal.Anonymous {
			return r.Context(), nil
		}
		caller, err := a.Authenticate(r.Context(), r)
		return gateway.WithCaller(r.Context(), caller), err
	}, nil
}
