package app

import (
	"context"

	"github.com/cqrsflow/cqrsflow/consumers/reactor"
	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/event/principal"
	"github.com/cqrsflow/cqrsflow/internal/config"
	"github.com/cqrsflow/cqrsflow/producer"
	"github.com/cqrsflow/cqrsflow/services/policy"
)

// CommandLine is the service that publishes from the command line: "service:cli".
const CommandLine = "cli"

// readModels are those that show no one aggregate.
var readModels = []string{"daily_sales"}

// Vocabulary is what policies about those aggregates, and our read models, can speak of.
func Vocabulary(types []*decider.Type) (*policy.Vocabulary, error) {
	return policy.NewVocabulary(types, readModels...)
}

// readPolicies reads the policies, before anything has begun: with a mistake in them nothing is to start.
func (p *process) readPolicies() (err error) {
	if p.keys, err = p.cfg.Principals.Keyring(); err != nil {
		return err
	}
	c := &p.cfg.Policies
	if c.Mode != "enforce" {
		return nil
	}
	words, err := Vocabulary(p.types)
	if err != nil {
		return err
	}
	p.policies, err = policy.New(policy.Config{Vocabulary: words, Dir: c.Dir, Anonymous: c.AnonymousRoles, Every: c.Reload,
		Reloaded: p.metrics.reloaded, Logger: p.log})
	return err
}

// authorizer is who the processor asks; nil where policies are off.
func (p *process) authorizer() producer.Authorizer {
	if p.policies == nil {
		return nil
	}
	if p.keys == nil {
		p.log.Warn("policies are enforced, but no keys are set that prove who asks: every command is anonymous", "setting", config.Name("principal.keys"))
	}
	return authorizer{p.policies}
}

type authorizer struct{ engine *policy.Engine }

// Authorize translates the processor's question.
func (a authorizer) Authorize(q *producer.Asked) producer.Answer {
	d := a.engine.Command(&policy.Request{Principal: q.Principal, Command: q.Command, Stream: q.Stream, Exists: q.Exists,
		Attributes: q.Attributes, Owner: q.Owner, Backdated: q.Backdated})
	return producer.Answer{Allowed: d.Allowed, Policy: d.Policy}
}

// signReactions is what a reactor signs with; nil without keys.
func (p *process) signReactions() func(*event.Command, string, []byte) error {
	if p.keys == nil {
		return nil
	}
	return p.signer(reactor.ServiceName).Sign
}

func (p *process) signer(service string) *principal.Signer {
	if p.keys == nil {
		return nil
	}
	return &principal.Signer{Keys: p.keys, As: principal.Principal{Kind: principal.Service, ID: service}}
}

// signing publishes as a service does; the publisher, which it shares with the API, signs nothing.
type signing struct {
	publisher *producer.Publisher
	signer    *principal.Signer
}

// as signs as the service from here on.
func (p *process) as(service string) signing { return signing{p.publisher, p.signer(service)} }

// Enqueue signs and hands on.
func (s signing) Enqueue(ctx context.Context, aggregate string, c event.Command, contentType string, body []byte, done func(event.Outcome, error)) error {
	if err := s.sign(&c, contentType, body); err != nil {
		return err
	}
	return s.publisher.Enqueue(ctx, aggregate, c, contentType, body, done)
}

// Do signs and hands on.
func (s signing) Do(ctx context.Context, c event.Command, aggregate, contentType string, body []byte) (event.Outcome, error) {
	if err := s.sign(&c, contentType, body); err != nil {
		return event.Outcome{}, err
	}
	return s.publisher.Do(ctx, c, aggregate, contentType, body)
}

// sign binds the command's ID as well: one that has none yet gets it here.
func (s signing) sign(c *event.Command, contentType string, body []byte) error {
	if c.ID == "" {
		c.ID = producer.NewCommandID()
	}
	return s.signer.Sign(c, contentType, body)
}
