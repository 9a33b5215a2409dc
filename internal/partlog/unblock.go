package partlog

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Unblock ends transactions of departed owners that are still open in a partition, by initialising
// their transactional IDs, instead of waiting until they time out. It may only be called by the
// partition's new owner, after StableOffset: what a former owner has open then can no longer commit,
// since the group's generation has moved on. Only transactional IDs with the prefix are touched.
//
// A transaction that is open in the partition, but which its coordinator has no memory of, would never time out: a
// broker that was restarted in the middle of one can leave such a hanging transaction behind (KIP-664). It is aborted by a
// marker, for which Kafka's authorizer asks for ClusterAction, or Alter, on the cluster. What it held was not decided:
// had its offsets been committed all the same, the restored partition would find the outcomes missing and stop.
func Unblock(ctx context.Context, cl *kgo.Client, prefix, topic string, partition int32, log *slog.Logger) error {
	adm := kadm.NewClient(cl)
	blocking, err := openIn(ctx, adm, topic, partition)
	if err != nil || len(blocking) == 0 {
		return err
	}
	ids := make([]int64, len(blocking))
	for i, p := range blocking {
		ids[i] = p.ProducerID
	}
	known, err := adm.ListTransactions(ctx, ids, nil)
	if err != nil {
		return fmt.Errorf("list the transactions open in %s/%d: %w", topic, partition, err)
	}
	for _, txn := range known.Sorted() {
		if !strings.HasPrefix(txn.TxnID, prefix) {
			continue
		}
		log.Warn("ending a departed owner's open transaction", "transactionalId", txn.TxnID, "topic", topic, "partition", partition)
		req := kmsg.NewPtrInitProducerIDRequest()
		req.TransactionalID = kmsg.StringPtr(txn.TxnID)
		req.TransactionTimeoutMillis = 10_000
		resp, err := req.RequestWith(ctx, cl)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		switch {
		case kerr.IsRetriable(err): // it is being ended
			continue
		case err != nil:
			return fmt.Errorf("end the transaction of %s: %w", txn.TxnID, err)
		}
		if err := endHanging(ctx, adm, topic, partition, resp, log); err != nil {
			return fmt.Errorf("%w; an administrator can: kafka-transactions.sh --bootstrap-server … abort --topic %s --partition %d --start-offset …", err, topic, partition)
		}
	}
	return nil
}

// openIn are the producers that have a transaction open in a partition.
func openIn(ctx context.Context, adm *kadm.Client, topic string, partition int32) ([]kadm.DescribedProducer, error) {
	set := kadm.TopicsSet{}
	set.Add(topic, partition)
	described, err := adm.DescribeProducers(ctx, set)
	if err != nil {
		return nil, fmt.Errorf("describe the producers of %s/%d: %w", topic, partition, err)
	}
	var open []kadm.DescribedProducer
	for _, p := range described.SortedProducers() {
		if p.CurrentTxnStartOffset >= 0 {
			open = append(open, p)
		}
	}
	return open, nil
}

// endHanging aborts what is still open of a producer in a partition after its coordinator has initialised it anew: the
// coordinator does that only once everything that it knows of has its markers.
func endHanging(ctx context.Context, adm *kadm.Client, topic string, partition int32, now *kmsg.InitProducerIDResponse, log *slog.Logger) error {
	open, err := openIn(ctx, adm, topic, partition)
	if err != nil {
		return err
	}
	for _, p := range open {
		if p.ProducerID != now.ProducerID || p.ProducerEpoch >= now.ProducerEpoch {
			continue // not this one, or begun since
		}
		log.Warn("aborting a transaction that its coordinator does not know of", "topic", topic, "partition", partition,
			"producerId", p.ProducerID, "epoch", p.ProducerEpoch, "offset", p.CurrentTxnStartOffset)
		set := kadm.TopicsSet{}
		set.Add(topic, partition)
		written, err := adm.WriteTxnMarkers(ctx, kadm.TxnMarkers{ProducerID: p.ProducerID, ProducerEpoch: p.ProducerEpoch, CoordinatorEpoch: max(p.CoordinatorEpoch, 0), Topics: set})
		if err == nil {
			err = written[p.ProducerID].Topics[topic].Partitions[partition].Err
		}
		if err != nil {
			return fmt.Errorf("abort the hanging transaction at offset %d of %s/%d: %w", p.CurrentTxnStartOffset, topic, partition, err)
		}
	}
	return nil
}
