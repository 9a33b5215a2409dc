package producer

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/cqrsflow/cqrsflow/internal/partlog"
	"github.com/cqrsflow/cqrsflow/topology"
)

// A worker's session lives under the accepted losses that it began with (see loss.go). This is how it
// learns of others, and what it does to the group's offsets.

// errChanged ends a session that began with other topics, or before a loss was accepted.
var errChanged = errors.New("topics were made again, or a loss was accepted, since the session began")

// stamp adds the epochs to a transaction's commit.
func (w *worker) stamp(req *kmsg.TxnOffsetCommitRequest) error {
	w.accepted.Stamp(req, func(topic string) string {
		if t := w.p.types[topic]; t != nil {
			return t.Name
		}
		return ""
	})
	return nil
}

// where says where to read commands: at the committed offsets, but where those are of a lost topic.
func (w *worker) where(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	adm := kadm.NewClient(w.p.admin)
	for topic, partitions := range offsets {
		t := w.p.types[topic]
		for n := range partitions {
			a := w.accepted.Of(t.Name, n)
			if a == nil || a.Commands == nil {
				continue
			}
			committed, mark, err := partlog.StableOffset(ctx, adm, w.p.cfg.Group, topic, n, func(context.Context) error { return nil })
			if err != nil {
				return nil, err
			}
			if committed < 0 || topology.MarkedEpoch(mark) < a.LostAt(topic) {
				partitions[n] = kgo.NewOffset().At(a.Commands.Next)
			}
		}
	}
	return offsets, nil
}

// watch looks, now and then, whether an operator has accepted a loss, whether what a stopped partition
// misses has come back, and whether the topics of those that serve are still the same: a client is slow to tell.
//
// It also ends what hangs of a departed owner in the group's offsets: the client does not ask for more of a partition, or
// restore it, before that is decided.
func (w *worker) watch(life context.Context, cl *kgo.Client, offsets kadm.TopicsSet) {
	tick := time.NewTicker(w.p.cfg.LookEvery)
	defer tick.Stop()
	for {
		select {
		case <-life.Done():
			return
		case <-tick.C:
		}
		if err := w.p.hanging(w.log).End(life, offsets); err != nil && life.Err() == nil {
			w.log.Debug("looking for transactions that hang", "err", err)
		}
		accepted, err := topology.Accepted(life, w.p.admin, w.p.cfg.Kafka, w.p.cfg.Prefix)
		if err != nil {
			if life.Err() == nil {
				w.log.Warn("looking for accepted losses of the log", "err", err)
			}
			continue
		}
		there := map[string]described{}
		for topic, t := range w.p.types {
			if d, err := w.p.describe(life, t); err == nil { // a topic that is not there says so by itself
				there[topic] = d
			}
		}
		w.mu.Lock()
		for tp, o := range w.mu.owned {
			_, replaced := there[tp.topic].replaced(topology.TopicsOf(w.p.cfg.Prefix, w.p.types[tp.topic].Name), accepted.Of(w.p.types[tp.topic].Name, tp.number))
			if w.changed(accepted, tp) || replaced && o.state == serving {
				w.renewLocked()
			} else if o.state == stopped && errors.Is(o.err, errLost) && o.ended() && time.Now().After(o.look) {
				w.restoreLocked(life, cl, o)
			}
		}
		w.mu.Unlock()
	}
}

// ended reports whether the goroutine that restores it has ended.
func (o *owned) ended() bool {
	select {
	case <-o.restored:
		return true
	default:
		return false
	}
}

// changed reports whether the partition's acceptance is another one than the session began with.
func (w *worker) changed(accepted topology.Acceptances, tp topicPartition) bool {
	name := w.p.types[tp.topic].Name
	return accepted.Of(name, tp.number).Since() != w.accepted.Of(name, tp.number).Since()
}

// renewLocked has the session end after the transaction in hand.
func (w *worker) renewLocked() {
	w.mu.renew = true
	if w.mu.wake != nil {
		w.mu.wake()
	}
}
