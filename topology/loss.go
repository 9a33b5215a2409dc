package topology

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/cqrsflow/cqrsflow/event"
)

// Loss is a topic, or a partition of one, that no longer has what was read from it.
type Loss struct {
	Aggregate string `json:"aggregate"`
	Topic     string `json:"topic"`
	// Partition is the one that lost something; nil for all.
	Partition *int32 `json:"partition,omitempty"`
	// Recorded is the ID that the topic had. Actual is the one that it has now; empty where there is no such topic.
	// Both are empty where the topic is the same, and ends earlier than it did.
	Recorded string `json:"recorded,omitempty"`
	Actual   string `json:"actual,omitempty"`
	// Group had committed the offset Committed, though the partition ends at End: where that is what shows the loss.
	Group     string `json:"group,omitempty"`
	Committed int64  `json:"committed,omitempty"`
	End       int64  `json:"end,omitempty"`
}

// String says for people what was lost.
func (l Loss) String() string {
	switch {
	case l.Recorded != "" && l.Actual == "":
		return fmt.Sprintf("topic %s was deleted (ID %s was recorded)", l.Topic, l.Recorded)
	case l.Recorded != "":
		return fmt.Sprintf("topic %s was deleted and made again (its ID is %s, %s was recorded)", l.Topic, l.Actual, l.Recorded)
	case l.Group != "":
		return fmt.Sprintf("%s/%d ends at offset %d, but group %s had read up to %d", l.Topic, *l.Partition, l.End, l.Group, l.Committed)
	case l.Partition != nil:
		return fmt.Sprintf("%s/%d has lost records, as was said", l.Topic, *l.Partition)
	}
	return fmt.Sprintf("all partitions of %s have lost records, as was said", l.Topic)
}

// of reports whether the loss is of that partition too.
func (l Loss) of(n int32) bool { return l.Partition == nil || *l.Partition == n }

// logs are the topics that decisions stand on and that cannot be made again from others. Snapshots are not among them: they are a
// cache, and what was recorded goes with their topic.
func (t Topics) logs() []string { return []string{t.Commands, t.Events, t.Outcomes} }

// losses compares the topics with what was recorded of them.
func (o *observed) losses(aggregate string, topics Topics) []Loss {
	r := o.recorded[aggregate]
	if r == nil {
		return nil
	}
	var out []Loss
	// Parked pointers are no log, but nothing has them a second time: their loss has to be seen, too.
	for _, name := range append(topics.logs(), topics.Parked) {
		recorded, ok := r.Topics[name]
		if !ok {
			continue
		}
		l := Loss{Aggregate: aggregate, Topic: name, Recorded: recorded}
		if found, ok := o.topics[name]; ok {
			l.Actual = idText(found.id)
		}
		if l.Actual != recorded {
			out = append(out, l)
		}
	}
	return out
}

func lossError(aggregate string, losses []Loss) error {
	if len(losses) == 0 {
		return nil
	}
	fix := "to go on without it, run `cqrsflow topology accept-loss`"
	what := make([]string, len(losses))
	for i, l := range losses {
		what[i] = l.String()
		if l.Recorded != "" && l.Actual == "" {
			fix = "to go on without it, run `cqrsflow topology apply`, then `cqrsflow topology accept-loss`"
		}
	}
	return fmt.Errorf("%w: the log of %s has lost data: %s; look at the brokers first: what comes back is not lost; %s", event.ErrCorrupt, aggregate, strings.Join(what, "; "), fix)
}

// bounds of the partitions of topics and what groups have committed in them: what shows that a topic
// ends earlier than it did, though it is the same.
type committed struct {
	// offsets by topic, partition and group.
	offsets map[string]map[int32]map[string]int64
	ends    kadm.ListedOffsets
}

// committed asks for the committed offsets of all groups under the prefix, and then, so that an offset
// beyond the end cannot just be young, for the ends.
func (t *Topology) committed(ctx context.Context, topics []string) (*committed, error) {
	c := &committed{offsets: map[string]map[int32]map[string]int64{}}
	adm := kadm.NewClient(t.client)
	groups, err := adm.ListGroups(ctx)
	if err != nil {
		return nil, t.wrap("list consumer groups", err)
	}
	ours := slices.DeleteFunc(groups.Groups(), func(g string) bool { return !strings.HasPrefix(g, t.cfg.Prefix+".") })
	for _, f := range adm.FetchManyOffsets(ctx, ours...) {
		if f.Err != nil {
			return nil, t.wrap("committed offsets of group "+f.Group, f.Err)
		}
		f.Fetched.Each(func(o kadm.OffsetResponse) {
			if o.Err != nil || o.At < 0 {
				return
			}
			if c.offsets[o.Topic] == nil {
				c.offsets[o.Topic] = map[int32]map[string]int64{}
			}
			if c.offsets[o.Topic][o.Partition] == nil {
				c.offsets[o.Topic][o.Partition] = map[string]int64{}
			}
			c.offsets[o.Topic][o.Partition][f.Group] = o.At
		})
	}
	if c.ends, err = adm.ListEndOffsets(ctx, topics...); err == nil {
		err = c.ends.Error()
	}
	if err != nil {
		return nil, t.wrap("ask for the ends of topics", err)
	}
	return c, nil
}

// beyond are the offsets that groups have committed beyond the end of a partition.
func (c *committed) beyond(topic string, n int32) map[string]int64 {
	end, ok := c.ends.Lookup(topic, n)
	var out map[string]int64
	for group, at := range c.offsets[topic][n] {
		if ok && at > end.Offset {
			if out == nil {
				out = map[string]int64{}
			}
			out[group] = at
		}
	}
	return out
}

// truncations are the partitions of an aggregate type's topics that end before what a group has read
// of them, unless that is accepted already. Topics that are others than the recorded ones are left out.
func (o *observed) truncations(aggregate string, topics Topics, c *committed, accepted Acceptances) []Loss {
	made := o.losses(aggregate, topics)
	var out []Loss
	for _, name := range topics.logs() {
		if slices.ContainsFunc(made, func(l Loss) bool { return l.Topic == name }) {
			continue
		}
		for n := range o.topics[name].partitions {
			l := Loss{Aggregate: aggregate, Topic: name, Partition: &n}
			var known map[string]int64
			if a := accepted.Of(aggregate, n); a != nil {
				known = a.Beyond[name]
			}
			for group, at := range c.beyond(name, n) {
				if at != known[group] && (at > l.Committed || at == l.Committed && group < l.Group) {
					l.Group, l.Committed = group, at
				}
			}
			if l.Group != "" {
				end, _ := c.ends.Lookup(name, n)
				l.End = end.Offset
				out = append(out, l)
			}
		}
	}
	return out
}

// declared reads TOPIC or TOPIC/PARTITION.
func (t *Topology) declared(o *observed, what string) (Loss, error) {
	topic, number, one := strings.Cut(what, "/")
	var names []string
	for _, a := range t.aggregates {
		topics := TopicsOf(t.cfg.Prefix, a)
		names = append(names, topics.logs()...)
		switch {
		case topic == topics.Snapshots:
			return Loss{}, fmt.Errorf("%w: %s is a cache: losing it needs no acceptance", event.ErrConfig, topic)
		case !slices.Contains(topics.logs(), topic):
			continue
		}
		l := Loss{Aggregate: a, Topic: topic}
		if !one {
			return l, nil
		}
		n, err := strconv.ParseInt(number, 10, 32)
		if count := o.topics[topic].partitions; err != nil || n < 0 || int32(n) >= count {
			return Loss{}, fmt.Errorf("%w: the loss %q: topic %s has the partitions 0 to %d", event.ErrConfig, what, topic, count-1)
		}
		p := int32(n)
		l.Partition = &p
		return l, nil
	}
	return Loss{}, fmt.Errorf("%w: the loss %q: write TOPIC or TOPIC/PARTITION with one of the topics %s", event.ErrConfig, what, strings.Join(names, ", "))
}
