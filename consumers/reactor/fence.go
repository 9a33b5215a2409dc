package reactor

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/cqrsflow/cqrsflow/event"
)

// fence makes the transaction in hand one that only a member of the group's present generation can commit, and a
// later owner of the partition wait for its end: it commits the partition's offset as it is. The session does the same
// for what has been polled, but parked events are not polled.
func (t *transactor) fence(ctx context.Context, st *stand) error {
	// The transaction in hand is finished, whatever ends meanwhile; after this long the broker ends it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), transactionTimeout)
	defer cancel()
	cl := t.s.Client()
	fail := func(err error) error {
		category := event.ErrUnavailable
		if kerr.IsRetriable(err) || errors.Is(err, kerr.IllegalGeneration) || errors.Is(err, kerr.UnknownMemberID) || errors.Is(err, kerr.RebalanceInProgress) {
			category = event.ErrFenced // the client joins again by itself
		}
		return fmt.Errorf("%w: commit the offset of %s/%d again: %w", category, st.topic, st.partition, err)
	}
	at, ok := cl.CommittedOffsets()[st.topic][st.partition]
	if !ok {
		return fmt.Errorf("%w: %s/%d is not assigned any more", event.ErrFenced, st.topic, st.partition)
	}
	topics, err := kadm.NewClient(t.admin).ListTopics(ctx, st.topic)
	if err != nil {
		return fail(err)
	}
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.Group = t.r.transactionalID(), t.r.group
	if req.ProducerID, req.ProducerEpoch, err = cl.ProducerID(ctx); err != nil {
		return fail(err)
	}
	req.MemberID, req.Generation = cl.GroupMetadata()
	part := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	part.Partition, part.Offset, part.LeaderEpoch = st.partition, at.Offset, at.Epoch
	if m := t.r.accepted.Of(st.aggregate, st.partition).Mark(); m != "" {
		part.Metadata = &m
	}
	topic := kmsg.NewTxnOffsetCommitRequestTopic()
	topic.Topic, topic.TopicID = st.topic, topics[st.topic].ID
	topic.Partitions = append(topic.Partitions, part)
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return fail(err)
	}
	for _, rt := range resp.Topics {
		for _, rp := range rt.Partitions {
			if err := kerr.ErrorForCode(rp.ErrorCode); err != nil {
				return fail(err)
			}
		}
	}
	return nil
}
