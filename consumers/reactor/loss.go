package reactor

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/topology"
)

// A reactor knows what it has reacted to by its group's offsets alone. Where the log lost data they say
// nothing any more: it stops until the loss is accepted, and then asks where to go on, as one does that
// has never run. A committed offset carries the epoch of the accepted losses that it was committed under.

// places are the partitions of the reactor's topics.
type places struct {
	accepted topology.Acceptances
	ends     kadm.ListedOffsets
}

// look asks for what is needed to judge committed offsets.
func (r *Reactor) look(ctx context.Context, cl *kgo.Client, topics []string) (p places, err error) {
	adm := kadm.NewClient(cl)
	if p.accepted, err = topology.Accepted(ctx, cl, r.cfg.Client, r.cfg.Prefix); err != nil {
		return p, err
	}
	details, err := adm.ListTopics(ctx, topics...)
	if err == nil {
		err = details.Error()
	}
	if err == nil {
		if p.ends, err = adm.ListEndOffsets(ctx, topics...); err == nil {
			err = p.ends.Error()
		}
	}
	if err != nil {
		return p, fmt.Errorf("%w: reactor %s: its topics: %w", event.ErrUnavailable, r.cfg.Name, err)
	}
	for _, topic := range topics {
		id := [16]byte(details[topic].ID)
		switch known, ok := r.ids[topic]; {
		case !ok:
			r.ids[topic] = id // as every role does, the process has compared it with the recorded one
		case known != id && !p.accepted.Of(r.topics[topic], 0).Has(topic, id):
			return p, r.lost(topic, topic, "it was deleted and made again")
		}
	}
	return p, nil
}

// counts reports whether a committed offset says what has been reacted to; false is as if there were
// none. Beyond the log's end it is event.ErrCorrupt.
func (r *Reactor) counts(p places, topic string, n int32, committed kadm.Offset) (bool, error) {
	lostAt := p.accepted.Of(r.topics[topic], n).LostAt(topic)
	if topology.MarkedEpoch(committed.Metadata) < lostAt {
		return false, nil
	}
	if end, ok := p.ends.Lookup(topic, n); ok && committed.At > end.Offset {
		at := fmt.Sprintf("%s/%d", topic, n)
		return false, r.lost(at, at, fmt.Sprintf("it ends at offset %d, but events up to %d were reacted to", end.Offset, committed.At))
	}
	return true, nil
}

func (r *Reactor) lost(place, named, why string) error {
	return fmt.Errorf("%w: reactor %s: the log lost data: %s: %s. Look at the brokers first: what comes back is not lost. To go on without it: "+
		"`cqrsflow topology accept-loss --lost %s`, and --from start or --from end to say where", event.ErrCorrupt, r.cfg.Name, place, why, named)
}

// marked has a transaction's commit carry the epochs.
func (r *Reactor) marked(ctx context.Context) context.Context {
	if len(r.accepted) == 0 {
		return ctx
	}
	return kgo.PreTxnCommitFnContext(ctx, func(req *kmsg.TxnOffsetCommitRequest) error {
		r.accepted.Stamp(req, func(topic string) string { return r.topics[topic] })
		return nil
	})
}
