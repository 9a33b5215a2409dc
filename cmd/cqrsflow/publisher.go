package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/app"
	"github.com/cqrsflow/cqrsflow/internal/config"
	"github.com/cqrsflow/cqrsflow/producer"
)

// withPublisher connects a publisher, runs f with it, and closes it. f's context also ends when outcomes
// can no longer be read, with the reason as its cause.
func withPublisher(ctx context.Context, s *config.Settings, aggregates []string, f func(context.Context, *producer.Publisher) error) error {
	opts, err := s.Kafka.Options()
	if err != nil {
		return err
	}
	signer, err := s.Principals.Signer(app.CommandLine)
	if err != nil {
		return err
	}
	p, err := producer.NewPublisher(ctx, producer.PublisherConfig{Kafka: opts, Prefix: s.General.Prefix, Aggregates: aggregates, Sign: signer.Sign})
	if err != nil {
		return fromKafka(err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	reading, stop := context.WithCancel(context.WithoutCancel(ctx)) // it goes on until f has all its outcomes
	var running sync.WaitGroup
	running.Go(func() {
		if err := p.Run(reading); err != nil && reading.Err() == nil {
			cancel(fmt.Errorf("read outcomes: %w", err))
		}
	})
	defer running.Wait()
	defer stop()
	defer cancel(nil)
	err = f(ctx, p)
	if cause := context.Cause(ctx); err != nil && cause != nil && ctx.Err() != nil {
		return fmt.Errorf("%w (%w)", err, cause)
	}
	return err
}

// fromKafka adds to an error of the brokers which setting says where they are.
func fromKafka(err error) error {
	if errors.Is(err, event.ErrUnavailable) {
		return fmt.Errorf("%w; where the brokers are says the setting %s", err, config.Name("kafka.brokers"))
	}
	return err
}
