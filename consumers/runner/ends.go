package runner

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/cqrsflow/cqrsflow/event"
)

// End is where the log of a partition begins and ends: the first offset, and the one after the last that
// a reader of committed records sees.
type End struct {
	Partition  Partition
	Start, End int64
}

// Ends asks Kafka for the ends of all partitions that the projection reads, those of other members
// included. It works while Run runs. Its error wraps event.ErrUnavailable.
func (r *Runner) Ends(ctx context.Context) ([]End, error) {
	select {
	case <-r.set:
	case <-ctx.Done():
		return nil, unavailable("ask Kafka for the ends of the topics", context.Cause(ctx))
	}
	return r.cfg.Ends(ctx, r.kafka.adm)
}

// Ends is Runner.Ends of a projection that need not run here: Prefix, Aggregates and Sources say which.
func (c Config) Ends(ctx context.Context, adm *kadm.Client) ([]End, error) {
	topics, origin := c.withDefaults().topics()
	ids, err := adm.ListTopics(ctx, topics...)
	if err == nil {
		err = ids.Error()
	}
	if err != nil {
		return nil, unavailable("ask Kafka for the topics", err)
	}
	starts, err := adm.ListStartOffsets(ctx, topics...)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, unavailable("ask Kafka for the starts of the topics", err)
	}
	ends, err := kafka{adm}.ends(ctx, true, topics...)
	if err != nil {
		return nil, err
	}
	var out []End
	for topic, partitions := range ends {
		for number, end := range partitions {
			start, ok := starts.Lookup(topic, number)
			if !ok {
				return nil, fmt.Errorf("%w: Kafka does not know the start of %s/%d", event.ErrUnavailable, topic, number)
			}
			p := origin[topic]
			p.Number, p.TopicID = number, ids[topic].ID
			out = append(out, End{Partition: p, Start: start.Offset, End: end.Offset})
		}
	}
	return out, nil
}
