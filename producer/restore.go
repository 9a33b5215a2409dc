package producer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/partlog"
	"github.com/cqrsflow/cqrsflow/schemas/record"
	"github.com/cqrsflow/cqrsflow/topology"
)

// restorer brings the stores of newly assigned partitions up to the log.
type restorer struct {
	opts  []kgo.Opt
	admin *kgo.Client
	group string
	log   *slog.Logger
	// progress, where set, is told how many of how many events have been read.
	progress func(p *partition, done, total int64)
	// described are the topics; setAside replaces a store whose log's loss was accepted.
	described
	setAside func(*partition) error
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
func (rs *restorer) restore(ctx context.Context, p *partition) (next int64, err error) {
	if topic, ok := rs.replaced(p.topics, p.accepted); ok {
		return 0, lost(p, topic, "topic %s was deleted and made again", topic)
	}
	adm := kadm.NewClient(rs.admin)
	committed, mark, err := partlog.StableOffset(ctx, adm, rs.group, p.topics.Commands, p.number, rs.stuck(p, p.topics.Events, p.topics.Outcomes))
	if err != nil {
		return 0, err
	}
	if topology.MarkedEpoch(mark) < p.accepted.LostAt(p.topics.Commands) {
		committed = -1 // of commands that are lost
	}
	end, err := partlog.Ends(ctx, adm, p.number, p.topics.All()...)
	if err != nil {
		return 0, err
	}
	start, err := partlog.Starts(ctx, adm, p.number, p.topics.Events, p.topics.Outcomes)
	if err != nil {
		return 0, err
	}
	log := bounds{start: start, end: end, eventsID: rs.ids[p.topics.Events], committed: committed}
	var cp checkpoint
	ok := p.store != nil
	if ok {
		cp, ok, err = p.store.checkpoint()
	}
	switch {
	case p.store == nil, ok && err == nil && cp.Loss < p.accepted.Since():
		if err := rs.setAside(p); err != nil {
			return 0, fmt.Errorf("restore %s: %w", p, err)
		}
		ok = false
	case ok && err == nil:
		if err := p.contradiction(&cp, log); err != nil {
			return 0, err
		}
	}
	if err != nil || ok && (cp.Codec != p.typ.Codec.Version() || cp.Fingerprint != p.typ.Fingerprint) {
		rs.log.Info("discarding the local store: it is of another codec or fold", "partition", p.String(), "err", err)
		ok = false
	}
	if ok && p.damaged {
		rs.log.Warn("discarding the local store: it is damaged", "partition", p.String())
		ok = false
	}
	if first := start[p.topics.Events]; ok && first > cp.NextEvent {
		rs.log.Warn("the events begin after what the local store has of them: making it again from snapshots", "partition", p.String(), "begin", first, "next", cp.NextEvent)
		ok = false
	}
	if ok {
		p.cp = cp
		err = rs.tail(ctx, p, log, p.cp.NextEvent, false)
		if errors.Is(err, errGap) {
			rs.log.Warn("the local store has a gap: making it again from the log", "partition", p.String(), "err", err)
			ok = false
		} else if err != nil {
			return 0, err
		}
	}
	for snapshots := true; !ok; snapshots = false {
		if err := rs.scratch(ctx, p, log, snapshots); err == nil {
			ok = true
		} else if errors.Is(err, errGap) && !snapshots {
			return 0, fmt.Errorf("%w. The log itself is like that: events are missing, or something besides the processor wrote there. Nothing is decided on it; "+
				"see who may write to the topic and what `cqrsflow topology verify` says, put back what is missing, and restart the processor", err)
		} else if !errors.Is(err, errGap) {
			return 0, err
		}
	}
	p.damaged = false
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
	if last := end[p.topics.Commands]; next > last {
		return 0, lost(p, p.topics.Commands, "%s ends at offset %d, but commands up to %d were decided", p.topics.Commands, last, next)
	}
	return next, nil
}

// headless is the error of a log without its beginning, where no snapshots make up for it.
func headless(p *partition, first int64) error {
	return fmt.Errorf("%w: partition %s: %s begins at offset %d, and no snapshots tell of the events before it. Streams without their beginning cannot be read, so there is nothing to accept; "+
		"put back what is missing, set the topic's retention right with `cqrsflow topology apply`, and restart the processor", event.ErrCorrupt, p, p.topics.Events, first)
}

// errGap says that an event does not follow what the store has. It is the store's fault as long as the
// log can be read again from further back.
var errGap = fmt.Errorf("%w: version gap", event.ErrCorrupt)

// bounds are what a partition's topics hold, as of the barrier.
type bounds struct {
	start, end map[string]int64
	eventsID   [16]byte
	// committed is the group's offset; -1 for none.
	committed int64
}

// scratch makes the store again from the log, beginning with the snapshots topic unless that failed.
func (rs *restorer) scratch(ctx context.Context, p *partition, log bounds, snapshots bool) error {
	if err := p.store.clear(); err != nil {
		return fmt.Errorf("restore %s: %w", p, err)
	}
	p.cp = checkpoint{Codec: p.typ.Codec.Version(), Fingerprint: p.typ.Fingerprint, EventsID: log.eventsID, LastAppend: -1,
		Loss: p.accepted.Since(), NextCommand: p.commandsLoss().Next}
	// The window needs what is recent, whatever the snapshots already cover. Without a committed offset
	// the last outcome says where to go on, however old it is.
	recent := map[string]int64{p.topics.Events: 0, p.topics.Outcomes: 0}
	if log.committed >= 0 {
		since := time.Now().Add(-p.limits.windowAge).UnixMilli()
		var err error
		if recent, err = partlog.Since(ctx, kadm.NewClient(rs.admin), p.number, since, p.topics.Events, p.topics.Outcomes); err != nil {
			return err
		}
	}
	p.cp.NextOutcome = max(0, recent[p.topics.Outcomes])
	from, empty := int64(0), true
	if snapshots {
		covered, err := rs.snapshots(ctx, p, log)
		if err != nil {
			return err
		}
		if first := log.start[p.topics.Events]; first > covered && p.accepted.LostAt(p.topics.Events) == 0 {
			return headless(p, first)
		}
		from, empty = min(covered, max(0, recent[p.topics.Events])), covered == 0
	}
	return rs.tail(ctx, p, log, from, empty)
}

// snapshots loads the snapshots topic and returns from which event on they do not cover the log; 0
// where they are of no use. Where one is unusable, none is used: the events have everything.
func (rs *restorer) snapshots(ctx context.Context, p *partition, log bounds) (covered int64, err error) {
	w := newRestoreBatch(p)
	defer w.close()
	usable := true
	last := log.end[p.topics.Events]
	s := partlog.Span{Topic: p.topics.Snapshots, Partition: p.number, To: log.end[p.topics.Snapshots]}
	err = partlog.Read(ctx, rs.opts, s, partlog.Settled(kadm.NewClient(rs.admin), s), rs.stuck(p, s.Topic), func(r *kgo.Record) error {
		switch {
		case !usable || !r.Attrs.IsTransactional() || r.Value == nil:
			return nil
		case string(r.Key) == markerKey:
			m, old, ok := parseMarker(r.Value, &p.cp)
			if old {
				return nil
			}
			if usable = ok; ok {
				covered = m.EventOffset
				w.cp.LastAppend = max(w.cp.LastAppend, m.AppendOffset-1)
				w.cp.NextCommand = max(w.cp.NextCommand, m.CommandOffset)
			}
			if ok && covered > last {
				return lost(p, p.topics.Events, "%s ends at offset %d, but there are snapshots of events up to %d", p.topics.Events, last, covered)
			}
			return nil
		case strings.HasPrefix(string(r.Key), "!"):
			return nil
		}
		h, state, old, ok := p.parseSnapshot(r)
		if old {
			return nil
		}
		if usable = ok; !ok {
			return nil
		}
		if h.Offset >= last {
			return lost(p, p.topics.Events, "%s ends at offset %d, but there is a snapshot of %s as of the event at %d", p.topics.Events, last, r.Key, h.Offset)
		}
		return w.snapshot(event.StreamID(r.Key), h, state)
	})
	if err != nil {
		return 0, fmt.Errorf("restore %s: %w", p, err)
	}
	if !usable || covered == 0 {
		rs.log.Info("no usable snapshots: reading all events", "partition", p.String())
		p.cp.LastAppend, p.cp.NextCommand = -1, p.commandsLoss().Next
		return 0, p.store.clear()
	}
	return covered, w.flush()
}

// tail reads events from the given offset on, and outcomes from the checkpoint's, up to the ends, side
// by side in the order of their commands, so that the window is filled as it was when they were decided.
// empty says that the store has nothing yet.
func (rs *restorer) tail(ctx context.Context, p *partition, log bounds, from int64, empty bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := newRestoreBatch(p)
	w.all = empty
	defer w.close()
	outcomes := make(chan event.Outcome, 1024)
	read := make(chan error, 1)
	so := partlog.Span{Topic: p.topics.Outcomes, Partition: p.number, From: max(p.cp.NextOutcome, log.start[p.topics.Outcomes]), To: log.end[p.topics.Outcomes]}
	go func() {
		defer close(outcomes)
		var names record.Names
		read <- partlog.Read(ctx, rs.opts, so, nil, rs.stuck(p, so.Topic), func(r *kgo.Record) error {
			o, err := record.ParseOutcome(r, p.typ.Name, &names)
			if err != nil {
				rs.log.Warn("skipping a record", "err", err)
				return nil
			}
			select {
			case outcomes <- o:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	var next *event.Outcome
	// Command offsets start over where commands were lost: those since come after all before.
	since := p.commandsLoss()
	order := func(lost bool, offset int64) int64 {
		if lost {
			return offset - math.MaxInt64/2
		}
		return offset
	}
	// before hands on the outcomes of the commands before the offset, and returns that of the one at it.
	before := func(offset int64) (*event.Outcome, error) {
		for {
			if next == nil {
				o, ok := <-outcomes
				if !ok {
					return nil, nil
				}
				next = &o
			}
			if at := order(next.Offset < since.Outcomes, next.CommandOffset); at >= offset {
				if at == offset {
					return next, nil
				}
				return nil, nil
			}
			if err := w.outcome(next); err != nil {
				return nil, err
			}
			next = nil
		}
	}
	var names record.Names
	var env event.Envelope
	s := partlog.Span{Topic: p.topics.Events, Partition: p.number, From: max(from, log.start[p.topics.Events]), To: log.end[p.topics.Events]}
	err := partlog.Read(ctx, rs.opts, s, nil, rs.stuck(p, s.Topic), func(r *kgo.Record) error {
		if rs.progress != nil && r.Offset%1024 == 0 {
			rs.progress(p, r.Offset-s.From, s.To-s.From)
		}
		if err := record.ParseEvent(r, p.typ.Name, &names, &env); err != nil {
			rs.log.Warn("skipping a record", "err", err)
			return nil
		}
		var o *event.Outcome
		if env.LastOfCommand {
			var err error
			if o, err = before(order(env.Offset < since.Events, env.CommandOffset)); err != nil {
				return err
			}
		}
		return w.event(&env, o)
	})
	if err == nil {
		_, err = before(math.MaxInt64)
	}
	if err == nil {
		err = <-read
	}
	cancel()
	for range outcomes { // let the reader end
	}
	if err != nil {
		return fmt.Errorf("restore %s: %w", p, err)
	}
	w.cp.NextEvent, w.cp.NextOutcome = max(w.cp.NextEvent, s.To), max(w.cp.NextOutcome, so.To)
	p.round.events += w.events
	return w.flush()
}

func (rs *restorer) hanging() partlog.Hanging {
	return partlog.Hanging{Admin: rs.admin, Kafka: rs.opts, Prefix: rs.group + "-", Log: rs.log}
}

// stuck ends what departed owners have left open in the partition of the topics.
func (rs *restorer) stuck(p *partition, topics ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, topic := range topics {
			if err := rs.hanging().Unblock(ctx, topic, p.number); err != nil && ctx.Err() == nil {
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
	// heads are those looked at so far, up to a number; changed are the streams whose head is to be written.
	heads map[event.StreamID]*restoredHead
	// all says that heads has every stream that the store has, so that others need not be looked up.
	all     bool
	changed []event.StreamID
	// command collects the event types of the command being read; known the window's new entries, in order.
	command []string
	known   []knownEntry
	events  int64
	scratch []byte
}

type restoredHead struct {
	head
	changed bool
}

func newRestoreBatch(p *partition) *restoreBatch {
	return &restoreBatch{p: p, cp: p.cp, batch: p.store.db.NewBatch(), heads: map[event.StreamID]*restoredHead{}}
}

const (
	restoreBatchBytes = 4 << 20
	restoreHeads      = 50_000
)

func (w *restoreBatch) head(id event.StreamID) (*restoredHead, error) {
	if h, ok := w.heads[id]; ok {
		return h, nil
	}
	h := &restoredHead{}
	if !w.all {
		var err error
		if h.head, _, err = w.p.store.head(id); err != nil {
			return nil, err
		}
	}
	w.heads[id] = h
	return h, nil
}

// change has the head written with the batch.
func (w *restoreBatch) change(id event.StreamID, h *restoredHead) {
	if !h.changed {
		h.changed = true
		w.changed = append(w.changed, id)
	}
}

func (w *restoreBatch) snapshot(id event.StreamID, h head, state []byte) error {
	if err := w.batch.Set(append([]byte{kSnapshot}, id...), state, nil); err != nil {
		return err
	}
	r := &restoredHead{head: h}
	w.heads[id] = r
	w.change(id, r)
	return w.step()
}

// event takes an event, and its command's outcome where it is the command's last and there is one.
func (w *restoreBatch) event(e *event.Envelope, o *event.Outcome) error {
	h, err := w.head(e.Stream)
	if err != nil {
		return err
	}
	if e.Version <= h.Version && e.Offset <= h.Offset {
		return w.seen(e, o) // a snapshot made after the marker has it
	}
	if e.Version != h.Version+1 {
		return fmt.Errorf("%w: in %s/%d stream %s has version %d at offset %d after version %d at offset %d",
			errGap, w.p.topics.Events, w.p.number, e.Stream, e.Version, e.Offset, h.Version, h.Offset)
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
	w.change(e.Stream, h)
	h.Version, h.Offset = e.Version, e.Offset
	h.RecordedTime, h.EffectiveMax = e.RecordedTime.UnixNano(), max(h.EffectiveMax, e.Time.UnixNano())
	if !h.Dirty {
		h.Dirty = true
		if err := w.batch.Set(append([]byte{kDirty}, e.Stream...), nil, nil); err != nil {
			return err
		}
	}
	w.events++
	return w.seen(e, o)
}

// seen takes note of the event's command: a command that has events was accepted, whether or not its
// outcome is there.
func (w *restoreBatch) seen(e *event.Envelope, o *event.Outcome) error {
	ofLost := e.Offset < w.p.commandsLoss().Events
	if !ofLost {
		w.cp.LastAppend = max(w.cp.LastAppend, e.CommandOffset)
		w.cp.NextCommand = max(w.cp.NextCommand, e.CommandOffset+1)
	}
	w.command = append(w.command, e.Type)
	if !e.LastOfCommand {
		return nil
	}
	k := known{Offset: e.CommandOffset, Recorded: e.RecordedTime.UnixNano(), Version: e.Version, Types: w.command}
	if o != nil && o.CommandID == e.CausationID {
		k.digested(o.Digest)
	}
	if !ofLost || !w.p.ofLost(e.CausationID, e.CommandOffset) {
		w.known = append(w.known, knownEntry{knownKeyOf(e.Stream, e.Principal, e.CausationID), k})
	}
	w.command = nil
	w.cp.NextEvent = max(w.cp.NextEvent, e.Offset+1)
	return w.step()
}

// outcome takes the outcome of a command that has no events here. An accepted one that claims some does
// not count: its transaction was torn by the end of a broker that commits partition by partition (kfake
// does), or they are older than what is read.
func (w *restoreBatch) outcome(o *event.Outcome) error {
	w.cp.NextOutcome = max(w.cp.NextOutcome, o.Offset+1)
	ofLost := o.Offset < w.p.commandsLoss().Outcomes
	if !ofLost {
		w.cp.NextCommand = max(w.cp.NextCommand, o.CommandOffset+1)
	}
	if ofLost && w.p.ofLost(o.CommandID, o.CommandOffset) {
		return nil
	}
	if o.Kind != event.Accepted || o.Replayed || len(o.Events) > 0 {
		return nil
	}
	k := known{Offset: o.CommandOffset, Recorded: o.RecordedTime.UnixNano(), Version: o.Version}
	k.digested(o.Digest)
	w.known = append(w.known, knownEntry{knownKeyOf(o.Stream, o.Principal, o.CommandID), k})
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
	for _, id := range w.changed {
		h := w.heads[id]
		h.changed = false
		w.scratch = h.append(w.scratch[:0])
		if err := w.batch.Set(append([]byte{kHead}, id...), w.scratch, nil); err != nil {
			return err
		}
	}
	for i := range w.known {
		if w.scratch, err = putKnown(w.batch, &w.cp, &w.p.limits, w.known[i].key, &w.known[i].known, w.scratch); err != nil {
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
	if len(w.heads) > restoreHeads {
		clear(w.heads)
		w.all = false
	}
	w.changed, w.known = w.changed[:0], w.known[:0]
	return nil
}

func (w *restoreBatch) close() { _ = w.batch.Close() }

// clear empties the store.
func (s *store) clear() error {
	return errors.Join(s.db.DeleteRange([]byte{0}, []byte{0xff}, pebble.NoSync), s.db.Flush())
}
