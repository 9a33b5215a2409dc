package topology

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/cqrsflow/cqrsflow/event"
)

// AcceptLoss writes down that what is lost is lost, so that roles go on with what the log has. It accepts
// the topics that were deleted and made again, the partitions that end before what a consumer group has
// read of them, and what is named: "TOPIC" or "TOPIC/PARTITION", for what only a role's own store can show.
//
// It returns what it has accepted; nothing lost is not an error, and changes nothing. All topics must
// exist and have the recorded partition count: it is no way to change that. Naming what is not lost costs
// no data: the partition's local store is made again from the log.
func (t *Topology) AcceptLoss(ctx context.Context, named ...string) ([]Loss, error) {
	seen, err := t.observe(ctx, false)
	if err != nil {
		return nil, err
	}
	declared := make([]Loss, len(named))
	for i, what := range named {
		if declared[i], err = t.declared(seen, what); err != nil {
			return nil, err
		}
	}
	accepted, err := Accepted(ctx, t.client, t.client.Opts(), t.cfg.Prefix)
	if err != nil {
		return nil, err
	}
	var all []Loss
	for _, a := range t.aggregates {
		topics := TopicsOf(t.cfg.Prefix, a)
		losses := seen.losses(a, topics)
		declared := slices.DeleteFunc(slices.Clone(declared), func(l Loss) bool { return l.Aggregate != a })
		if absent := seen.missing(topics); len(absent) > 0 {
			if len(losses)+len(declared) == 0 {
				continue
			}
			return all, fmt.Errorf("%w: accept loss of %s: missing topics: %s; run `cqrsflow topology apply` first", event.ErrConfig, a, strings.Join(absent, ", "))
		}
		c, err := t.committed(ctx, topics.logs())
		if err != nil {
			return all, fmt.Errorf("accept loss of %s: %w", a, err)
		}
		replaced := len(losses) > 0
		losses = append(losses, seen.truncations(a, topics, c, accepted)...)
		losses = append(losses, slices.DeleteFunc(declared, func(d Loss) bool {
			return slices.ContainsFunc(losses, func(l Loss) bool {
				return l.Topic == d.Topic && (l.Partition == nil || d.Partition != nil && l.of(*d.Partition))
			})
		})...)
		if len(losses) == 0 {
			continue
		}
		if _, problem := seen.partitions(a, topics); problem != "" {
			return all, fmt.Errorf("%w: accept loss of %s: %s", event.ErrConfig, a, problem)
		}
		if err := t.writeAcceptances(ctx, seen.topics[topics.Events].replicas, seen.acceptances(a, topics, losses, c, accepted, time.Now())); err != nil {
			return all, fmt.Errorf("accept loss of %s: %w", a, err)
		}
		// Last: until this is written, no role starts, and accepting again does no harm.
		if replaced {
			r := seen.record(a, topics)
			r.AcceptedLosses = seen.recorded[a].AcceptedLosses + 1
			if err := t.write(ctx, topics.Snapshots, r); err != nil {
				return all, fmt.Errorf("accept loss of %s: %w", a, err)
			}
		}
		all = append(all, losses...)
	}
	return all, nil
}

// acceptances is what to write down of the losses, by key.
func (o *observed) acceptances(aggregate string, topics Topics, losses []Loss, c *committed, accepted Acceptances, now time.Time) Acceptances {
	epoch := now.UnixMilli()
	for _, a := range accepted {
		epoch = max(epoch, a.Epoch+1) // a clock that was put back does not make it lower
	}
	out := Acceptances{}
	for n := range o.topics[topics.Events].partitions {
		prev := accepted.Of(aggregate, n)
		a := &Acceptance{Format: acceptanceFormat, Epoch: epoch, Lost: map[string]int64{}, Topics: map[string]string{}, Ends: map[string]int64{}}
		for _, name := range topics.logs() {
			end, _ := c.ends.Lookup(name, n)
			a.Ends[name], a.Topics[name] = end.Offset, idText(o.topics[name].id)
			if at := prev.LostAt(name); at > 0 {
				a.Lost[name] = at
			}
			if prev != nil && prev.Cut[name] > 0 {
				a.cut(name, prev.Cut[name])
			}
			if beyond := c.beyond(name, n); beyond != nil {
				if a.Beyond == nil {
					a.Beyond = map[string]map[string]int64{}
				}
				a.Beyond[name] = beyond
			}
		}
		concerned := false
		for _, l := range losses {
			if l.of(n) {
				a.Lost[l.Topic], concerned = epoch, true
				if l.Recorded == "" {
					a.cut(l.Topic, epoch)
				} else {
					delete(a.Cut, l.Topic)
				}
			}
		}
		if !concerned {
			continue
		}
		a.Commands = a.commands(topics, prev, slices.ContainsFunc(losses, func(l Loss) bool { return l.Topic == topics.Commands && l.Recorded != "" }))
		out[acceptanceKey(aggregate, n)] = a
	}
	return out
}

func (a *Acceptance) cut(topic string, epoch int64) {
	if a.Cut == nil {
		a.Cut = map[string]int64{}
	}
	a.Cut[topic] = epoch
}

// commands says from where on commands are decided. Of a topic that was made again, all are. In one
// that ends earlier, what was published since cannot be told from what was decided: only what comes is.
func (a *Acceptance) commands(topics Topics, prev *Acceptance, replaced bool) *CommandsLoss {
	switch {
	case a.Lost[topics.Commands] == a.Epoch:
		c := &CommandsLoss{Next: a.Ends[topics.Commands], Events: a.Ends[topics.Events], Outcomes: a.Ends[topics.Outcomes]}
		if replaced {
			c.Next = 0
		}
		return c
	case prev == nil || prev.Commands == nil:
		return nil
	}
	c := *prev.Commands
	c.Events, c.Outcomes = min(c.Events, a.Ends[topics.Events]), min(c.Outcomes, a.Ends[topics.Outcomes])
	return &c
}

// writeAcceptances writes durably into the losses topic, which it makes where there is none, with as many
// replicas as the events have.
func (t *Topology) writeAcceptances(ctx context.Context, replicas int, as Acceptances) error {
	cfg := Config{Prefix: t.cfg.Prefix, Replication: int16(replicas)}.withDefaults()
	topic := LossesTopic(t.cfg.Prefix)
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = int32(stallTimeout.Milliseconds())
	create := kmsg.NewCreateTopicsRequestTopic()
	create.Topic, create.NumPartitions, create.ReplicationFactor = topic, 1, cfg.Replication
	for _, s := range cfg.settings(snapshots) {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = s.name, kmsg.StringPtr(s.value)
		create.Configs = append(create.Configs, c)
	}
	req.Topics = append(req.Topics, create)
	resp, err := req.RequestWith(ctx, t.client)
	if err != nil {
		return t.wrap("create topic "+topic, err)
	}
	for _, r := range resp.Topics {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return t.wrap("create topic "+topic, err)
		}
	}
	client, err := t.second(kgo.RecordDeliveryTimeout(stallTimeout))
	if err != nil {
		return err
	}
	defer client.Close()
	var recs []*kgo.Record
	for _, key := range sortedKeys(as) {
		value, err := json.Marshal(as[key])
		if err != nil {
			return fmt.Errorf("encode: %w", err)
		}
		recs = append(recs, &kgo.Record{Topic: topic, Key: []byte(key), Value: value,
			Headers: []kgo.RecordHeader{{Key: "content-type", Value: []byte("application/json")}}})
	}
	if err := client.ProduceSync(ctx, recs...).FirstErr(); err != nil {
		return t.wrap("write to "+topic, err)
	}
	return nil
}
