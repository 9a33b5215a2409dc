package producer

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/topology"
)

// The log is the truth, so a store that contradicts it is made again from it. But where the log has less
// than was read from it before, it is the log that lost something, and whoever went on would decide
// against a state that nobody was ever told of, under versions that others have given already. So the
// partition stops, until an operator has written down that the loss is accepted (topology.Accepted). What
// was made under an earlier epoch of these acceptances does not count then: the local store is set aside,
// snapshots and markers are skipped, and so are the group's offset and the command offsets that events
// and outcomes name, where it was commands that were lost.
//
// A session lives under the acceptances that it began with: its clients know the topics that were there
// then. When others are found, a new one begins.

// errLost says that the log lost what the store, the group or a snapshot has seen of it.
var errLost = fmt.Errorf("%w: the log lost data", event.ErrCorrupt)

func lost(p *partition, topic, format string, args ...any) error {
	return fmt.Errorf("%w: partition %s: %s; look at the brokers first: what comes back is not lost; "+
		"to go on without it, run `cqrsflow topology accept-loss --lost %s/%d`", errLost, p, fmt.Sprintf(format, args...), topic, p.number)
}

// replaced names a topic that is another one than the recorded one, or the one accepted since.
func (d described) replaced(topics topology.Topics, accepted *topology.Acceptance) (topic string, ok bool) {
	for _, topic := range []string{topics.Events, topics.Commands, topics.Outcomes} {
		if id, ok := d.recorded[topic]; ok && id != d.ids[topic] && !accepted.Has(topic, d.ids[topic]) {
			return topic, true
		}
	}
	return "", false
}

// contradiction reports what the store has seen and the log does not have.
func (p *partition) contradiction(cp *checkpoint, log bounds) error {
	why, noted, err := p.store.lost()
	if err != nil {
		return fmt.Errorf("restore %s: %w", p, err)
	}
	events, outcomes := p.topics.Events, p.topics.Outcomes
	switch {
	case noted:
		return lost(p, why.topic, "%s", why.what)
	case cp.EventsID != log.eventsID:
		return lost(p, events, "topic %s was deleted and made again", events)
	case cp.NextEvent > log.end[events]:
		return lost(p, events, "%s ends at offset %d, but events up to %d were processed", events, log.end[events], cp.NextEvent)
	case cp.NextOutcome > log.end[outcomes]:
		return lost(p, outcomes, "%s ends at offset %d, but outcomes up to %d were written", outcomes, log.end[outcomes], cp.NextOutcome)
	}
	return nil
}

// regressed reports, between writing a transaction and committing it, records that were given offsets
// which the store has seen taken: the log was cut off under this partition.
func (p *partition) regressed() (lostWhat, bool) {
	if len(p.over.events) > 0 && p.over.events[0].record.Offset < p.cp.NextEvent {
		return lostWhat{p.topics.Events, fmt.Sprintf("an event was given offset %d, but events up to %d were processed", p.over.events[0].record.Offset, p.cp.NextEvent)}, true
	}
	if p.over.firstOutcome != nil && p.over.firstOutcome.Offset < p.cp.NextOutcome {
		return lostWhat{p.topics.Outcomes, fmt.Sprintf("an outcome was given offset %d, but outcomes up to %d were written", p.over.firstOutcome.Offset, p.cp.NextOutcome)}, true
	}
	return lostWhat{}, false
}

// lostWhat is what a store keeps of a loss that it met while it served: the log may have grown beyond it
// by the time that it is opened again.
type lostWhat struct{ topic, what string }

func (s *store) setLost(l lostWhat) error {
	return errors.Join(s.db.Set([]byte{kLost}, []byte(l.topic+"\x00"+l.what), pebble.NoSync), s.db.Flush())
}

func (s *store) lost() (l lostWhat, ok bool, err error) {
	ok, err = s.get([]byte{kLost}, func(b []byte) error {
		l.topic, l.what, _ = strings.Cut(string(b), "\x00")
		return nil
	})
	return l, ok, err
}

// setAside renames the store's folder and opens an empty one. It is kept: it may be the only place that
// still tells of what was lost.
func (p *Processor) setAside(part *partition) error {
	if part.store != nil {
		if err := part.store.close(); err != nil {
			p.cfg.Logger.Warn("closing a local store", "partition", part.String(), "err", err)
		}
		part.store = nil
		aside := part.dir + ".lost-" + strconv.FormatInt(time.Now().Unix(), 10)
		if err := os.Rename(part.dir, aside); err != nil {
			return fmt.Errorf("set the local store of %s aside: %w", part, err)
		}
		p.cfg.Logger.Warn("the loss of the log was accepted: the local store is set aside, and made again from what the log has",
			"partition", part.String(), "aside", aside, "accepted", time.UnixMilli(part.accepted.Since()).UTC())
	}
	var err error
	part.store, err = openStore(part.dir, p.cache, pebbleLog{p.cfg.Logger})
	return err
}

// commandsLoss is what is accepted of the commands; the zero value where none were lost.
func (p *partition) commandsLoss() topology.CommandsLoss {
	if p.accepted == nil || p.accepted.Commands == nil {
		return topology.CommandsLoss{}
	}
	return *p.accepted.Commands
}

// ofLost reports whether a command ID was made from the offset of a command that is lost: another
// command has, or will have, that offset and ID.
func (p *partition) ofLost(id string, offset int64) bool {
	return id == strconv.Itoa(int(p.number))+"-"+strconv.FormatInt(offset, 10)
}
