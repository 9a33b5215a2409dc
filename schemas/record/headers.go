package record

import (
	"strconv"
	"time"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/event"
)

// Header names, after the CloudEvents Kafka binding (section 3.2); attributes of ours follow its naming rules.
const (
	hContentType     = "content-type"
	hSpecVersion     = "ce_specversion"
	hSource          = "ce_source"
	hID              = "ce_id"
	hType            = "ce_type"
	hTime            = "ce_time"
	hRecordedTime    = "ce_recordedtime"
	hStreamVersion   = "ce_streamversion"
	hExpectedVersion = "ce_expectedversion"
	hCommandOffset   = "ce_commandoffset"
	hLastOfCommand   = "ce_lastofcommand"
	hCausationID     = "ce_causationid"
	hCorrelationID   = "ce_correlationid"
	hTraceParent     = "traceparent"
	hAuth            = "cqrs-auth"
	hReturn          = "cqrs-return"
)

// OutcomeType is the wire name of an outcome.
const OutcomeType = "cqrsflow.v1.Outcome"

// Content types of bodies. A command without one is JSON.
const (
	Protobuf = "application/protobuf"
	JSON     = "application/json"
)

var (
	specVersion = []byte("1.0")
	one         = []byte("1")
	returnState = []byte("state")
	protobuf    = []byte(Protobuf)
	json        = []byte(JSON)
	outcomeType = []byte(OutcomeType)
)

// Encoder makes records whose headers share slabs. The zero value is ready. Records stay valid until
// Reset, which the caller may only do when every one of them has been written or given up. It is not
// safe for concurrent use.
type Encoder struct {
	headers []kgo.RecordHeader
	bytes   []byte
	source  map[string][]byte
	// last is the last time written and its text: in a batch most times are the same one.
	last     time.Time
	lastText []byte
}

// Reset reuses the slabs.
func (e *Encoder) Reset() {
	clear(e.headers)
	e.headers, e.bytes = e.headers[:0], e.bytes[:0]
	e.lastText = nil
}

// Slabs double from the first record's size up to these: a single record stays cheap, a batch needs few.
const (
	maxHeaderSlab = 4 << 10
	maxByteSlab   = 64 << 10
)

// reserve makes room for n headers whose values need at most size bytes, without moving what was handed out.
func (e *Encoder) reserve(n, size int) {
	if cap(e.headers)-len(e.headers) < n {
		e.headers = make([]kgo.RecordHeader, 0, max(n, min(2*cap(e.headers), maxHeaderSlab)))
	}
	if cap(e.bytes)-len(e.bytes) < size {
		e.bytes = make([]byte, 0, max(size, min(2*cap(e.bytes), maxByteSlab)))
	}
}

func (e *Encoder) sourceOf(kind, aggregate string) []byte {
	key := kind + aggregate
	if b, ok := e.source[key]; ok {
		return b
	}
	if e.source == nil {
		e.source = map[string][]byte{}
	}
	b := []byte("/cqrsflow/" + aggregate + kind)
	e.source[key] = b
	return b
}

func (e *Encoder) add(key string, value []byte) {
	e.headers = append(e.headers, kgo.RecordHeader{Key: key, Value: value})
}

func (e *Encoder) text(key, value string) {
	if value == "" {
		return
	}
	e.add(key, unsafe.Slice(unsafe.StringData(value), len(value))) // read only: kgo never writes to values
}

func (e *Encoder) made(key string, from int) {
	e.add(key, e.bytes[from:len(e.bytes):len(e.bytes)])
}

func (e *Encoder) number(key string, n int64) {
	from := len(e.bytes)
	e.bytes = strconv.AppendInt(e.bytes, n, 10)
	e.made(key, from)
}

func (e *Encoder) time(key string, t time.Time) {
	if e.lastText != nil && t.Equal(e.last) {
		e.add(key, e.lastText)
		return
	}
	from := len(e.bytes)
	e.bytes = t.UTC().AppendFormat(e.bytes, time.RFC3339Nano)
	e.made(key, from)
	e.last, e.lastText = t, e.bytes[from:len(e.bytes):len(e.bytes)]
}

// numbers and times never need more.
const (
	maxNumber = 20
	maxTime   = 36
)

func contentType(s string) []byte {
	switch s {
	case Protobuf:
		return protobuf
	case JSON, "":
		return json
	}
	return []byte(s)
}

func isDigits(b []byte) (int64, bool) {
	if len(b) == 0 || len(b) > 19 {
		return 0, false
	}
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, n >= 0
}

// view reads bytes as a string without copying; it must not outlive them.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

func streamKey(id event.StreamID) []byte {
	return unsafe.Slice(unsafe.StringData(string(id)), len(id))
}
