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
func Unblock(ctx context.Context, cl *kgo.Client, prefix, topic string, partition int32, log *slog.Logger) error {
	adm := kadm.NewClient(cl)
	set := kadm.TopicsSet{}
	set.Add(topic, partition)
	described, err := adm.DescribeProducers(ctx, set)
	if err != nil {
		return fmt.Errorf("describe the producers of %s/%d: %w", topic, partition, err)
	}
	var ids []int64
	for _, p := range described.SortedProducers() {
		if p.CurrentTxnStartOffset >= 0 {
			ids = append(ids, p.ProducerID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	open, err := adm.ListTransactions(ctx, ids, nil)
	if err != nil {
		return fmt.Errorf("list the transactions open in %s/%d: %w", topic, partition, err)
	}
	for _, txn := range open.Sorted() {
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
		if err != nil && !kerr.IsRetriable(err) {
			return fmt.Errorf("end the transaction of %s: %w", txn.TxnID, err)
		}
	}
	return nil
}
