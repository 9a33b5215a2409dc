package integration_test

import (
	"encoding/binary"
	"errors"
	"fmt"
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

// A transaction that is open in a partition and decided, or unknown, where it is coordinated never times out (KIP-664). A broker
// that is stopped in the middle of a commit leaves it behind; here one is made by switching off what brokers check. It
// ends as its coordinator decided, and aborted where it never did. What has another prefix is not touched.
func TestHangingTransactions(t *testing.T) {
	unchecked := containers.Env("KAFKA_TRANSACTION_PARTITION_VERIFICATION_ENABLE", "false")
	opts := []kgo.Opt{kgo.SeedBrokers(containers.Kafka(t, unchecked).Brokers...), kgo.MaxVersions(kversion.V3_8_0())} // before KIP-890: epochs stay
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	stable := func(topic string) int64 {
		r, err := adm.ListCommittedOffsets(t.Context(), topic)
		if err != nil {
			t.Fatal(err)
		}
		o, _ := r.Lookup(topic, 0)
		return o.Offset
	}
	for _, c := range []struct {
		topic, id string
		before    bool // whether a transaction of the partition was committed before: so the log has a decision
		want      int  // records to be read afterwards
		ended     bool
	}{
		{"unknown", "mine-1", false, 0, true},
		{"committed", "mine-2", true, 2, true},
		{"foreign", "yours-1", false, 0, false},
	} {
		t.Run(c.topic, func(t *testing.T) {
			if r, err := adm.CreateTopic(t.Context(), 1, 1, nil, c.topic); err != nil || r.Err != nil {
				t.Fatal(err, r.Err)
			}
			var id int64
			var epoch int16
			if c.before {
				id, epoch = commit(t, opts, c.id, c.topic)
				harness.Eventually(t, harness.Patience, "its marker is there", func() error {
					if at := stable(c.topic); at != 2 {
						return fmt.Errorf("stable up to %d", at)
					}
					return nil
				})
			} else {
				id, epoch = initialise(t, cl, c.id)
			}
			sequence := int32(0)
			if c.before {
				sequence = 1
			}
			produce(t, cl, c.id, c.topic, batchOf(id, epoch, sequence))
			at := stable(c.topic)
			if _, next := initialise(t, cl, c.id); next <= epoch {
				t.Fatalf("the coordinator has gone from epoch %d to %d", epoch, next)
			}
			if stable(c.topic) != at {
				t.Fatal("nothing hangs")
			}
			h := partlog.Hanging{Admin: cl, Kafka: opts, Prefix: "mine-", Log: slog.New(slog.DiscardHandler)}
			if err := h.Unblock(t.Context(), c.topic, 0); err != nil {
				t.Fatal(err)
			}
			if now := stable(c.topic); now > at != c.ended {
				t.Errorf("before, the log was stable up to %d; afterwards up to %d", at, now)
			}
			read := 0
			span := partlog.Span{Topic: c.topic, To: stable(c.topic)}
			if err := partlog.Read(t.Context(), opts, span, nil, nil, func(*kgo.Record) error { read++; return nil }); err != nil || read != c.want {
				t.Errorf("%d records are read, want %d (%v)", read, c.want, err)
			}
		})
	}
}

// initialise takes a transactional ID over: the coordinator goes on to the next epoch.
func initialise(t *testing.T, cl *kgo.Client, id string) (producer int64, epoch int16) {
	t.Helper()
	harness.Eventually(t, harness.Patience, "the coordinator initialises "+id, func() error {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.TransactionalID, req.TransactionTimeoutMillis = kmsg.StringPtr(id), 60_000
		resp, err := req.RequestWith(t.Context(), cl)
		if err != nil {
			return err
		}
		producer, epoch = resp.ProducerID, resp.ProducerEpoch
		return kerr.ErrorForCode(resp.ErrorCode)
	})
	return producer, epoch
}

// commit commits a transaction of one record, as clients do.
func commit(t *testing.T, opts []kgo.Opt, id, topic string) (producer int64, epoch int16) {
	t.Helper()
	cl, err := kgo.NewClient(append(opts[:len(opts):len(opts)], kgo.TransactionalID(id), kgo.DefaultProduceTopic(topic))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := cl.ProduceSync(t.Context(), kgo.StringRecord("{}")).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := cl.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	producer, epoch, err = cl.ProducerID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return producer, epoch
}

// produce writes a batch without telling the coordinator.
func produce(t *testing.T, cl *kgo.Client, id, topic string, batch []byte) {
	t.Helper()
	harness.Eventually(t, harness.Patience, "the broker takes a batch", func() error {
		part := kmsg.NewProduceRequestTopicPartition()
		part.Records = batch
		req := kmsg.NewPtrProduceRequest()
		req.TransactionID, req.Acks, req.TimeoutMillis = kmsg.StringPtr(id), -1, 10_000
		req.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: []kmsg.ProduceRequestTopicPartition{part}}}
		resp, err := req.RequestWith(t.Context(), cl)
		switch {
		case err != nil:
			return err
		case len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1:
			return errors.New("no answer for the partition")
		}
		return kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode)
	})
}

// batchOf is a transactional batch of one record.
func batchOf(id int64, epoch int16, sequence int32) []byte {
	rec := kmsg.Record{Key: []byte("o-1"), Value: []byte("{}")}
	rec.Length = int32(len(rec.AppendTo(nil))) - 1 // the length itself is one byte while it is small
	now := time.Now().UnixMilli()
	b := kmsg.RecordBatch{PartitionLeaderEpoch: -1, Magic: 2, Attributes: 1 << 4, FirstTimestamp: now, MaxTimestamp: now,
		ProducerID: id, ProducerEpoch: epoch, FirstSequence: sequence, NumRecords: 1, Records: rec.AppendTo(nil)}
	raw := b.AppendTo(nil)
	const upToLength, upToCRC = 12, 21
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)-upToLength))
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[upToCRC:], crc32.MakeTable(crc32.Castagnoli)))
	return raw
}
