package partlog

import (
	"context"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Unblock ends transactions of departed owners that are still open in a partition, by initialising
// their transactional IDs, instead of waiting until they time out; and those that hang. It may only be called by the
// partition's new owner, after StableOffset: what a former owner has open then can no longer commit,
// since the group's generation has moved on. Only transactional IDs with the prefix are touched.
func (h Hanging) Unblock(ctx context.Context, topic string, partition int32) error {
	adm := kadm.NewClient(h.Admin)
	in := kadm.TopicsSet{}
	in.Add(topic, partition)
	open, err := openIn(ctx, adm, in)
	if err != nil || len(open) == 0 {
		return err
	}
	var ids []int64
	for _, p := range open {
		ids = append(ids, p.ProducerID)
	}
	known, err := adm.ListTransactions(ctx, ids, []string{"Ongoing"})
	if err != nil {
		return fmt.Errorf("list the transactions open in %s/%d: %w", topic, partition, err)
	}
	for _, txn := range known.Sorted() {
		if !strings.HasPrefix(txn.TxnID, h.Prefix) {
			continue
		}
		h.Log.Warn("ending a departed owner's open transaction", "transactionalId", txn.TxnID, "topic", topic, "partition", partition)
		req := kmsg.NewPtrInitProducerIDRequest()
		req.TransactionalID = kmsg.StringPtr(txn.TxnID)
		req.TransactionTimeoutMillis = 10_000
		resp, err := req.RequestWith(ctx, h.Admin)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		if err != nil && !kerr.IsRetriable(err) {
			return fmt.Errorf("end the transaction of %s: %w", txn.TxnID, err)
		}
	}
	return h.End(ctx, in)
}
