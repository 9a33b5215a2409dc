package producer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/schemas/record"
)

// Run reads the outcomes topics, from their ends as of its start, until the context ends. Then commands
// still waiting are given event.ErrOutcomeUnknown, and the connections are closed. Run it once.
func (p *Publisher) Run(ctx context.Context) error {
	defer p.wait.all(fmt.Errorf("%w: shutting down", event.ErrOutcomeUnknown)) // last: nothing is sent any more
	defer p.cl.Close()
	from, byTopic, err := p.outcomeEnds(ctx)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return err
	}
	cl, err := kgo.NewClient(append(p.cfg.Kafka[:len(p.cfg.Kafka):len(p.cfg.Kafka)],
		kgo.ConsumePartitions(from),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(5*time.Second),
	)...)
	if err != nil {
		return fmt.Errorf("%w: publisher: %w", event.ErrConfig, err)
	}
	defer cl.Close()
	close(p.ready)
	var names record.Names
	for {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		fetches.EachError(func(topic string, n int32, err error) {
			p.cfg.Logger.Warn("reading outcomes", "topic", topic, "partition", n, "err", err)
		})
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			aggregate := byTopic[r.Topic]
			o, err := record.ParseOutcome(r, aggregate, &names)
			if err != nil {
				if !errors.Is(err, event.ErrForeign) {
					p.cfg.Logger.Error("reading outcomes", "err", err)
				}
				continue
			}
			p.wait.arrived(o)
		}
	}
}

// outcomeEnds waits until the brokers answer.
func (p *Publisher) outcomeEnds(ctx context.Context) (map[string]map[int32]kgo.Offset, map[string]string, error) {
	byTopic := map[string]string{}
	var topics []string
	for a, t := range p.types {
		byTopic[t.topics.Outcomes] = a
		topics = append(topics, t.topics.Outcomes)
	}
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		listed, err := kadm.NewClient(p.cl).ListEndOffsets(ctx, topics...)
		if err == nil {
			err = listed.Error()
		}
		if err == nil {
			from := map[string]map[int32]kgo.Offset{}
			listed.Each(func(o kadm.ListedOffset) {
				if from[o.Topic] == nil {
					from[o.Topic] = map[int32]kgo.Offset{}
				}
				from[o.Topic][o.Partition] = kgo.NewOffset().At(o.Offset)
			})
			return from, byTopic, nil
		}
		p.cfg.Logger.Warn("publisher: the ends of the outcomes topics; trying again", "err", err)
		select {
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}
