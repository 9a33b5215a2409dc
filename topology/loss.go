package topology

import (
	"context"
	"fmt"
	"strings"

	"github.com/cqrsflow/cqrsflow/event"
)

// Loss is a topic whose log is gone: it is not the one that was recorded under that name.
type Loss struct {
	Aggregate string `json:"aggregate"`
	Topic     string `json:"topic"`
	// Recorded is the ID that the topic had. Actual is the one that it has now; empty where there is no such topic.
	Recorded string `json:"recorded"`
	Actual   string `json:"actual,omitempty"`
}

// losses compares the topics with what was recorded of them. Snapshots are not among them: they are a
// cache, and what was recorded goes with their topic.
func (o *observed) losses(aggregate string, topics Topics) []Loss {
	r := o.recorded[aggregate]
	if r == nil {
		return nil
	}
	var out []Loss
	for _, name := range topics.All() {
		recorded, ok := r.Topics[name]
		if !ok || name == topics.Snapshots {
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
		what[i] = fmt.Sprintf("topic %s was deleted and made again (its ID is %s, %s was recorded)", l.Topic, l.Actual, l.Recorded)
		if l.Actual == "" {
			what[i] = fmt.Sprintf("topic %s was deleted (ID %s was recorded)", l.Topic, l.Recorded)
			fix = "to go on without it, run `cqrsflow topology apply`, then `cqrsflow topology accept-loss`"
		}
	}
	return fmt.Errorf("%w: the log of %s has lost data: %s; %s", event.ErrCorrupt, aggregate, strings.Join(what, "; "), fix)
}

// AcceptLoss records the topics as they are now, so that roles start again on topics that were deleted
// and made again. It returns what was lost; nothing lost is not an error, and changes nothing. All topics
// must exist and have the recorded partition count: it is no way to change that.
func (t *Topology) AcceptLoss(ctx context.Context) ([]Loss, error) {
	seen, err := t.observe(ctx, false)
	if err != nil {
		return nil, err
	}
	var all []Loss
	for _, a := range t.aggregates {
		topics := TopicsOf(t.cfg.Prefix, a)
		losses := seen.losses(a, topics)
		if len(losses) == 0 {
			continue
		}
		if absent := seen.missing(topics); len(absent) > 0 {
			return all, fmt.Errorf("%w: accept loss of %s: missing topics: %s; run `cqrsflow topology apply` first", event.ErrConfig, a, strings.Join(absent, ", "))
		}
		if _, problem := seen.partitions(a, topics); problem != "" {
			return all, fmt.Errorf("%w: accept loss of %s: %s", event.ErrConfig, a, problem)
		}
		r := seen.record(a, topics)
		r.AcceptedLosses = seen.recorded[a].AcceptedLosses + 1
		if err := t.write(ctx, topics.Snapshots, r); err != nil {
			return all, fmt.Errorf("accept loss of %s: %w", a, err)
		}
		all = append(all, losses...)
	}
	return all, nil
}
