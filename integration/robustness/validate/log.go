// Package validate checks what is on the topics and in the read models, by what the contracts say and without the
// code that is tested: a bare Kafka client, SQL, HTTP, and the generated types of the wire.
package validate

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/integration/harness"
)

// Aggregates are the aggregate types whose topics are read.
var Aggregates = []string{"order", "customer"}

// Record is a record with its headers by name.
type Record struct {
	Aggregate     string
	Partition     int32
	Offset        int64
	Key           string
	Headers       map[string]string
	Value         []byte
	Transactional bool
}

func (r *Record) String() string {
	return fmt.Sprintf("%s/%d@%d %s", r.Aggregate, r.Partition, r.Offset, r.Key)
}

// number is a header that must be a number.
func (r *Record) number(header string) (int64, error) {
	n, err := strconv.ParseInt(r.Headers[header], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: header %s is %q", r, header, r.Headers[header])
	}
	return n, nil
}

// Log is what is committed on the topics, each partition in order of offsets.
type Log struct {
	Commands []Record
	Events   []Record
	Outcomes []Record
	// partitions is how many each topic has.
	partitions int32
}

// Ends sums the end offsets of topics such as "order.events": a measure of progress that costs little.
func Ends(ctx context.Context, admin *kadm.Client, g harness.Target, topics ...string) (sum int64, err error) {
	names := make([]string, len(topics))
	for i, topic := range topics {
		names[i] = g.Topic(topic)
	}
	listed, err := admin.ListEndOffsets(ctx, names...)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return 0, err
	}
	listed.Each(func(o kadm.ListedOffset) { sum += o.Offset })
	return sum, nil
}

// ReadLog reads all topics up to their ends as of now. Nothing may be in an open transaction.
func ReadLog(ctx context.Context, g harness.Target) (*Log, error) {
	ctx, cancel := context.WithTimeout(ctx, harness.Patience)
	defer cancel()
	l := &Log{}
	type target struct {
		aggregate string
		into      *[]Record
	}
	targets := map[string]target{}
	var topics []string
	for _, a := range Aggregates {
		for name, into := range map[string]*[]Record{"commands": &l.Commands, "events": &l.Events, "outcomes": &l.Outcomes} {
			topic := g.Topic(a + "." + name)
			targets[topic], topics = target{a, into}, append(topics, topic)
		}
	}
	cl, err := kgo.NewClient(kgo.SeedBrokers(g.Brokers), kgo.DisableClientMetrics(), kgo.ConsumeTopics(topics...),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxWait(100*time.Millisecond))
	if err != nil {
		return nil, err
	}
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListEndOffsets(ctx, topics...)
	if err == nil {
		err = ends.Error()
	}
	if err != nil {
		return nil, err
	}
	left := map[string]map[int32]bool{}
	ends.Each(func(o kadm.ListedOffset) {
		l.partitions = max(l.partitions, o.Partition+1)
		if o.Offset > 0 {
			if left[o.Topic] == nil {
				left[o.Topic] = map[int32]bool{}
			}
			left[o.Topic][o.Partition] = true
		}
	})
	for len(left) > 0 {
		fetches := cl.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("read the log, partitions left: %v: %w", left, err)
		}
		if err := fetches.Err(); err != nil {
			return nil, err
		}
		fetches.EachRecord(func(r *kgo.Record) {
			end, _ := ends.Lookup(r.Topic, r.Partition)
			if r.Offset < end.Offset && !r.Attrs.IsControl() {
				to := targets[r.Topic]
				*to.into = append(*to.into, record(to.aggregate, r))
			}
			if r.Offset >= end.Offset-1 { // a marker, on the topics of transactions
				delete(left[r.Topic], r.Partition)
				if len(left[r.Topic]) == 0 {
					delete(left, r.Topic)
				}
			}
		})
	}
	return l, nil
}

func record(aggregate string, r *kgo.Record) Record {
	out := Record{Aggregate: aggregate, Partition: r.Partition, Offset: r.Offset, Key: string(r.Key), Value: r.Value,
		Headers: make(map[string]string, len(r.Headers)), Transactional: r.Attrs.IsTransactional()}
	for _, h := range r.Headers {
		out.Headers[h.Key] = string(h.Value)
	}
	return out
}
