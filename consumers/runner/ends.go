package runner

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/topology"
)

// End is where the log of a partition, whose TopicID is not set, begins and ends: the first offset, and
// the one after the last that a reader of committed records sees.
type End struct {
	Partition  Partition
	Start, End int64
}

// Ends asks Kafka for the ends of all partitions that a projection reads, which need not run here: Prefix,
// Aggregates and Sources say which. Its error wraps event.ErrUnavailable.
func (c Config) Ends(ctx context.Context, adm *kadm.Client) ([]End, error) {
	c = c.withDefaults()
	var out []End
	for name := range c.Aggregates {
		for _, source := range c.Sources {
			p := Partition{Aggregate: name, Source: source, Topic: topology.TopicsOf(c.Prefix, name).Events}
			if source == Outcomes {
				p.Topic = topology.TopicsOf(c.Prefix, name).Outcomes
			}
			ends, err := endsOf(ctx, adm, p)
			if err != nil {
				return nil, err
			}
			out = append(out, ends...)
		}
	}
	return out, nil
}

func endsOf(ctx context.Context, adm *kadm.Client, p Partition) ([]End, error) {
	starts, err := adm.ListStartOffsets(ctx, p.Topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, unavailable("ask Kafka for the start of "+p.Topic, err)
	}
	ends, err := kafka{adm}.ends(ctx, true, p.Topic)
	if err != nil {
		return nil, err
	}
	var out []End
	for number, end := range ends[p.Topic] {
		start, ok := starts.Lookup(p.Topic, number)
		if !ok {
			return nil, fmt.Errorf("%w: Kafka does not know the start of %s/%d", event.ErrUnavailable, p.Topic, number)
		}
		p.Number = number
		out = append(out, End{Partition: p, Start: start.Offset, End: end.Offset})
	}
	return out, nil
}
