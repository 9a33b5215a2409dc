package topology

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fine is a cluster on which everything is as the default Config wants it.
func fine(c Config, aggregate string) *observed {
	c = c.withDefaults()
	o := &observed{transactionVersion: 2, topics: map[string]observedTopic{}, recorded: map[string]*recorded{}}
	topics := TopicsOf(c.Prefix, aggregate)
	for k, name := range topics.All() {
		found := observedTopic{id: [16]byte{1, byte(k)}, partitions: c.Partitions, replicas: 3, insync: 3, settings: map[string]string{}}
		for _, s := range c.settings(kind(k)) {
			found.settings[s.name] = s.value
		}
		o.topics[name] = found
	}
	o.recorded[aggregate] = o.record(aggregate, topics)
	return o
}

func (o *observed) change(topic string, f func(*observedTopic)) *observed {
	found := o.topics[topic]
	found.settings = maps.Clone(found.settings)
	f(&found)
	o.topics[topic] = found
	return o
}

func TestPlanAndVerifyOfWhatIsFine(t *testing.T) {
	o := fine(Config{}, "order")
	if diff := cmp.Diff(Plan{Changes: []Change{}, Problems: []Finding{}}, Config{}.withDefaults().plan(o, []string{"order"})); diff != "" {
		t.Errorf("plan: %s", diff)
	}
	if found := (Config{}).withDefaults().verify(o, []string{"order"}); len(found) > 0 {
		t.Errorf("verify: %v", found)
	}
}

func TestPlanOfNothing(t *testing.T) {
	o := &observed{transactionVersion: 2}
	p := Config{}.withDefaults().plan(o, []string{"order", "customer"})
	if len(p.Problems) > 0 {
		t.Errorf("problems: %v", p.Problems)
	}
	var got []string
	for _, c := range p.Changes {
		got = append(got, c.String())
	}
	const dated = "message.timestamp.type=LogAppendTime, min.insync.replicas=2"
	var want []string
	for _, a := range []string{"order", "customer"} {
		for _, s := range []string{
			"create topic cqrsflow.%.commands: 8 partitions, 3 replicas, cleanup.policy=delete, " + dated + ", retention.bytes=-1, retention.ms=2592000000, unclean.leader.election.enable=false",
			"create topic cqrsflow.%.events: 8 partitions, 3 replicas, cleanup.policy=delete, " + dated + ", retention.bytes=-1, retention.ms=-1, unclean.leader.election.enable=false",
			"create topic cqrsflow.%.outcomes: 8 partitions, 3 replicas, cleanup.policy=delete, " + dated + ", retention.bytes=-1, retention.ms=2592000000, unclean.leader.election.enable=false",
			"create topic cqrsflow.%.snapshots: 8 partitions, 3 replicas, cleanup.policy=compact, " + dated + ", unclean.leader.election.enable=false",
			"create topic cqrsflow.%.parked: 8 partitions, 3 replicas, cleanup.policy=compact, " + dated + ", unclean.leader.election.enable=false",
			"record partition count and topic IDs of % in cqrsflow.%.snapshots",
		} {
			want = append(want, strings.ReplaceAll(s, "%", a))
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// Each case breaks one thing; the plan has exactly these changes and problems, and verify exactly these findings.
func TestPlanAndVerifyOfOneThingBroken(t *testing.T) {
	const topic = "cqrsflow.order."
	set := func(name, value string) func(*observedTopic) {
		return func(f *observedTopic) { f.settings[name] = value }
	}
	for name, tc := range map[string]struct {
		cfg      Config
		break_   func(*observed)
		changes  []string
		problems []string
		findings []string
	}{
		"events expire": {
			break_:   func(o *observed) { o.change(topic+"events", set("retention.ms", "604800000")) },
			changes:  []string{"change topic cqrsflow.order.events: retention.ms=-1 (now 604800000)"},
			findings: []string{"problem: retention.ms of topic cqrsflow.order.events is 604800000; it must be -1"},
		},
		"events are bounded in bytes": {
			break_:   func(o *observed) { o.change(topic+"events", set("retention.bytes", "1000")) },
			changes:  []string{"change topic cqrsflow.order.events: retention.bytes=-1 (now 1000)"},
			findings: []string{"problem: retention.bytes of topic cqrsflow.order.events is 1000; it must be -1"},
		},
		"events are compacted": {
			break_:   func(o *observed) { o.change(topic+"events", set("cleanup.policy", "compact,delete")) },
			changes:  []string{"change topic cqrsflow.order.events: cleanup.policy=delete (now compact,delete)"},
			findings: []string{"problem: cleanup.policy of topic cqrsflow.order.events is compact,delete; it must be delete"},
		},
		"snapshots are not compacted": {
			break_:   func(o *observed) { o.change(topic+"snapshots", set("cleanup.policy", "delete")) },
			changes:  []string{"change topic cqrsflow.order.snapshots: cleanup.policy=compact (now delete)"},
			findings: []string{"problem: cleanup.policy of topic cqrsflow.order.snapshots is delete; it must be compact"},
		},
		"commands have their own time": {
			break_:   func(o *observed) { o.change(topic+"commands", set("message.timestamp.type", "CreateTime")) },
			changes:  []string{"change topic cqrsflow.order.commands: message.timestamp.type=LogAppendTime (now CreateTime)"},
			findings: []string{"problem: message.timestamp.type of topic cqrsflow.order.commands is CreateTime; it must be LogAppendTime"},
		},
		"unclean election": {
			break_:   func(o *observed) { o.change(topic+"outcomes", set("unclean.leader.election.enable", "true")) },
			changes:  []string{"change topic cqrsflow.order.outcomes: unclean.leader.election.enable=false (now true)"},
			findings: []string{"problem: unclean.leader.election.enable of topic cqrsflow.order.outcomes is true; it must be false"},
		},
		"a setting that the brokers do not know": {
			break_: func(o *observed) {
				o.change(topic+"outcomes", func(f *observedTopic) { delete(f.settings, "unclean.leader.election.enable") })
			},
			findings: []string{"note: the brokers do not say what unclean.leader.election.enable of topic cqrsflow.order.outcomes is"},
		},
		"commands kept shorter": {
			break_:   func(o *observed) { o.change(topic+"commands", set("retention.ms", "1000")) },
			changes:  []string{"change topic cqrsflow.order.commands: retention.ms=2592000000 (now 1000)"},
			findings: []string{"problem: retention.ms of topic cqrsflow.order.commands is 1000; it must be 2592000000"},
		},
		"commands kept longer": {
			break_:   func(o *observed) { o.change(topic+"commands", set("retention.ms", "-1")) },
			problems: []string{"note: topic cqrsflow.order.commands keeps more than configured"},
			findings: []string{"note: topic cqrsflow.order.commands keeps more than configured"},
		},
		"one replica in sync is enough": {
			break_:   func(o *observed) { o.change(topic+"events", set("min.insync.replicas", "1")) },
			changes:  []string{"change topic cqrsflow.order.events: min.insync.replicas=2 (now 1)"},
			findings: []string{"problem: min.insync.replicas of topic cqrsflow.order.events is 1; it must be 2"},
		},
		"stricter than asked for": {
			break_: func(o *observed) { o.change(topic+"events", set("min.insync.replicas", "3")) },
		},
		"too few replicas": {
			break_: func(o *observed) {
				o.change(topic+"events", func(f *observedTopic) { f.replicas, f.insync, f.settings["min.insync.replicas"] = 1, 1, "1" })
			},
			problems: []string{"problem: topic cqrsflow.order.events has 1 replicas: with min.insync.replicas=2 nothing could be written"},
			findings: []string{
				"problem: topic cqrsflow.order.events has a partition with 1 replicas; 3 are configured",
				"problem: min.insync.replicas of topic cqrsflow.order.events is 1; it must be 2",
			},
		},
		"too few in sync": {
			break_:   func(o *observed) { o.change(topic+"events", func(f *observedTopic) { f.insync = 1 }) },
			findings: []string{"problem: a partition of topic cqrsflow.order.events has 1 replicas in sync, less than its min.insync.replicas=2"},
		},
		"nobody leads": {
			break_:   func(o *observed) { o.change(topic+"events", func(f *observedTopic) { f.leaderless = 2 }) },
			findings: []string{"problem: 2 partitions of topic cqrsflow.order.events have no leader"},
		},
		"the brokers' own min ISR": {
			cfg:      Config{Replication: BrokerDefault},
			break_:   func(o *observed) { o.change(topic+"events", set("min.insync.replicas", "1")) },
			findings: []string{"problem: min.insync.replicas of topic cqrsflow.order.events is 1: with 3 replicas it should be 2"},
		},
		"unequal counts": {
			break_:   func(o *observed) { o.change(topic+"outcomes", func(f *observedTopic) { f.partitions = 4 }) },
			problems: []string{"problem: the topics of order have different partition counts"},
			findings: []string{"problem: the topics of order have different partition counts"},
		},
		"grown": {
			break_: func(o *observed) {
				for _, name := range TopicsOf("", "order").All() {
					o.change(name, func(f *observedTopic) { f.partitions = 16 })
				}
			},
			problems: []string{"problem: the topics of order have 16 partitions, but 8 were recorded"},
			findings: []string{"problem: the topics of order have 16 partitions, but 8 were recorded"},
		},
		"another count configured": {
			cfg: Config{Partitions: 12},
			break_: func(o *observed) {
				for _, name := range TopicsOf("", "order").All() {
					o.change(name, func(f *observedTopic) { f.partitions = 8 })
				}
				o.recorded["order"].Partitions = 8
			},
			problems: []string{"note: the topics of order have 8 partitions and keep them, though 12 are configured"},
		},
		"never recorded": {
			break_:   func(o *observed) { o.recorded["order"] = nil },
			changes:  []string{"record partition count and topic IDs of order in cqrsflow.order.snapshots"},
			findings: []string{"problem: the partition count of order has never been recorded"},
		},
		"recorded by a version without the parked topic": {
			break_:   func(o *observed) { delete(o.recorded["order"].Topics, topic+"parked") },
			changes:  []string{"record partition count and topic IDs of order in cqrsflow.order.snapshots"},
			findings: []string{"problem: topics of order that are new in this version have never been recorded"},
		},
		"parked pointers are deleted by age": {
			break_:   func(o *observed) { o.change(topic+"parked", set("cleanup.policy", "delete")) },
			changes:  []string{"change topic cqrsflow.order.parked: cleanup.policy=compact (now delete)"},
			findings: []string{"problem: cleanup.policy of topic cqrsflow.order.parked is delete; it must be compact"},
		},
		"parked pointers were made again": {
			break_:   func(o *observed) { o.change(topic+"parked", func(f *observedTopic) { f.id = [16]byte{9} }) },
			problems: []string{"problem: corrupt: the log of order has lost data: topic cqrsflow.order.parked was deleted and made again"},
			findings: []string{"problem: corrupt: the log of order has lost data: topic cqrsflow.order.parked was deleted and made again"},
		},
		"events were made again": {
			break_:   func(o *observed) { o.change(topic+"events", func(f *observedTopic) { f.id = [16]byte{9} }) },
			problems: []string{"problem: corrupt: the log of order has lost data: topic cqrsflow.order.events was deleted and made again"},
			findings: []string{"problem: corrupt: the log of order has lost data: topic cqrsflow.order.events was deleted and made again"},
		},
		"events were deleted": {
			cfg:      Config{Partitions: 5},
			break_:   func(o *observed) { delete(o.topics, topic+"events") },
			changes:  []string{"create topic cqrsflow.order.events: 5 partitions"},
			problems: []string{"problem: corrupt: the log of order has lost data: topic cqrsflow.order.events was deleted (ID"},
			findings: []string{
				"problem: corrupt: the log of order has lost data: topic cqrsflow.order.events was deleted (ID",
				"problem: topic cqrsflow.order.events does not exist",
			},
		},
		"old brokers": {
			break_:   func(o *observed) { o.transactionVersion = 0 },
			problems: []string{"problem: the brokers' feature transaction.version is 0; at least 2 is needed"},
			findings: []string{"problem: the brokers' feature transaction.version is 0; at least 2 is needed"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := tc.cfg.withDefaults()
			o := fine(cfg, "order")
			tc.break_(o)
			p := cfg.plan(o, []string{"order"})
			startWith(t, "changes", tc.changes, texts(p.Changes))
			startWith(t, "problems", tc.problems, texts(p.Problems))
			startWith(t, "findings", tc.findings, texts(cfg.verify(o, []string{"order"})))
		})
	}
}

func texts[T interface{ String() string }](in []T) []string {
	var out []string
	for _, v := range in {
		out = append(out, v.String())
	}
	return out
}

func startWith(t *testing.T, what string, want, got []string) {
	t.Helper()
	ok := len(want) == len(got)
	for i := range min(len(want), len(got)) {
		ok = ok && strings.HasPrefix(got[i], want[i])
	}
	if !ok {
		t.Errorf("%s:\ngot  %q\nwant %q", what, got, want)
	}
}

func TestRetentionOfCommands(t *testing.T) {
	for keep, want := range map[time.Duration]string{0: "2592000000", Forever: "-1", 48 * time.Hour: "172800000"} {
		c := Config{CommandRetention: keep}.withDefaults()
		for _, k := range []kind{commands, outcomes} {
			got := map[string]string{}
			for _, s := range c.settings(k) {
				got[s.name] = s.value
			}
			if got["retention.ms"] != want {
				t.Errorf("retention.ms for %v is %s, want %s", keep, got["retention.ms"], want)
			}
		}
	}
}
