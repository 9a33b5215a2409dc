package topology

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/cqrsflow/cqrsflow/event"
)

// Recover writes down that the logs are copies, made by a mirror, whose records have other offsets than those that anything
// made from the originals knows: local stores, snapshots, committed offsets, checkpoints, and the command offsets that events
// and outcomes name. All of that counts as of before a loss, as with AcceptLoss of every topic. The commands that are there
// now count as decided, whatever topics were recorded: their events have been copied, and deciding one twice would be worse than not at all.
//
// Nothing may run on the copies: a group of ours that has members is event.ErrConfig, and so is a topic that is missing. Until
// it has returned nil no role may be started. Doing it again does no harm.
func (t *Topology) Recover(ctx context.Context) ([]Loss, error) {
	if err := t.Idle(ctx); err != nil {
		return nil, err
	}
	seen, err := t.observe(ctx, false)
	if err != nil {
		return nil, err
	}
	accepted, err := Accepted(ctx, t.client, t.client.Opts(), t.cfg.Prefix)
	if err != nil {
		return nil, err
	}
	var all []Loss
	for _, a := range t.aggregates {
		topics := TopicsOf(t.cfg.Prefix, a)
		if absent := seen.missing(topics); len(absent) > 0 {
			return all, fmt.Errorf("%w: recover %s: missing topics: %s; run `cqrsflow topology apply` first", event.ErrConfig, a, strings.Join(absent, ", "))
		}
		if _, problem := seen.partitions(a, topics); problem != "" {
			return all, fmt.Errorf("%w: recover %s: %s", event.ErrConfig, a, problem)
		}
		c, err := t.committed(ctx, topics.logs())
		if err != nil {
			return all, fmt.Errorf("recover %s: %w", a, err)
		}
		var losses []Loss
		for _, name := range topics.logs() {
			losses = append(losses, Loss{Aggregate: a, Topic: name})
		}
		if err := t.writeAcceptances(ctx, seen.topics[topics.Events].replicas, seen.acceptances(a, topics, losses, c, accepted, time.Now())); err != nil {
			return all, fmt.Errorf("recover %s: %w", a, err)
		}
		// Last, as in AcceptLoss: what was recorded may be of the originals.
		r := seen.record(a, topics)
		if was := seen.recorded[a]; was != nil {
			r.AcceptedLosses = was.AcceptedLosses + 1
		}
		if err := t.write(ctx, topics.Snapshots, r); err != nil {
			return all, fmt.Errorf("recover %s: %w", a, err)
		}
		all = append(all, losses...)
	}
	return all, nil
}

// Idle is an error, event.ErrConfig, where a group under the prefix has members: it names the group.
func (t *Topology) Idle(ctx context.Context) error {
	if err := t.reach(ctx); err != nil {
		return err
	}
	adm := kadm.NewClient(t.client)
	groups, err := adm.ListGroups(ctx)
	if err != nil {
		return t.wrap("list consumer groups", err)
	}
	var ours []string
	for _, g := range groups.Groups() {
		if strings.HasPrefix(g, t.cfg.Prefix+".") {
			ours = append(ours, g)
		}
	}
	if len(ours) == 0 {
		return nil
	}
	described, err := adm.DescribeGroups(ctx, ours...)
	if err != nil {
		return t.wrap("describe consumer groups", err)
	}
	for _, g := range described.Sorted() {
		if len(g.Members) > 0 {
			return fmt.Errorf("%w: the group %s has %d members: stop every role first; one that was killed is a member until its session timeout has passed", event.ErrConfig, g.Group, len(g.Members))
		}
	}
	return nil
}
