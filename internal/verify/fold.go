package verify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/eventlog"
	"github.com/cqrsflow/cqrsflow/services/api"
)

// Log is where the events are.
type Log struct {
	Kafka  []kgo.Opt
	Prefix string
	// Progress, where not nil, is told how many offsets have been read of how many.
	Progress func(done, total int64)
}

func (l Log) query(aggregate string) eventlog.Query {
	return eventlog.Query{Kafka: l.Kafka, Prefix: l.Prefix, Aggregate: aggregate}
}

// sum identifies a JSON value whatever the order of its keys. U+0000 counts as U+FFFD: PostgreSQL's text cannot
// hold it, so its read models show the one for the other (postgres.Text).
type sum [16]byte

func sumOf(v any) (sum, error) {
	b, err := json.Marshal(v) // map keys are sorted
	if err != nil {
		return sum{}, err
	}
	s := sha256.Sum256(bytes.ReplaceAll(b, []byte(`\u0000`), []byte("\uFFFD")))
	return sum(s[:16]), nil
}

// folded is a stream's state, as a read model would show it.
type folded struct {
	version event.Version
	sum     sum
}

// folds are all streams of an aggregate type, folded from the log.
type folds struct {
	streams   map[event.StreamID]folded
	positions []event.Position
	// broken are streams that the log itself contradicts: nothing can be compared with them.
	broken map[event.StreamID]bool
}

// fold folds all streams, a partition at a time. each, where not nil, sees every event decoded. What is wrong with
// the log itself goes into the report.
func fold(ctx context.Context, l Log, t *decider.Type, r *Report, each func(*event.Recorded)) (folds, error) {
	out := folds{streams: map[event.StreamID]folded{}, broken: map[event.StreamID]bool{}}
	partitions, err := eventlog.Partitions(ctx, l.query(t.Name))
	if err != nil {
		return out, err
	}
	for i, partition := range partitions {
		states := map[event.StreamID]decider.Snapshot{}
		position := event.Position{Aggregate: t.Name, Partition: partition, Offset: -1}
		q := l.query(t.Name)
		q.Partitions = []int32{partition}
		if l.Progress != nil {
			q.Progress = func(done, total int64) { // partitions are about as long as one another
				l.Progress(done+int64(i)*total, total*int64(len(partitions)))
			}
		}
		read, err := eventlog.Read(ctx, q, func(e *event.Envelope) error {
			if e.LastOfCommand {
				position.Offset = max(position.Offset, e.CommandOffset)
			}
			if out.broken[e.Stream] {
				return nil
			}
			s, ok := states[e.Stream]
			if !ok {
				s = t.Begin()
			}
			body, err := t.Codec.DecodeEvent(e)
			switch {
			case err == nil && e.Version != s.Version+1:
				err = fmt.Errorf("version %d follows %d", e.Version, s.Version)
				fallthrough
			case err != nil:
				out.broken[e.Stream] = true
				r.differ(Corrupt, e.ID(), "%v", err)
				return nil
			}
			states[e.Stream] = decider.Snapshot{State: t.Evolve(s.State, body), Version: e.Version, RecordedTime: e.RecordedTime}
			if each != nil {
				each(&event.Recorded{Envelope: *e, Body: body})
			}
			return nil
		})
		if err != nil {
			return out, err
		}
		r.Events, r.Foreign = r.Events+read.Events, r.Foreign+read.Foreign
		if position.Offset >= 0 {
			out.positions = append(out.positions, position)
		}
		for id, s := range states {
			if out.broken[id] {
				continue
			}
			f, err := foldedOf(t, id, s)
			if err != nil {
				return out, err
			}
			out.streams[id] = f
		}
	}
	return out, nil
}

func foldedOf(t *decider.Type, id event.StreamID, s decider.Snapshot) (folded, error) {
	v, err := shown(t, id, s)
	if err != nil {
		return folded{}, err
	}
	h, err := sumOf(v)
	return folded{s.Version, h}, err
}

// shown is a state as the API shows it, decoded.
func shown(t *decider.Type, id event.StreamID, s decider.Snapshot) (v any, err error) {
	b, err := api.StateJSON(t, id, s.Version, s.State)
	if err != nil {
		return nil, fmt.Errorf("%s/%s: %w", t.Name, id, err)
	}
	return v, json.Unmarshal(b, &v)
}

// refold folds one stream, for the details of a difference.
func refold(ctx context.Context, l Log, t *decider.Type, id event.StreamID) (any, error) {
	s := t.Begin()
	q := l.query(t.Name)
	q.Stream = id
	_, err := eventlog.Read(ctx, q, func(e *event.Envelope) (err error) {
		s, err = t.Extend(s, e)
		return err
	})
	if err != nil {
		return nil, err
	}
	return shown(t, id, s)
}

func sortedStreams(m map[event.StreamID]folded) []event.StreamID { return slices.Sorted(maps.Keys(m)) }
