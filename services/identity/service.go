package identity

import (
	"context"
	"net/http"
	"sync"
	"time"

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

	background struct {
		sync.WaitGroup
		slots chan struct{}
	}
}

const (
	// backgroundTasks is how many may go on at once after their answers; a request that comes then waits for one to end.
	backgroundTasks = 256
	// backgroundTime is how long such a task may take, and how long Run waits for those under way.
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
	s := &Service{cfg: cfg, recovery: recovery, challenges: challenges{cfg.Secrets.Derive("mfa challenge")}, mails: mail.Templates{Product: cfg.Product}}
	s.auth = &Authenticator{verifier: cfg.Verifier, decide: s.do}
	s.background.slots = make(chan struct{}, backgroundTasks)
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
	s.background.Wait()
	return nil
}

// later does something after the answer, which a client that goes away does not end. It says when it fails; nobody waits for it.
func (s *Service) later(what string, do func(context.Context) error) {
	s.background.slots <- struct{}{}
	s.background.Go(func() {
		defer func() { <-s.background.slots }()
		ctx, cancel := context.WithTimeout(context.Background(), backgroundTime)
		defer cancel()
		if err := do(ctx); err != nil {
			s.cfg.Logger.Error("after an answer: "+what+" failed", "error", err)
		}
	})
}
