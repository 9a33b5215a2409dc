// Package verify compares what was derived from the log with the log: history event by event, and read models by
// folding every stream anew. It is for an operator, by `cqrsflow stream verify` and `cqrsflow projection verify`.
//
// Nothing has to stand still meanwhile: what is compared is the log up to its end as of the start; read models are
// asked to have applied at least that (with the consistency token that any caller has), and a row that has gone
// on since is counted as newer, and left out.
//
// Memory: the states of one partition's streams, and 40 bytes a stream.
package verify

import (
	"fmt"

	"github.com/cqrsflow/cqrsflow/event"
)

// Kinds of differences.
const (
	Missing   = "missing"   // in the log, not in what was derived
	Extra     = "extra"     // the other way round
	Different = "different" // in both, not alike
	Corrupt   = "corrupt"   // the log contradicts itself
)

// Difference is a stream, or another key, that is not as the log says.
type Difference struct {
	Kind string `json:"kind"`
	// Key is the stream, with the version where it is about one event; for daily sales the day.
	Key    string `json:"key"`
	Detail string `json:"detail,omitempty"`
}

// String is a line for people.
func (d Difference) String() string { return fmt.Sprintf("%s: %s %s", d.Key, d.Kind, d.Detail) }

// MaxListed is how many differences a report lists; the others are counted only.
const MaxListed = 20

// Report is the result of one comparison.
type Report struct {
	Projection string `json:"projection"`
	// Events were read from the log, Foreign records skipped there; Compared counts streams or other keys.
	Events   int64 `json:"events"`
	Foreign  int64 `json:"foreign"`
	Compared int   `json:"compared"`
	// Newer have been written since the log was read.
	Newer int `json:"newer"`
	// Drift counts the differences, of which the first MaxListed are listed.
	Drift       int          `json:"drift"`
	Differences []Difference `json:"differences"`
	// Aggregate is the type of the streams that were compared, Drifted those of them that differ, but for
	// what the log itself contradicts. Where something else is compared, there are none.
	Aggregate string           `json:"-"`
	Drifted   []event.StreamID `json:"-"`
	// Healed are streams that differed and have been put right, Advice what to do about those that were not.
	Healed []event.StreamID `json:"healed,omitempty"`
	Advice []string         `json:"advice,omitempty"`
}

func newReport(projection, aggregate string) *Report {
	return &Report{Projection: projection, Aggregate: aggregate, Differences: []Difference{}}
}

// drifted notes that a stream differs.
func (r *Report) drifted(kind string, id event.StreamID, format string, args ...any) {
	r.differ(kind, string(id), format, args...)
	r.Drifted = append(r.Drifted, id)
}

func (r *Report) differ(kind, key, format string, args ...any) {
	r.Drift++
	if len(r.Differences) < MaxListed {
		r.Differences = append(r.Differences, Difference{kind, key, fmt.Sprintf(format, args...)})
	}
}
