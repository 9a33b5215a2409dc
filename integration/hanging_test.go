package integration_test

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"log/slog"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/cqrsflow/cqrsflow/integration/containers"
	"github.com/cqrsflow/cqrsflow/integration/harness"
	"github.com/cqrsflow/cqrsflow/internal/partlog"
)

// A transaction that is open in a partition and unknown to its coordinator never times out (KIP-664). A broker that is
// restarted in the middle of one can leave it behind; here one is made by switching off what brokers check. The owner of
// the partition ends it, and does not touch that of another prefix.
func TestHangingTransaction(t *testing.T) {
	unchecked := containers.Env("KAFKA_TRANSACTION_PARTITION_VERIFICATION_ENABLE", "false")
	cl, err := kgo.NewClient(kgo.SeedBrokers(containers.Kafka(t, unchecked).Brokers...), kgo.MaxVersions(kversion.V3_8_0()))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	const topic = "hanging"
	if r, err := adm.CreateTopic(t.Context(), 1, 1, nil, topic); err != nil || r.Err != nil {
		t.Fatal(err, r.Err)
	}
	stable := func() int64 {
		r, err := adm.ListCommittedOffsets(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		o, _ := r.Lookup(topic, 0)
		return o.Offset
	}
	for i, id := range []string{"mine-1", "yours-1"} {
		harness.Eventually(t, harness.Patience, "a transaction that hangs", func() error { return hang(t.Context(), cl, id, topic) })
		if at := stable(); at != 2*int64(i) {
			t.Fatalf("the log is stable up to %d; nothing hangs", at)
		}
		if err := partlog.Unblock(t.Context(), cl, "mine-", topic, 0, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
		if at := stable(); at != 2 { // a record, and the marker that aborts it
			t.Errorf("%s: afterwards the log is stable up to %d, want 2", id, at)
		}
	}
}

// hang writes a record of a transaction in which the coordinator has not been told of the partition, and has the coordinator
// go on to another one.
func hang(ctx context.Context, cl *kgo.Client, id, topic string) error {
	initialise := func() (*kmsg.InitProducerIDResponse, error) {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.TransactionalID, req.TransactionTimeoutMillis = kmsg.StringPtr(id), 60_000
		resp, err := req.RequestWith(ctx, cl)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		return resp, err
	}
	producer, err := initialise()
	if err != nil {
		return err
	}
	part := kmsg.NewProduceRequestTopicPartition()
	part.Records = batchOf(producer.ProducerID, producer.ProducerEpoch)
	req := kmsg.NewPtrProduceRequest()
	req.TransactionID, req.Acks, req.TimeoutMillis = kmsg.StringPtr(id), -1, 10_000
	req.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: []kmsg.ProduceRequestTopicPartition{part}}}
	resp, err := req.RequestWith(ctx, cl)
	switch {
	case err != nil:
		return err
	case len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1:
		return errors.New("no answer for the partition")
	}
	return kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
}

// batchOf is a transactional batch of one record.
func batchOf(id int64, epoch int16) []byte {
	rec := kmsg.Record{Key: []byte("o-1"), Value: []byte("{}")}
	rec.Length = int32(len(rec.AppendTo(nil))) - 1 // the length itself is one byte while it is small
	now := time.Now().UnixMilli()
	b := kmsg.RecordBatch{PartitionLeaderEpoch: -1, Magic: 2, Attributes: 1 << 4, FirstTimestamp: now, MaxTimestamp: now,
		ProducerID: id, ProducerEpoch: epoch, NumRecords: 1, Records: rec.AppendTo(nil)}
	raw := b.AppendTo(nil)
	const upToLength, upToCRC = 12, 21
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-upToLength))
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[upToCRC:], crc32.MakeTable(crc32.Castagnoli)))
	return raw
}
