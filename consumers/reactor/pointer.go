package reactor

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
)

// pointer is a parked event: where it stands in the log, in the partition of the pointer, and why it was set aside.
type pointer struct {
	runner.Pointer
	// version is the event's, to tell it from another one at its offset of a topic that was made again.
	version event.Version
}

// action is what an operator wants of a parked stream.
type action string

const (
	retry action = "retry"
	drop  action = "drop"
)

// mark is an operator's wish about the event that a stream is parked by, as the operator saw it: where it has been
// tried or given up meanwhile, the mark says nothing any more.
type mark struct {
	action   action
	offset   int64
	attempts int
}

// format is the version of docs/format/parked.md; a reader refuses later ones.
const format = 1

// pointerValue and markValue are the JSON of the records.
type pointerValue struct {
	Format   int            `json:"format"`
	Stream   event.StreamID `json:"stream"`
	Version  event.Version  `json:"version"`
	Reason   string         `json:"reason"`
	Attempts int            `json:"attempts"`
	Retry    bool           `json:"retry,omitempty"`
	ParkedAt time.Time      `json:"parkedAt"`
}

type markValue struct {
	Format   int    `json:"format"`
	Action   action `json:"action"`
	Offset   int64  `json:"offset"`
	Attempts int    `json:"attempts"`
}

// The keys: reactors share the topic, and neither separator can be in a reactor's name.
const (
	pointerSign = "@"
	markSign    = "!"
)

func pointerKey(reactor string, offset int64) []byte {
	return strconv.AppendInt([]byte(reactor+pointerSign), offset, 10)
}

func markKey(reactor string, stream event.StreamID) []byte {
	return []byte(reactor + markSign + string(stream))
}

// place is where a record of the parked topic goes.
type place struct {
	topic     string
	partition int32
}

func (p place) record(key, value []byte) *kgo.Record {
	r := &kgo.Record{Topic: p.topic, Partition: p.partition, Key: key, Value: value}
	if value != nil {
		r.Headers = []kgo.RecordHeader{{Key: "content-type", Value: []byte("application/json")}}
	}
	return r
}

// put is the record of a pointer.
func (p place) put(reactor string, ptr *pointer) (*kgo.Record, error) {
	v, err := json.Marshal(pointerValue{format, ptr.Stream, ptr.version, ptr.Reason, ptr.Attempts, ptr.Retry, ptr.ParkedAt.UTC()})
	if err != nil {
		return nil, fmt.Errorf("encode the pointer to offset %d: %w", ptr.Offset, err)
	}
	return p.record(pointerKey(reactor, ptr.Offset), v), nil
}

// mark is the record of a mark.
func (p place) mark(reactor string, stream event.StreamID, m mark) (*kgo.Record, error) {
	v, err := json.Marshal(markValue{format, m.action, m.offset, m.attempts})
	if err != nil {
		return nil, fmt.Errorf("encode the mark of %s: %w", stream, err)
	}
	return p.record(markKey(reactor, stream), v), nil
}

func parsePointer(at int64, value []byte) (pointer, error) {
	var v pointerValue
	err := parse(value, &v, &v.Format)
	if err == nil {
		err = event.CheckStreamID(v.Stream)
	}
	return pointer{version: v.Version, Pointer: runner.Pointer{Stream: v.Stream, Offset: at, Reason: v.Reason, Attempts: v.Attempts,
		Retry: v.Retry, ParkedAt: v.ParkedAt}}, err
}

func parseMark(value []byte) (mark, error) {
	var v markValue
	err := parse(value, &v, &v.Format)
	if err == nil && v.Action != retry && v.Action != drop {
		err = fmt.Errorf("its action is %q", v.Action)
	}
	return mark{v.Action, v.Offset, v.Attempts}, err
}

func parse(value []byte, v any, got *int) error {
	if err := json.Unmarshal(value, v); err != nil {
		return err
	}
	if *got < 1 || *got > format {
		return fmt.Errorf("it has format %d; this program knows %d", *got, format)
	}
	return nil
}

// maxReason bounds what is stored of why an event was parked, in bytes.
const maxReason = 1000

func refused(stream event.StreamID, offset int64, version event.Version, err error, attempts int) pointer {
	reason := err.Error()
	if len(reason) > maxReason {
		reason = strings.ToValidUTF8(reason[:maxReason], "")
	}
	return pointer{version: version, Pointer: runner.Pointer{Stream: stream, Offset: offset, Reason: reason, Attempts: attempts, ParkedAt: time.Now()}}
}

func behind(stream event.StreamID, offset int64, version event.Version, first int64) pointer {
	return pointer{version: version, Pointer: runner.Pointer{Stream: stream, Offset: offset, ParkedAt: time.Now(),
		Reason: fmt.Sprintf("behind the event at offset %d", first)}}
}
