package topology

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/event"
)

// ErrNotApplied says that topics are missing, or not recorded yet: what 'topology apply' puts right, perhaps
// just now. It wraps event.ErrConfig.
var ErrNotApplied = fmt.Errorf("%w: the topology has not been applied", event.ErrConfig)

// Topology looks at and changes the topics of some aggregate types. It is safe for concurrent use.
type Topology struct {
	client     *kgo.Client
	cfg        Config
	aggregates []string
	err        error
}

// New makes a Topology; nothing is asked of Kafka yet. The client stays the caller's and must be a plain
// one, without group, topics to consume or transactional ID: its options are used for a short-lived
// second client too. A Config out of bounds, an unfit client and no aggregate type at all fail every call.
func New(client *kgo.Client, cfg Config, aggregates []string) *Topology {
	t := &Topology{client: client, cfg: cfg.withDefaults(), aggregates: slices.Clone(aggregates)}
	t.err = t.validate()
	return t
}

func (t *Topology) validate() error {
	if err := t.cfg.Validate(); err != nil {
		return err
	}
	if len(t.aggregates) == 0 {
		return fmt.Errorf("%w: topology: there is no aggregate type", event.ErrConfig)
	}
	for _, a := range t.aggregates {
		for _, topic := range TopicsOf(t.cfg.Prefix, a).All() {
			if len(topic) > maxTopicName {
				return fmt.Errorf("%w: topology: the topic name %q has %d characters; Kafka allows %d", event.ErrConfig, topic, len(topic), maxTopicName)
			}
		}
	}
	for _, opt := range []any{kgo.ConsumerGroup, kgo.TransactionalID} {
		if v, _ := t.client.OptValue(opt).(string); v != "" {
			return fmt.Errorf("%w: topology needs a client without group and transactional ID; this one has %q", event.ErrConfig, v)
		}
	}
	return nil
}

// Actual is what an aggregate type has on Kafka.
type Actual struct {
	Topics Topics
	// Partitions is the number of partitions that each of the topics has.
	Partitions int32
	// TopicIDs tell a topic from another one that was made later under the same name.
	TopicIDs map[string][16]byte
}

// Check is what every role calls when it starts: it returns what exists, by aggregate type, or refuses.
// What an operator has to set up or upgrade first is event.ErrConfig: topics are missing (ErrNotApplied), partition
// counts differ among the topics or from what was recorded, the brokers are too old. A topic that was
// deleted, or deleted and made again, has lost its log: event.ErrCorrupt. A Kafka that does not answer is
// event.ErrUnavailable. Settings are not looked at; Verify does.
func (t *Topology) Check(ctx context.Context) (map[string]Actual, error) {
	seen, err := t.observe(ctx, false)
	if err != nil {
		return nil, err
	}
	return seen.check(t.cfg.Prefix, t.aggregates)
}

// Recorded returns the IDs of the topics as they are recorded, by name. Its errors are Check's; a loss and
// missing topics are none.
func (t *Topology) Recorded(ctx context.Context) (map[string][16]byte, error) {
	seen, err := t.observe(ctx, false)
	if err != nil {
		return nil, err
	}
	out := map[string][16]byte{}
	for a, r := range seen.recorded {
		if r == nil {
			continue
		}
		for name, text := range r.Topics {
			id, err := base64.RawURLEncoding.DecodeString(text)
			if err != nil || len(id) != 16 {
				return nil, fmt.Errorf("%w: the record %s of %s: %q is no topic ID", event.ErrCorrupt, RecordKey, a, text)
			}
			out[name] = [16]byte(id)
		}
	}
	return out, nil
}

func (o *observed) check(prefix string, aggregates []string) (map[string]Actual, error) {
	if problem := o.transactions(); problem != "" {
		return nil, fmt.Errorf("%w: %s", event.ErrConfig, problem)
	}
	// What is missing is named for all aggregate types at once: one run of apply creates it.
	var missing []string
	out := make(map[string]Actual, len(aggregates))
	for _, a := range aggregates {
		topics := TopicsOf(prefix, a)
		if err := lossError(a, o.losses(a, topics)); err != nil {
			return nil, err
		}
		absent := o.missing(topics)
		if len(absent) > 0 {
			missing = append(missing, absent...)
			continue
		}
		n, problem := o.partitions(a, topics)
		if problem != "" {
			return nil, fmt.Errorf("%w: %s", event.ErrConfig, problem)
		}
		if problem := o.unrecorded(a, topics); problem != "" {
			return nil, fmt.Errorf("%w: %s", ErrNotApplied, problem)
		}
		actual := Actual{Topics: topics, Partitions: n, TopicIDs: map[string][16]byte{}}
		for _, name := range topics.All() {
			actual.TopicIDs[name] = o.topics[name].id
		}
		out[a] = actual
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("%w: missing topics: %s; run `cqrsflow topology apply`", ErrNotApplied, strings.Join(missing, ", "))
	}
	return out, nil
}

// partitions is the number of partitions that all topics of an aggregate type have, or what is wrong with it.
func (o *observed) partitions(aggregate string, topics Topics) (n int32, problem string) {
	n = o.topics[topics.Events].partitions
	for _, name := range topics.All() {
		if o.topics[name].partitions != n {
			counts := make([]string, 0, len(topics.All()))
			for _, name := range topics.All() {
				counts = append(counts, fmt.Sprintf("%s has %d", name, o.topics[name].partitions))
			}
			return 0, fmt.Sprintf("the topics of %s have different partition counts (%s): "+
				"a stream's records must have one partition number on all of them", aggregate, strings.Join(counts, ", "))
		}
	}
	if r := o.recorded[aggregate]; r != nil && r.Partitions != n {
		return 0, fmt.Sprintf("the topics of %s have %d partitions, but %d were recorded when they were made: streams would be looked for on the wrong partition; "+
			"growing is a migration to new topics, never in place", aggregate, n, r.Partitions)
	}
	return n, ""
}

// missing are those topics that do not exist.
func (o *observed) missing(topics Topics) []string {
	var out []string
	for _, name := range topics.All() {
		if _, ok := o.topics[name]; !ok {
			out = append(out, name)
		}
	}
	return out
}
