package topology

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/cqrsflow/cqrsflow/event"
)

// RecordKey is the key under which an aggregate type's partition count and topic IDs are recorded, as
// JSON, in partition 0 of its snapshots topic. No stream can have it: a stream ID has no "!". Readers of
// snapshots skip it.
const RecordKey = "!topology"

// recordFormat is the version of the JSON; a reader refuses later ones.
const recordFormat = 1

// recorded is the value under RecordKey.
type recorded struct {
	Format     int    `json:"format"`
	Aggregate  string `json:"aggregate"`
	Partitions int32  `json:"partitions"`
	// Topics maps topic names to their IDs, as Kafka's own tools write them.
	Topics map[string]string `json:"topics"`
	// AcceptedLosses counts how often an operator has accepted the loss of a topic.
	AcceptedLosses int `json:"acceptedLosses,omitempty"`
}

// record is what is to be recorded of the topics as they are.
func (o *observed) record(aggregate string, topics Topics) *recorded {
	r := &recorded{Format: recordFormat, Aggregate: aggregate, Partitions: o.topics[topics.Events].partitions, Topics: map[string]string{}}
	for _, name := range topics.All() {
		r.Topics[name] = idText(o.topics[name].id)
	}
	return r
}

// covers reports whether all of the topics were recorded: an earlier cqrsflow knew fewer of them.
func (r *recorded) covers(topics Topics) bool {
	for _, name := range topics.All() {
		if _, ok := r.Topics[name]; !ok {
			return false
		}
	}
	return true
}

// unrecorded says what of the topics was never recorded; empty where all of it was.
func (o *observed) unrecorded(aggregate string, topics Topics) string {
	switch r := o.recorded[aggregate]; {
	case r == nil:
		return fmt.Sprintf("the partition count of %s has never been recorded; run `cqrsflow topology apply`", aggregate)
	case !r.covers(topics):
		return fmt.Sprintf("topics of %s that are new in this version have never been recorded; run `cqrsflow topology apply`", aggregate)
	}
	return ""
}

// agrees reports whether the topics are those that were recorded.
func (o *observed) agrees(r *recorded) bool {
	for name, id := range r.Topics {
		if found, ok := o.topics[name]; !ok || found.partitions != r.Partitions || idText(found.id) != id {
			return false
		}
	}
	return true
}

func parseRecorded(value []byte) (*recorded, error) {
	if value == nil {
		return nil, nil // deleted by hand: never recorded
	}
	var r recorded
	if err := json.Unmarshal(value, &r); err != nil {
		return nil, fmt.Errorf("%w: it is not JSON: %w", event.ErrCorrupt, err)
	}
	switch {
	case r.Format > recordFormat:
		return nil, fmt.Errorf("%w: it has format %d, which a later cqrsflow wrote; this one knows %d", event.ErrConfig, r.Format, recordFormat)
	case r.Format < 1 || r.Partitions < 1 || len(r.Topics) == 0:
		return nil, fmt.Errorf("%w: it lacks its format, partitions or topics", event.ErrCorrupt)
	}
	return &r, nil
}

// stallTimeout ends a scan that gets nothing more.
const stallTimeout = 30 * time.Second

// read finds what was recorded of each aggregate type. The record is usually the first one of its
// partition, and the partition can be long, so reading stops at the first record that agrees with the
// topics as they are, all of them: topic IDs never return, so no later record can contradict it. Only where none
// agrees is the partition read to its end, and the last one counts.
func (t *Topology) read(ctx context.Context, o *observed) error {
	scans := map[string]*scan{}
	for _, a := range t.aggregates {
		name := TopicsOf(t.cfg.Prefix, a).Snapshots
		if _, ok := o.topics[name]; ok {
			scans[name] = &scan{aggregate: a}
		}
	}
	if err := t.bounds(ctx, scans); err != nil {
		return err
	}
	from := map[string]map[int32]kgo.Offset{}
	for name, s := range scans {
		if s.next < s.end {
			from[name] = map[int32]kgo.Offset{0: kgo.NewOffset().At(s.next)}
		}
	}
	if len(from) > 0 {
		if err := t.scan(ctx, o, from, scans); err != nil {
			return err
		}
	}
	for name, s := range scans {
		r, err := parseRecorded(s.value)
		if err != nil {
			return fmt.Errorf("the record %s in %s: %w", RecordKey, name, err)
		}
		o.recorded[s.aggregate] = r
	}
	return nil
}

type scan struct {
	aggregate string
	next, end int64
	value     []byte
}

// scan reads partition 0 of the topics. It reads uncommitted, as an open transaction must not hold up a
// start, and looks at records outside transactions only: those cannot be aborted.
func (t *Topology) scan(ctx context.Context, o *observed, from map[string]map[int32]kgo.Offset, scans map[string]*scan) error {
	client, err := t.second(
		kgo.ConsumePartitions(from),
		kgo.FetchIsolationLevel(kgo.ReadUncommitted()),
		kgo.KeepControlRecords(), // the last record of a partition is often a transaction's marker
		kgo.FetchMinBytes(1),
	)
	if err != nil {
		return err
	}
	defer client.Close()
	open := len(from)
	for open > 0 {
		short, cancel := context.WithTimeout(ctx, stallTimeout)
		fetches := client.PollFetches(short)
		cancel()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		var failed error
		fetches.EachError(func(topic string, _ int32, err error) {
			failed = fmt.Errorf("topic %s: %w", topic, err)
		})
		if failed != nil {
			return failed
		}
		fetches.EachRecord(func(r *kgo.Record) {
			s := scans[r.Topic]
			if s.next >= s.end {
				return // done with this partition, or behind its end as of the start
			}
			s.next = r.Offset + 1
			if string(r.Key) == RecordKey && !r.Attrs.IsTransactional() && !r.Attrs.IsControl() {
				s.value = r.Value
				if found, err := parseRecorded(r.Value); err == nil && found != nil && found.covers(TopicsOf(t.cfg.Prefix, s.aggregate)) && o.agrees(found) {
					s.next = s.end
				}
			}
			if s.next >= s.end {
				open--
				client.PauseFetchPartitions(map[string][]int32{r.Topic: {0}})
			}
		})
	}
	return nil
}

// bounds asks where partition 0 of each topic starts and ends.
func (t *Topology) bounds(ctx context.Context, scans map[string]*scan) error {
	const latest, earliest = -1, -2
	for _, at := range []int64{earliest, latest} {
		req := kmsg.NewPtrListOffsetsRequest()
		for name := range scans {
			p := kmsg.NewListOffsetsRequestTopicPartition()
			p.Timestamp = at
			topic := kmsg.NewListOffsetsRequestTopic()
			topic.Topic = name
			topic.Partitions = append(topic.Partitions, p)
			req.Topics = append(req.Topics, topic)
		}
		if len(req.Topics) == 0 {
			return nil
		}
		resp, err := req.RequestWith(ctx, t.client)
		if err != nil {
			return err
		}
		for _, topic := range resp.Topics {
			for _, p := range topic.Partitions {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return fmt.Errorf("topic %s: %w", topic.Topic, err)
				}
				if at == latest {
					scans[topic.Topic].end = p.Offset
				} else {
					scans[topic.Topic].next = p.Offset
				}
			}
		}
	}
	return nil
}

// write records r in partition 0 of the snapshots topic, durably.
func (t *Topology) write(ctx context.Context, topic string, r *recorded) error {
	value, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	client, err := t.second(kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.RecordDeliveryTimeout(stallTimeout))
	if err != nil {
		return err
	}
	defer client.Close()
	rec := &kgo.Record{Topic: topic, Partition: 0, Key: []byte(RecordKey), Value: value,
		Headers: []kgo.RecordHeader{{Key: "content-type", Value: []byte("application/json")}}}
	if err := client.ProduceSync(ctx, rec).FirstErr(); err != nil {
		return t.wrap("write the record "+RecordKey, err)
	}
	return nil
}

// second makes a client that connects as the caller's does.
func (t *Topology) second(opts ...kgo.Opt) (*kgo.Client, error) {
	client, err := kgo.NewClient(append(append([]kgo.Opt{}, t.client.Opts()...), opts...)...)
	if err != nil {
		return nil, errors.Join(event.ErrConfig, err)
	}
	return client, nil
}
