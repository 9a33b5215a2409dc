package runner

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/cqrsflow/cqrsflow/event"
)

// kafka asks the brokers about topics.
type kafka struct{ adm *kadm.Client }

func unavailable(what string, err error) error {
	return fmt.Errorf("%w: %s: %w", event.ErrUnavailable, what, err)
}

// topicID returns the ID of the partition's topic.
func (k kafka) topicID(ctx context.Context, p Partition) ([16]byte, error) {
	topics, err := k.adm.ListTopics(ctx, p.Topic)
	if err == nil {
		err = topics.Error()
	}
	if err != nil {
		return [16]byte{}, unavailable("ask Kafka for the ID of "+p.Topic, err)
	}
	return topics[p.Topic].ID, nil
}

// bounds returns the first offset and the one after the last of a partition.
func (k kafka) bounds(ctx context.Context, p Partition) (start, end int64, err error) {
	starts, err := k.adm.ListStartOffsets(ctx, p.Topic)
	if err == nil {
		err = starts.Error()
	}
	if err != nil {
		return 0, 0, unavailable("ask Kafka for the start of "+p.Topic, err)
	}
	ends, err := k.adm.ListEndOffsets(ctx, p.Topic)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return 0, 0, unavailable("ask Kafka for the end of "+p.Topic, err)
	}
	s, ok := starts.Lookup(p.Topic, p.Number)
	e, ok2 := ends.Lookup(p.Topic, p.Number)
	if !ok || !ok2 {
		return 0, 0, unavailable("ask Kafka for the bounds of "+p.Topic, fmt.Errorf("it does not know partition %d", p.Number))
	}
	return s.Offset, e.Offset, nil
}

// ends returns the offsets after the last record of all partitions of the topics; with committed, after
// the last one that is visible to a reader of committed records.
func (k kafka) ends(ctx context.Context, committed bool, topics ...string) (kadm.ListedOffsets, error) {
	list := k.adm.ListEndOffsets
	if committed {
		list = k.adm.ListCommittedOffsets
	}
	ends, err := list(ctx, topics...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, unavailable("ask Kafka for the ends of the topics", err)
	}
	return ends, nil
}
