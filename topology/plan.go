package topology

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/cqrsflow/cqrsflow/event"
)

// Action is what a Change does.
type Action string

// The actions.
const (
	// CreateTopic makes a topic with Partitions, Replication and Settings.
	CreateTopic Action = "create_topic"
	// SetConfig changes Settings of a topic; Was has what they are now.
	SetConfig Action = "set_config"
	// RecordTopology records the partition count and topic IDs of the aggregate type.
	RecordTopology Action = "record_topology"
)

// Change is one step of a Plan.
type Change struct {
	Action    Action `json:"action"`
	Aggregate string `json:"aggregate"`
	// Topic is the topic that is made or changed; for RecordTopology the one that is written to.
	Topic       string            `json:"topic"`
	Partitions  int32             `json:"partitions,omitempty"`
	Replication int16             `json:"replication,omitempty"`
	Settings    map[string]string `json:"settings,omitempty"`
	Was         map[string]string `json:"was,omitempty"`
}

// String says for people what the change does.
func (c Change) String() string {
	var details []string
	for _, name := range sortedKeys(c.Settings) {
		d := name + "=" + c.Settings[name]
		if c.Action == SetConfig {
			d += " (now " + c.Was[name] + ")"
		}
		details = append(details, d)
	}
	switch c.Action {
	case CreateTopic:
		replicas := strconv.Itoa(int(c.Replication)) + " replicas"
		if c.Replication == BrokerDefault {
			replicas = "the brokers' default of replicas"
		}
		return fmt.Sprintf("create topic %s: %d partitions, %s, %s", c.Topic, c.Partitions, replicas, strings.Join(details, ", "))
	case SetConfig:
		return fmt.Sprintf("change topic %s: %s", c.Topic, strings.Join(details, ", "))
	}
	return fmt.Sprintf("record partition count and topic IDs of %s in %s", c.Aggregate, c.Topic)
}

// Plan is what is to be done, in order, and what cannot be done for the operator.
type Plan struct {
	Changes  []Change  `json:"changes"`
	Problems []Finding `json:"problems"`
}

// Plan compares what exists with what shall be, and changes nothing. A plan never deletes, never shortens
// retention and never changes the partition count or the replicas of a topic: where that would be needed, it has a problem.
func (t *Topology) Plan(ctx context.Context) (Plan, error) {
	seen, err := t.observe(ctx, true)
	if err != nil {
		return Plan{}, err
	}
	return t.cfg.plan(seen, t.aggregates), nil
}

func (c Config) plan(o *observed, aggregates []string) Plan {
	p := Plan{Changes: []Change{}, Problems: []Finding{}}
	if problem := o.transactions(); problem != "" {
		p.Problems = append(p.Problems, Finding{Level: Problem, Message: problem})
	}
	for _, a := range aggregates {
		topics := TopicsOf(c.Prefix, a)
		p.Problems = append(p.Problems, o.lossFindings(a, topics)...)
		for k, name := range topics.All() {
			if found, ok := o.topics[name]; ok {
				c.planSettings(&p, a, name, kind(k), found)
				continue
			}
			change := Change{Action: CreateTopic, Aggregate: a, Topic: name, Partitions: c.countFor(o, a, topics), Replication: c.Replication, Settings: map[string]string{}}
			for _, s := range c.settings(kind(k)) {
				change.Settings[s.name] = s.value
			}
			p.Changes = append(p.Changes, change)
		}
		problem := ""
		if len(o.missing(topics)) == 0 {
			var n int32
			n, problem = o.partitions(a, topics)
			if problem == "" && n != c.Partitions {
				p.Problems = append(p.Problems, Finding{Level: Note, Aggregate: a, Setting: "partitions", Want: strconv.Itoa(int(c.Partitions)), Got: strconv.Itoa(int(n)),
					Message: fmt.Sprintf("the topics of %s have %d partitions and keep them, though %d are configured: growing is a migration to new topics, never in place", a, n, c.Partitions)})
			}
		}
		if problem != "" {
			p.Problems = append(p.Problems, Finding{Level: Problem, Aggregate: a, Setting: "partitions", Message: problem})
		} else if o.unrecorded(a, topics) != "" && len(o.losses(a, topics)) == 0 { // what was lost stays recorded until that is accepted
			p.Changes = append(p.Changes, Change{Action: RecordTopology, Aggregate: a, Topic: topics.Snapshots})
		}
	}
	return p
}

// countFor is the partition count of a topic to be made: that of the aggregate type's other topics.
func (c Config) countFor(o *observed, aggregate string, topics Topics) int32 {
	if r := o.recorded[aggregate]; r != nil {
		return r.Partitions
	}
	for _, name := range topics.All() {
		if found, ok := o.topics[name]; ok {
			return found.partitions
		}
	}
	return c.Partitions
}

func (c Config) planSettings(p *Plan, aggregate, name string, k kind, found observedTopic) {
	change := Change{Action: SetConfig, Aggregate: aggregate, Topic: name, Settings: map[string]string{}, Was: map[string]string{}}
	for _, s := range c.settings(k) {
		got, known := found.settings[s.name]
		if !known || got == s.value {
			continue
		}
		f := Finding{Level: Problem, Aggregate: aggregate, Topic: name, Setting: s.name, Want: s.value, Got: got}
		switch s.name {
		case retentionMS, retentionBytes:
			if longer(got, s.value) {
				f.Level = Note
				f.Message = fmt.Sprintf("topic %s keeps more than configured (%s is %s, not %s); making that less deletes records, which is left to you", name, s.name, got, s.value)
				p.Problems = append(p.Problems, f)
				continue
			}
		case minISR:
			if number(got) > number(s.value) {
				continue // stricter than asked for
			}
			if found.replicas < c.MinISR {
				f.Message = fmt.Sprintf("topic %s has %d replicas: with %s=%s nothing could be written; give it more replicas first (kafka-reassign-partitions.sh)", name, found.replicas, s.name, s.value)
				p.Problems = append(p.Problems, f)
				continue
			}
		}
		change.Settings[s.name], change.Was[s.name] = s.value, got
	}
	if len(change.Settings) > 0 {
		p.Changes = append(p.Changes, change)
	}
}

// longer reports whether the retention got keeps more than want; negative is without end.
func longer(got, want string) bool {
	g, w := number(got), number(want)
	return w >= 0 && (g < 0 || g > w)
}

func number(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64) // Kafka validates its settings; anything else is as good as 0
	return n
}

// Apply makes the changes of a plan, in order. It can be repeated, and several may run at a time: a topic
// that exists by now is left as it is, and what is recorded by now is not recorded again.
func (t *Topology) Apply(ctx context.Context, p Plan) error {
	if t.err != nil {
		return t.err
	}
	if len(p.Changes) == 0 {
		return nil
	}
	if err := t.reach(ctx); err != nil {
		return err
	}
	created, err := t.create(ctx, p)
	if err != nil {
		return t.wrap("create topics", err)
	}
	if err := t.awaitLeaders(ctx, created); err != nil {
		return err
	}
	for _, c := range p.Changes {
		if c.Action == SetConfig {
			if err := t.set(ctx, c); err != nil {
				return t.wrap("change topic "+c.Topic, err)
			}
		}
	}
	if !slices.ContainsFunc(p.Changes, func(c Change) bool { return c.Action == RecordTopology }) {
		return nil
	}
	seen, err := t.observe(ctx, false)
	if err != nil {
		return err
	}
	for _, c := range p.Changes {
		topics := TopicsOf(t.cfg.Prefix, c.Aggregate)
		if c.Action != RecordTopology || seen.unrecorded(c.Aggregate, topics) == "" || len(seen.losses(c.Aggregate, topics)) > 0 {
			continue
		}
		if _, problem := seen.partitions(c.Aggregate, topics); problem != "" {
			return fmt.Errorf("%w: %s", event.ErrConfig, problem)
		}
		r := seen.record(c.Aggregate, topics)
		if earlier := seen.recorded[c.Aggregate]; earlier != nil {
			r.AcceptedLosses = earlier.AcceptedLosses
		}
		if err := t.write(ctx, topics.Snapshots, r); err != nil {
			return err
		}
	}
	return nil
}

// create makes the topics of a plan in one request and returns their names.
func (t *Topology) create(ctx context.Context, p Plan) ([]string, error) {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = int32(stallTimeout.Milliseconds())
	var names []string
	for _, c := range p.Changes {
		if c.Action != CreateTopic {
			continue
		}
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = c.Topic, c.Partitions, c.Replication
		for _, name := range sortedKeys(c.Settings) {
			s := kmsg.NewCreateTopicsRequestTopicConfig()
			s.Name, s.Value = name, kmsg.StringPtr(c.Settings[name])
			topic.Configs = append(topic.Configs, s)
		}
		req.Topics = append(req.Topics, topic)
		names = append(names, c.Topic)
	}
	if len(names) == 0 {
		return nil, nil
	}
	resp, err := req.RequestWith(ctx, t.client)
	if err != nil {
		return nil, err
	}
	for _, r := range resp.Topics {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			message := ""
			if r.ErrorMessage != nil {
				message = ": " + *r.ErrorMessage
			}
			return nil, fmt.Errorf("topic %s: %w%s", r.Topic, err, message)
		}
	}
	return names, nil
}

func (t *Topology) set(ctx context.Context, c Change) error {
	var alter []kadm.AlterConfig
	for _, name := range sortedKeys(c.Settings) {
		alter = append(alter, kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: kadm.StringPtr(c.Settings[name])})
	}
	responses, err := kadm.NewClient(t.client).AlterTopicConfigs(ctx, alter, c.Topic)
	if err != nil {
		return err
	}
	for _, r := range responses {
		if r.Err != nil {
			return fmt.Errorf("%w %s", r.Err, r.ErrMessage)
		}
	}
	return nil
}

// awaitLeaders waits until the brokers that answer know the new topics: creation is asynchronous.
func (t *Topology) awaitLeaders(ctx context.Context, created []string) error {
	if len(created) == 0 {
		return nil
	}
	deadline := time.Now().Add(stallTimeout)
	for {
		topics, err := t.topics(ctx)
		ready := err == nil
		for _, name := range created {
			found, ok := topics[name]
			ready = ready && ok && found.leaderless == 0 && found.partitions > 0
		}
		if ready {
			return nil
		}
		if time.Now().After(deadline) {
			late := fmt.Errorf("%w: the brokers have made the topics %s but do not serve them after %v", event.ErrUnavailable, strings.Join(created, ", "), stallTimeout)
			return errors.Join(late, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for new topics: %w", ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
