package topology

import (
	"context"
	"fmt"
	"strconv"
)

// Level says how bad a Finding is.
type Level string

// The levels.
const (
	// Problem: data can be lost, or roles refuse to start or to write.
	Problem Level = "problem"
	// Note: worth knowing; nothing is at risk.
	Note Level = "note"
)

// Finding is something that is not as it shall be.
type Finding struct {
	Level     Level  `json:"level"`
	Aggregate string `json:"aggregate,omitempty"`
	Topic     string `json:"topic,omitempty"`
	// Setting is what it is about, such as "min.insync.replicas" or "partitions"; Want and Got are its values.
	Setting string `json:"setting,omitempty"`
	Want    string `json:"want,omitempty"`
	Got     string `json:"got,omitempty"`
	// Message says it for people, with the remedy.
	Message string `json:"message"`
}

// String is the level and the message.
func (f Finding) String() string { return string(f.Level) + ": " + f.Message }

// transactionVersionNeeded is KIP-890's second part, which fences a producer at each transaction: Kafka 4.0 and later.
const transactionVersionNeeded = 2

// transactions says what is wrong with the brokers' transactions; empty where nothing is.
func (o *observed) transactions() string {
	if o.transactionVersion >= transactionVersionNeeded {
		return ""
	}
	return fmt.Sprintf("the brokers' feature transaction.version is %d; at least %d is needed: use Kafka 4.0 or later, "+
		"and where it was upgraded, run `kafka-features.sh upgrade --feature transaction.version=%d`", o.transactionVersion, transactionVersionNeeded, transactionVersionNeeded)
}

// Verify looks at everything that durability stands on: the brokers' transactions, and of every topic
// whether it exists, is the recorded one, has what consumer groups have read of it and the recorded partition count, enough replicas in sync, and
// the settings that it shall have. No finding means that all is well.
func (t *Topology) Verify(ctx context.Context) ([]Finding, error) {
	seen, err := t.observe(ctx, true)
	if err != nil {
		return nil, err
	}
	out := t.cfg.verify(seen, t.aggregates)
	truncated, err := t.truncated(ctx, seen)
	return append(out, truncated...), err
}

// truncated finds the partitions that end before what a consumer group has read of them.
func (t *Topology) truncated(ctx context.Context, seen *observed) ([]Finding, error) {
	accepted, err := Accepted(ctx, t.client, t.client.Opts(), t.cfg.Prefix)
	if err != nil {
		return nil, err
	}
	var out []Finding
	for _, a := range t.aggregates {
		topics := TopicsOf(t.cfg.Prefix, a)
		if len(seen.missing(topics)) > 0 {
			continue
		}
		c, err := t.committed(ctx, topics.logs())
		if err != nil {
			return nil, err
		}
		for _, l := range seen.truncations(a, topics, c, accepted) {
			out = append(out, Finding{Level: Problem, Aggregate: a, Topic: l.Topic, Setting: "end", Want: strconv.FormatInt(l.Committed, 10), Got: strconv.FormatInt(l.End, 10),
				Message: lossError(a, []Loss{l}).Error()})
		}
	}
	return out, nil
}

func (c Config) verify(o *observed, aggregates []string) []Finding {
	var out []Finding
	add := func(f Finding) { out = append(out, f) }
	if problem := o.transactions(); problem != "" {
		add(Finding{Level: Problem, Setting: "transaction.version", Want: strconv.Itoa(transactionVersionNeeded), Got: strconv.Itoa(int(o.transactionVersion)), Message: problem})
	}
	for _, a := range aggregates {
		topics := TopicsOf(c.Prefix, a)
		out = append(out, o.lossFindings(a, topics)...)
		absent := o.missing(topics)
		for _, name := range absent {
			add(Finding{Level: Problem, Aggregate: a, Topic: name, Message: fmt.Sprintf("topic %s does not exist; run `cqrsflow topology apply`", name)})
		}
		if len(absent) == 0 {
			if _, problem := o.partitions(a, topics); problem != "" {
				add(Finding{Level: Problem, Aggregate: a, Setting: "partitions", Message: problem})
			}
		}
		if problem := o.unrecorded(a, topics); problem != "" {
			add(Finding{Level: Problem, Aggregate: a, Setting: "partitions", Message: problem})
		}
		for k, name := range topics.All() {
			if found, ok := o.topics[name]; ok {
				out = append(out, c.verifyTopic(a, name, kind(k), found)...)
			}
		}
	}
	return out
}

func (c Config) verifyTopic(aggregate, name string, k kind, found observedTopic) []Finding {
	var out []Finding
	add := func(level Level, setting, want, got, message string, args ...any) {
		out = append(out, Finding{Level: level, Aggregate: aggregate, Topic: name, Setting: setting, Want: want, Got: got, Message: fmt.Sprintf(message, args...)})
	}
	if c.Replication > 0 && found.replicas < int(c.Replication) {
		add(Problem, "replicas", strconv.Itoa(int(c.Replication)), strconv.Itoa(found.replicas),
			"topic %s has a partition with %d replicas; %d are configured (kafka-reassign-partitions.sh adds some)", name, found.replicas, c.Replication)
	}
	if found.leaderless > 0 {
		add(Problem, "leaders", "0", strconv.Itoa(found.leaderless), "%d partitions of topic %s have no leader: nothing is read or written there", found.leaderless, name)
	}
	if needed := number(found.settings[minISR]); int64(found.insync) < needed {
		add(Problem, "insync", strconv.FormatInt(needed, 10), strconv.Itoa(found.insync),
			"a partition of topic %s has %d replicas in sync, less than its %s=%d: nothing is written there", name, found.insync, minISR, needed)
	}
	for _, s := range c.settings(k) {
		got, known := found.settings[s.name]
		switch {
		case !known:
			add(Note, s.name, s.value, "", "the brokers do not say what %s of topic %s is; it shall be %s", s.name, name, s.value)
		case got == s.value:
		case s.name == minISR && number(got) > number(s.value):
			// stricter than asked for
		case (s.name == retentionMS || s.name == retentionBytes) && longer(got, s.value):
			add(Note, s.name, s.value, got, "topic %s keeps more than configured: %s is %s, not %s", name, s.name, got, s.value)
		default:
			add(Problem, s.name, s.value, got, "%s of topic %s is %s; it must be %s (%s); run `cqrsflow topology apply`", s.name, name, got, s.value, why[s.name])
		}
	}
	// Where the brokers choose the replicas, they choose this too, and their own default is 1.
	if c.MinISR == 0 && found.replicas >= 3 {
		if got, known := found.settings[minISR]; known && number(got) < 2 {
			add(Problem, minISR, "2", got, "%s of topic %s is %s: with %d replicas it should be 2 (%s)", minISR, name, got, found.replicas, why[minISR])
		}
	}
	return out
}

// why a setting matters.
var why = map[string]string{
	cleanupPolicy:  "compacting deletes events and commands; not compacting lets snapshots and parked pointers grow without end, and deleting loses them",
	retentionMS:    "older records are deleted",
	retentionBytes: "the oldest records are deleted",
	timestampType:  "a record's time must be when it was written, or backdated ones expire at once",
	minISR:         "fewer replicas in sync must refuse writes rather than risk them",
	uncleanElect:   "a replica that lags must not become the leader: what it lacks would be lost",
}

func (o *observed) lossFindings(aggregate string, topics Topics) []Finding {
	losses := o.losses(aggregate, topics)
	out := make([]Finding, 0, len(losses))
	for _, l := range losses {
		out = append(out, Finding{Level: Problem, Aggregate: aggregate, Topic: l.Topic, Setting: "topic ID", Want: l.Recorded, Got: l.Actual,
			Message: lossError(aggregate, []Loss{l}).Error()})
	}
	return out
}
