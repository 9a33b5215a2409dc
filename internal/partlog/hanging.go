package partlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Hanging finds and ends transactions that hang: their coordinator has decided them and gone on, or never knew of them, but
// a partition still has them open, and would for ever (KIP-664). Seen with Kafka 4.3: a broker that is stopped while it
// commits takes partitions without a leader for deleted ones, and skips their markers. What reads committed records then stops
// there. Worse, the producer's next transaction joins what is open, and if that one aborts, so is what had been committed.
//
// So they get the markers that their coordinator meant them to have; its log says which. Kafka's authorizer must allow
// ClusterAction, or Alter, on the cluster, and reading of __transaction_state. Where there is no authorizer, all is allowed.
type Hanging struct {
	// Admin asks and Kafka are the options for reading. Required.
	Admin *kgo.Client
	Kafka []kgo.Opt
	// Prefix of the transactional IDs that are ours; others are left alone.
	Prefix string
	Log    *slog.Logger
}

// transactionLog has what the coordinators decided, by transactional ID.
const transactionLog = "__transaction_state"

// errUndecided: the transaction log does not tell, any more, what became of a transaction.
var errUndecided = errors.New("the transaction log does not tell whether it was committed")

// End ends what hangs in the partitions. One that is being ended, or goes on, is not touched. It is safe for concurrent use:
// a marker that is written twice changes nothing.
func (h Hanging) End(ctx context.Context, in kadm.TopicsSet) error {
	if len(in) == 0 {
		return nil
	}
	adm := kadm.NewClient(h.Admin)
	open, err := openIn(ctx, adm, in)
	if err != nil || len(open) == 0 {
		return err
	}
	var ids []int64
	for _, p := range open {
		ids = append(ids, p.ProducerID)
	}
	known, err := adm.ListTransactions(ctx, ids, nil)
	if err != nil {
		return fmt.Errorf("list open transactions: %w", err)
	}
	for _, txn := range known.Sorted() {
		if !strings.HasPrefix(txn.TxnID, h.Prefix) {
			continue
		}
		described, err := adm.DescribeTransactions(ctx, txn.TxnID)
		now := described[txn.TxnID]
		if err == nil {
			err = now.Err
		}
		if err != nil {
			return fmt.Errorf("describe the transaction of %s: %w", txn.TxnID, err)
		}
		if strings.HasPrefix(now.State, "Prepare") {
			continue // its markers are on their way
		}
		over := slices.DeleteFunc(slices.Clone(open), func(p kadm.DescribedProducer) bool {
			return p.ProducerID != now.ProducerID || p.ProducerEpoch >= now.ProducerEpoch
		})
		if len(over) == 0 {
			continue
		}
		// By now what had been seen open, and then seen decided, has its marker; unless it hangs.
		still, err := openIn(ctx, adm, in)
		if err != nil {
			return err
		}
		for _, p := range over {
			if !slices.ContainsFunc(still, func(s kadm.DescribedProducer) bool { return same(s, p) }) {
				continue
			}
			if err := h.end(ctx, adm, txn.TxnID, p); err != nil {
				return fmt.Errorf("the transaction of %s that hangs at offset %d of %s/%d: %w", txn.TxnID, p.CurrentTxnStartOffset, p.Topic, p.Partition, err)
			}
		}
	}
	return nil
}

// end writes the markers of a transaction, to all its partitions that lack them.
func (h Hanging) end(ctx context.Context, adm *kadm.Client, id string, p kadm.DescribedProducer) error {
	v, err := h.verdict(ctx, adm, id, p)
	if err != nil {
		return err
	}
	v.in.Add(p.Topic, p.Partition)
	open, err := openIn(ctx, adm, v.in)
	if err != nil {
		return err
	}
	for _, o := range open {
		if o.ProducerID != p.ProducerID || o.ProducerEpoch != p.ProducerEpoch {
			continue
		}
		h.Log.Warn("ending a transaction that hangs", "transactionalId", id, "commit", v.commit, "topic", o.Topic, "partition", o.Partition,
			"offset", o.CurrentTxnStartOffset, "producerId", o.ProducerID, "epoch", o.ProducerEpoch)
		at := kadm.TopicsSet{}
		at.Add(o.Topic, o.Partition)
		written, err := adm.WriteTxnMarkers(ctx, kadm.TxnMarkers{ProducerID: o.ProducerID, ProducerEpoch: o.ProducerEpoch, Commit: v.commit,
			CoordinatorEpoch: max(o.CoordinatorEpoch, 0), Topics: at})
		if err == nil {
			err = written[o.ProducerID].Topics[o.Topic].Partitions[o.Partition].Err
		}
		if err != nil {
			return fmt.Errorf("write its marker (commit: %t) to %s/%d: %w", v.commit, o.Topic, o.Partition, err)
		}
	}
	return nil
}

// same reports whether a and b are the same transaction in the same partition.
func same(a, b kadm.DescribedProducer) bool {
	return a.Topic == b.Topic && a.Partition == b.Partition && a.ProducerID == b.ProducerID && a.ProducerEpoch == b.ProducerEpoch &&
		a.CurrentTxnStartOffset == b.CurrentTxnStartOffset
}

// verdict is what a coordinator decided, and in which partitions.
type verdict struct {
	commit bool
	in     kadm.TopicsSet
}

// verdict reads the transaction log. Compaction takes the oldest records of an ID first: where the log still has one of before
// the decision, a decision that is not there was never made, and the transaction is aborted.
func (h Hanging) verdict(ctx context.Context, adm *kadm.Client, id string, p kadm.DescribedProducer) (verdict, error) {
	details, err := adm.ListTopics(ctx, transactionLog)
	if err == nil {
		err = details[transactionLog].Err
	}
	if err != nil {
		return verdict{}, fmt.Errorf("describe %s: %w", transactionLog, err)
	}
	s := Span{Topic: transactionLog, Partition: coordinating(id, len(details[transactionLog].Partitions))}
	starts, err := Starts(ctx, adm, s.Partition, transactionLog)
	if err != nil {
		return verdict{}, err
	}
	ends, err := Ends(ctx, adm, s.Partition, transactionLog)
	if err != nil {
		return verdict{}, err
	}
	s.From, s.To = starts[transactionLog], ends[transactionLog]
	var states []kmsg.TxnMetadataValue
	err = Read(ctx, h.Kafka, s, func(context.Context) (bool, error) { return true, nil }, nil, func(r *kgo.Record) error {
		var key kmsg.TxnMetadataKey
		var value kmsg.TxnMetadataValue
		if key.ReadFrom(r.Key) == nil && key.TransactionalID == id && value.ReadFrom(r.Value) == nil {
			states = append(states, value)
		}
		return nil
	})
	if err != nil {
		return verdict{}, err
	}
	return decided(states, p)
}

// decided finds the decision about the producer's transaction among the states of its ID, in their order.
func decided(states []kmsg.TxnMetadataValue, p kadm.DescribedProducer) (verdict, error) {
	whole := false
	for _, s := range states {
		if s.ProducerID != p.ProducerID {
			continue
		}
		whole = whole || s.ProducerEpoch <= p.ProducerEpoch && s.State != kmsg.TransactionStatePrepareCommit && s.State != kmsg.TransactionStatePrepareAbort
		// KIP-890: a client of its second part, and fencing, have the epoch raised with the decision.
		raised := int16(0)
		if s.ClientTransactionVersion >= 2 {
			raised = 1
		}
		commit := s.State == kmsg.TransactionStatePrepareCommit && s.ProducerEpoch == p.ProducerEpoch+raised
		abort := s.State == kmsg.TransactionStatePrepareAbort && (s.ProducerEpoch == p.ProducerEpoch+raised || s.ProducerEpoch == p.ProducerEpoch+1)
		if !commit && !abort {
			continue
		}
		in := kadm.TopicsSet{}
		for _, t := range s.Topics {
			in.Add(t.Topic, t.Partitions...)
		}
		if in.Lookup(p.Topic, p.Partition) {
			return verdict{commit, in}, nil
		}
	}
	if !whole {
		return verdict{}, fmt.Errorf("%w; an administrator can end it with kafka-transactions.sh", errUndecided)
	}
	return verdict{in: kadm.TopicsSet{}}, nil
}

// openIn are the producers that have a transaction open in the partitions.
func openIn(ctx context.Context, adm *kadm.Client, in kadm.TopicsSet) ([]kadm.DescribedProducer, error) {
	described, err := adm.DescribeProducers(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("describe producers: %w", err)
	}
	for _, t := range described {
		for _, p := range t.Partitions {
			if p.Err != nil && !errors.Is(p.Err, kerr.UnknownTopicOrPartition) {
				return nil, fmt.Errorf("describe the producers of %s/%d: %w", p.Topic, p.Partition, p.Err)
			}
		}
	}
	return slices.DeleteFunc(described.SortedProducers(), func(p kadm.DescribedProducer) bool { return p.CurrentTxnStartOffset < 0 }), nil
}

// OffsetsOf is the partition of __consumer_offsets that has a group's offsets; none where the topic is not there yet.
func OffsetsOf(ctx context.Context, adm *kadm.Client, group string) (kadm.TopicsSet, error) {
	const offsets = "__consumer_offsets"
	details, err := adm.ListTopics(ctx, offsets)
	if err == nil {
		err = details[offsets].Err
	}
	in := kadm.TopicsSet{}
	switch {
	case errors.Is(err, kerr.UnknownTopicOrPartition):
	case err != nil:
		return nil, fmt.Errorf("describe %s: %w", offsets, err)
	default:
		in.Add(offsets, coordinating(group, len(details[offsets].Partitions)))
	}
	return in, nil
}

// coordinating is the partition of an internal topic that has a group or a transactional ID: Java's String.hashCode, without
// its sign, modulo the number of partitions (org.apache.kafka.common.utils.Utils.abs).
func coordinating(name string, partitions int) int32 {
	var hash int32
	for _, unit := range utf16.Encode([]rune(name)) {
		hash = 31*hash + int32(unit)
	}
	if partitions < 1 || hash == -1<<31 {
		return 0
	}
	return max(hash, -hash) % int32(partitions)
}
