package runner

import (
	"context"
	"errors"

	"github.com/cqrsflow/cqrsflow/event"
)

// End is where the log of a partition begins and ends: the first offset, and the one after the last that
// a reader of committed records sees.
type End struct {
	Partition  Partition
	Start, End int64
}

// Ends asks Kafka for the ends of all partitions that the projection reads, its own and others'. It works
// while Run runs. Its error wraps event.ErrUnavailable.
func (r *Runner) Ends(ctx context.Context) ([]End, error) {
	select {
	case <-r.set:
	case <-ctx.Done():
		return nil, unavailable("ask Kafka for the ends of the topics", context.Cause(ctx))
	}
	topics, err := r.kafka.adm.ListTopics(ctx, r.topics...)
	if err == nil {
		err = topics.Error()
	}
	if err != nil {
		return nil, unavailable("ask Kafka for the topics", err)
	}
	starts, err := r.kafka.adm.ListStartOffsets(ctx, r.topics...)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return nil, unavailable("ask Kafka for the starts of the topics", err)
	}
	ends, err := r.kafka.ends(ctx, true, r.topics...)
	if err != nil {
		return nil, err
	}
	var out []End
	for topic, partitions := range ends {
		for number, end := range partitions {
			start, ok := starts.Lookup(topic, number)
			if !ok {
				return nil, errors.Join(event.ErrUnavailable, errors.New("Kafka does not know the start of "+topic))
			}
			p := r.origin[topic]
			p.Number, p.TopicID = number, topics[topic].ID
			out = append(out, End{Partition: p, Start: start.Offset, End: end.Offset})
		}
	}
	return out, nil
}
