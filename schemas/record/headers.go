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
	hVariant         = "cqrs-variant"
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

// Encoder makes records in memory that it uses again. The zero value is ready. Records stay valid until
// Reset, which the caller may only do when every one of them has been written or given up. It is not
// safe for concurrent use.
type Encoder struct {
	headers slabs[kgo.RecordHeader]
	bytes   slabs[byte]
	records slabs[kgo.Record]
	source  map[sourceKey][]byte
	// last is the last time written and its text: in a batch most times are the same one.
	last     time.Time
	lastText []byte
}

type sourceKey struct{ kind, aggregate string }

// Reset takes the memory of all records back, for the next ones.
func (e *Encoder) Reset() {
	e.headers.reset()
	e.bytes.reset()
	e.records.reset()
	e.lastText = nil
}

// Forget gives all records up to the garbage collector: for where they may still be in use.
func (e *Encoder) Forget() { *e = Encoder{source: e.source} }

// The largest blocks, in elements.
const (
	maxHeaderSlab = 4 << 10
	maxByteSlab   = 64 << 10
	maxRecordSlab = 512
)

// reserve makes room for n headers whose values need at most size bytes.
func (e *Encoder) reserve(n, size int) {
	e.headers.reserve(n, maxHeaderSlab)
	e.bytes.reserve(size, maxByteSlab)
}

// Body encodes into the encoder's memory: encode appends at most about size bytes to what it is given,
// and what it returns stays valid as records do.
func (e *Encoder) Body(size int, encode func([]byte) ([]byte, error)) ([]byte, error) {
	e.bytes.reserve(size, maxByteSlab)
	from := len(e.bytes.cur)
	b, err := encode(e.bytes.cur[from:from])
	if n := len(b); n > 0 && from+n <= cap(e.bytes.cur) {
		if all := e.bytes.cur[:from+n]; &all[from] == &b[0] {
			e.bytes.cur, b = all, b[:n:n]
		}
	}
	return b, err
}

// record makes a record with the headers from the given one on.
func (e *Encoder) record(topic string, partition int32, key event.StreamID, value []byte, from int) *kgo.Record {
	e.records.reserve(1, maxRecordSlab)
	h := e.headers.cur
	e.records.cur = append(e.records.cur, kgo.Record{Topic: topic, Partition: partition, Key: streamKey(key), Value: value, Headers: h[from:len(h):len(h)]})
	return &e.records.cur[len(e.records.cur)-1]
}

func (e *Encoder) sourceOf(kind, aggregate string) []byte {
	key := sourceKey{kind, aggregate}
	if b, ok := e.source[key]; ok {
		return b
	}
	if e.source == nil {
		e.source = map[sourceKey][]byte{}
	}
	b := []byte("/cqrsflow/" + aggregate + kind)
	e.source[key] = b
	return b
}

func (e *Encoder) add(key string, value []byte) {
	e.headers.cur = append(e.headers.cur, kgo.RecordHeader{Key: key, Value: value})
}

func (e *Encoder) text(key, value string) {
	if value == "" {
		return
	}
	e.add(key, unsafe.Slice(unsafe.StringData(value), len(value))) // read only: kgo never writes to values
}

func (e *Encoder) made(key string, from int) {
	e.add(key, e.bytes.cur[from:len(e.bytes.cur):len(e.bytes.cur)])
}

func (e *Encoder) number(key string, n int64) {
	from := len(e.bytes.cur)
	e.bytes.cur = strconv.AppendInt(e.bytes.cur, n, 10)
	e.made(key, from)
}

func (e *Encoder) time(key string, t time.Time) {
	if e.lastText != nil && t.Equal(e.last) {
		e.add(key, e.lastText)
		return
	}
	from := len(e.bytes.cur)
	e.bytes.cur = t.UTC().AppendFormat(e.bytes.cur, time.RFC3339Nano)
	e.made(key, from)
	e.last, e.lastText = t, e.bytes.cur[from:len(e.bytes.cur):len(e.bytes.cur)]
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
