package producer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/schemas/record"
)

// restorer brings the stores of newly assigned partitions up to the log.
type restorer struct {
	opts  []kgo.Opt
	admin *kgo.Client
	group string
	log   *slog.Logger
	// progress, where set, is told how many of how many events have been read.
	progress func(p *partition, done, total int64)
}

// restore reads what the log has beyond the partition's checkpoint, behind a barrier: when it returns,
// every event of every transaction that this partition's former owners could commit is in the store.
//
// The order matters. First the group's offset, once no transaction that commits one is pending: then
// no earlier owner can commit any more. Then the uncommitted ends of events and outcomes. Then what
// is committed up to there. A transaction's offset can be visible before the markers of its events
// (KAFKA-10167), so reading up to the committed end alone would miss them.
//
// It returns the offset of the next command. Errors wrap event.ErrUnavailable (try again) or
// event.ErrCorrupt (the log and the store contradict each other: an operator must look).
func (rs *restorer) restore(ctx context.Context, p *partition, eventsID [16]byte) (next int64, err error) {
	adm := kadm.NewClient(rs.admin)
	committed, err := stableOffset(ctx, adm, rs.group, p.topics.Commands, p.number, rs.stuck(p, p.topics.Events, p.topics.Outcomes))
	if err != nil {
		return 0, err
	}
	end, err := ends(ctx, adm, p.number, p.topics.Events, p.topics.Outcomes, p.topics.Snapshots)
	if err != nil {
		return 0, err
	}
	cp, ok, err := p.store.checkpoint()
	if err != nil || ok && (cp.Codec != p.typ.Codec.Version() || cp.Fingerprint != p.typ.Fingerprint) {
		rs.log.Info("discarding the local store: it is of another codec or fold", "partition", p.String(), "err", err)
		ok = false
	}
	if ok {
		if cp.EventsID != eventsID {
			return 0, lost(p, "the topic %s was deleted and made again", p.topics.Events)
		}
		if cp.NextEvent > end[p.topics.Events] {
			return 0, lost(p, "%s ends at offset %d, but events up to %d were processed", p.topics.Events, end[p.topics.Events], cp.NextEvent)
		}
		p.cp = cp
		err = rs.tail(ctx, p, end)
		if errors.Is(err, errGap) {
			rs.log.Warn("the local store has a gap: making it again from the log", "partition", p.String(), "err", err)
			ok = false
		} else if err != nil {
			return 0, err
		}
	}
	for snapshots := true; !ok; snapshots = false {
		if err := rs.scratch(ctx, p, eventsID, end, snapshots); err == nil {
			ok = true
		} else if !errors.Is(err, errGap) || !snapshots {
			return 0, err
		}
	}
	p.cache.clear()
	p.filter = newFilter(p.limits.windowCount)
	if err := p.store.fill(p.filter); err != nil {
		return 0, fmt.Errorf("restore %s: %w", p, err)
	}
	p.round = round{last: time.Now(), events: p.round.events}
	next = p.cp.NextCommand
	if committed >= 0 {
		next = committed
	}
	return next, nil
}

func lost(p *partition, format string, args ...any) error {
	return fmt.Errorf("%w: partition %s: the log lost data: %s; "+
		"look at the brokers first, then run `cqrsflow topology accept-loss` to go on without it", event.ErrCorrupt, p, fmt.Sprintf(format, args...))
}

// errGap says that an event does not follow what the store has. It is the store's fault as long as the
// log can be read again from further back.
var errGap = fmt.Errorf("%w: version gap", event.ErrCorrupt)

// scratch makes the store again from the log, beginning with the snapshots topic unless that failed.
func (rs *restorer) scratch(ctx context.Context, p *partition, eventsID [16]byte, end map[string]int64, snapshots bool) error {
	if err := p.store.clear(); err != nil {
		return fmt.Errorf("restore %s: %w", p, err)
	}
	p.cp = checkpoint{Codec: p.typ.Codec.Version(), Fingerprint: p.typ.Fingerprint, EventsID: eventsID, LastAppend: -1}
	adm := kadm.NewClient(rs.admin)
	since, err := adm.ListOffsetsAfterMilli(ctx, time.Now().Add(-p.limits.windowAge).UnixMilli(), p.topics.Outcomes)
	from, err := offsets(since, err, p.number, []string{p.topics.Outcomes})
	if err != nil {
		return err
	}
	p.cp.NextOutcome = max(0, from[p.topics.Outcomes])
	if snapshots {
		if err := rs.snapshots(ctx, p, end[p.topics.Snapshots]); err != nil {
			return err
		}
	}
	return rs.tail(ctx, p, end)
}

// snapshots loads the snapshots topic. Where one is unusable, none is used: the events have everything.
func (rs *restorer) snapshots(ctx context.Context, p *partition, end int64) error {
	w := newRestoreBatch(p)
	defer w.close()
	usable, next := true, int64(0)
	s := span{topic: p.topics.Snapshots, partition: p.number, to: end}
	err := readLog(ctx, rs.opts, s, true, rs.stuck(p, s.topic), func(r *kgo.Record) error {
		switch {
		case !usable || !r.Attrs.IsTransactional() || r.Value == nil:
			return nil
		case string(r.Key) == markerKey:
			m, ok := parseMarker(r.Value, &p.cp)
			if usable = ok; ok {
				next = m.EventOffset
				p.cp.LastAppend = max(p.cp.LastAppend, m.AppendOffset-1)
				p.cp.NextCommand = max(p.cp.NextCommand, m.CommandOffset)
			}
			return nil
		case strings.HasPrefix(string(r.Key), "!"):
			return nil
		}
		h, state, ok := p.parseSnapshot(r)
		if usable = ok; !ok {
			return nil
		}
		return w.snapshot(event.StreamID(r.Key), h, state)
	})
	if err != nil {
		return fmt.Errorf("restore %s: %w", p, err)
	}
	if !usable || next == 0 {
		rs.log.Info("no usable snapshots: reading all events", "partition", p.String())
		p.cp.LastAppend, p.cp.NextCommand = -1, 0
		return p.store.clear()
	}
	p.cp.NextEvent = next
	return w.flush()
}

// tail reads events, then outcomes, from the checkpoint up to the ends.
func (rs *restorer) tail(ctx context.Context, p *partition, end map[string]int64) error {
	w := newRestoreBatch(p)
	defer w.close()
	var names record.Names
	var env event.Envelope
	s := span{topic: p.topics.Events, partition: p.number, from: p.cp.NextEvent, to: end[p.topics.Events]}
	began := s.from
	err := readLog(ctx, rs.opts, s, false, rs.stuck(p, s.topic), func(r *kgo.Record) error {
		if rs.progress != nil && r.Offset%1024 == 0 {
			rs.progress(p, r.Offset-began, s.to-began)
		}
		if err := record.ParseEvent(r, p.typ.Name, &names, &env); err != nil {
			rs.log.Warn("skipping a record", "err", err)
			return nil
		}
		return w.event(&env)
	})
	if err != nil {
		return fmt.Errorf("restore %s: %w", p, err)
	}
	w.cp.NextEvent = max(w.cp.NextEvent, s.to)
	s = span{topic: p.topics.Outcomes, partition: p.number, from: p.cp.NextOutcome, to: end[p.topics.Outcomes]}
	err = readLog(ctx, rs.opts, s, false, rs.stuck(p, s.topic), func(r *kgo.Record) error {
		o, err := record.ParseOutcome(r, p.typ.Name, &names)
		if err != nil {
			rs.log.Warn("skipping a record", "err", err)
			return nil
		}
		return w.outcome(&o)
	})
	if err != nil {
		return fmt.Errorf("restore %s: %w", p, err)
	}
	w.cp.NextOutcome = max(w.cp.NextOutcome, s.to)
	p.round.events += w.events
	return w.flush()
}

// stuck ends what departed owners have left open in the partition of the topics.
func (rs *restorer) stuck(p *partition, topics ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, topic := range topics {
			if err := unblock(ctx, rs.admin, rs.group+"-", topic, p.number, rs.log); err != nil && ctx.Err() == nil {
				rs.log.Warn("cannot end a departed owner's transaction: waiting until it times out", "partition", p.String(), "err", err)
			}
		}
		return nil
	}
}

// restoreBatch writes what was read into the store, in steps, each with the checkpoint that covers it.
type restoreBatch struct {
	p     *partition
	cp    checkpoint
	batch *pebble.Batch
	heads map[event.StreamID]*head
	// command collects the event types of the command being read.
	command []string
	known   map[knownKey]*known
	events  int64
	scratch []byte
}

func newRestoreBatch(p *partition) *restoreBatch {
	return &restoreBatch{p: p, cp: p.cp, batch: p.store.db.NewBatch(), heads: map[event.StreamID]*head{}, known: map[knownKey]*known{}}
}

const restoreBatchBytes = 4 << 20

func (w *restoreBatch) head(id event.StreamID) (*head, error) {
	if h, ok := w.heads[id]; ok {
		return h, nil
	}
	h, _, err := w.p.store.head(id)
	if err != nil {
		return nil, err
	}
	w.heads[id] = &h
	return &h, nil
}

func (w *restoreBatch) snapshot(id event.StreamID, h head, state []byte) error {
	if err := w.batch.Set(append([]byte{kSnapshot}, id...), state, nil); err != nil {
		return err
	}
	w.heads[id] = &h
	return w.step()
}

func (w *restoreBatch) event(e *event.Envelope) error {
	h, err := w.head(e.Stream)
	if err != nil {
		return err
	}
	if e.Version <= h.Version && e.Offset <= h.Offset {
		return w.seen(e) // a snapshot made after the marker has it
	}
	if e.Version != h.Version+1 {
		return fmt.Errorf("%w: stream %s/%s has version %d at offset %d after version %d at offset %d",
			errGap, w.p.typ.Name, e.Stream, e.Version, e.Offset, h.Version, h.Offset)
	}
	if h.Inline != nil { // its events follow a snapshot from here on
		if err := w.batch.Set(append([]byte{kSnapshot}, e.Stream...), h.Inline, nil); err != nil {
			return err
		}
		h.Snapshot, h.Inline = h.Version, nil
	}
	if err := putEvent(w.batch, e); err != nil {
		return err
	}
	h.Version, h.Offset = e.Version, e.Offset
	h.RecordedTime, h.EffectiveMax = e.RecordedTime.UnixNano(), max(h.EffectiveMax, e.Time.UnixNano())
	if !h.Dirty {
		h.Dirty = true
		if err := w.batch.Set(append([]byte{kDirty}, e.Stream...), nil, nil); err != nil {
			return err
		}
	}
	w.events++
	return w.seen(e)
}

// seen takes note of the event's command: a command that has events was accepted, whether or not its
// outcome is there.
func (w *restoreBatch) seen(e *event.Envelope) error {
	w.cp.LastAppend = max(w.cp.LastAppend, e.CommandOffset)
	w.cp.NextCommand = max(w.cp.NextCommand, e.CommandOffset+1)
	w.command = append(w.command, e.Type)
	if e.LastOfCommand {
		w.known[knownKeyOf(e.Stream, e.Principal, e.CausationID)] = &known{Offset: e.CommandOffset, Recorded: e.RecordedTime.UnixNano(), Version: e.Version, Types: w.command}
		w.command = nil
		w.cp.NextEvent = e.Offset + 1
		return w.step()
	}
	return nil
}

// outcome completes the window: digests, and accepted commands that had nothing to do. An accepted
// outcome whose events are not there does not count: its transaction was torn by the end of a broker
// that commits partition by partition (kfake does).
func (w *restoreBatch) outcome(o *event.Outcome) error {
	w.cp.NextCommand = max(w.cp.NextCommand, o.CommandOffset+1)
	if o.Kind != event.Accepted || o.Replayed {
		return nil
	}
	key := knownKeyOf(o.Stream, o.Principal, o.CommandID)
	k, ok := w.known[key]
	if !ok {
		found, exists, err := w.p.store.known(w.cp.Epoch, key)
		if err != nil {
			return err
		}
		if exists {
			k, ok = &found, true
		}
	}
	switch {
	case ok && k.Offset == o.CommandOffset:
		k.Digest = o.Digest
	case ok || len(o.Events) > 0:
		return nil
	default:
		k = &known{Offset: o.CommandOffset, Recorded: o.RecordedTime.UnixNano(), Version: o.Version, Digest: o.Digest}
	}
	w.known[key] = k
	w.cp.NextOutcome = o.Offset + 1
	return w.step()
}

// step flushes when enough has come together. It is only called between commands.
func (w *restoreBatch) step() error {
	if w.batch.Len() < restoreBatchBytes && len(w.known) < 50_000 {
		return nil
	}
	return w.flush()
}

func (w *restoreBatch) flush() error {
	var err error
	for id, h := range w.heads {
		w.scratch = h.append(w.scratch[:0])
		if err := w.batch.Set(append([]byte{kHead}, id...), w.scratch, nil); err != nil {
			return err
		}
	}
	for key, k := range w.known {
		if w.scratch, err = putKnown(w.batch, &w.cp, &w.p.limits, key, k, w.scratch); err != nil {
			return err
		}
	}
	if err := w.batch.Set([]byte{kCheckpoint}, w.cp.append(nil), nil); err != nil {
		return err
	}
	if err := w.batch.Commit(pebble.NoSync); err != nil {
		return err
	}
	w.p.cp = w.cp
	w.batch.Reset()
	clear(w.heads)
	clear(w.known)
	return nil
}

func (w *restoreBatch) close() { _ = w.batch.Close() }

// clear empties the store.
func (s *store) clear() error {
	return errors.Join(s.db.DeleteRange([]byte{0}, []byte{0xff}, pebble.NoSync), s.db.Flush())
}
