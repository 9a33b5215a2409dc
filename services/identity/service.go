package identity

import (
	"context"
	"net/http"
	"time"

	"github.com/cqrsflow/cqrsflow/services/httpserver"
	"github.com/cqrsflow/cqrsflow/services/identity/mail"
	"github.com/cqrsflow/cqrsflow/services/identity/totp"
)

// Paths are the prefixes and paths that the Service serves.
var Paths = []string{"/v1/auth/", "/v1/me", "/v1/users", "/v1/users/", "/.well-known/jwks.json"}

// Service is the http.Handler of users. It is safe for concurrent use. Keep Run going: it waits for what goes on after an answer.
type Service struct {
	cfg        Config
	auth       *Authenticator
	recovery   *totp.Recovery
	challenges challenges
	mails      mail.Templates
	handler    http.Handler
	routes     []route
	proxies    httpserver.Proxies

	// slots has one for each task that goes on after an answer.
	slots chan struct{}
}

const (
	// backgroundTasks is how many may go on at once after their answers; a request that comes then waits for one to end.
	backgroundTasks = 256
	// backgroundTime is how long such a task may take, and so how long Run waits for those under way.
	backgroundTime = 40 * time.Second
)

// New makes a Service. Its error wraps event.ErrConfig.
func New(cfg Config) (*Service, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	recovery, err := cfg.recovery()
	if err != nil {
		return nil, err
	}
	s := &Service{cfg: cfg, recovery: recovery, challenges: challenges{cfg.Secrets.Derive("mfa challenge")}, mails: mail.Templates{Product: cfg.Product},
		proxies: httpserver.Proxies{Trusted: cfg.TrustedProxies, By: cfg.ForwardedBy}}
	s.auth = &Authenticator{verifier: cfg.Verifier, decide: s.do}
	s.slots = make(chan struct{}, backgroundTasks)
	s.routes = s.table()
	s.handler = s.serve()
	return s, nil
}

// Authenticator is what tells who asks.
func (s *Service) Authenticator() *Authenticator { return s.auth }

// Run blocks until the context ends, and then until what goes on after answers has ended: mails, mostly.
func (s *Service) Run(ctx context.Context) error {
	s.makeDecoys(ctx)
	<-ctx.Done()
	for range cap(s.slots) { // whoever has all of them knows that nobody else has one
		s.slots <- struct{}{}
	}
	for range cap(s.slots) {
		<-s.slots
	}
	return nil
}

// later does something after the answer, which a client that goes away does not end. It says when it fails; nobody waits for it.
func (s *Service) later(what string, do func(context.Context) error) {
	s.slots <- struct{}{}
	go func() {
		defer func() { <-s.slots }()
		ctx, cancel := context.WithTimeout(context.Background(), backgroundTime)
		defer cancel()
		if err := do(ctx); err != nil {
			s.cfg.Logger.Error("after an answer: "+what+" failed", "error", err)
		}
	}()
}
