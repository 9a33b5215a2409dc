package compare

import (
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/experiment/stats"
)

// Metric is a number that decisions add up to. What it means for a version is summed by stream: streams, not commands,
// are what the interval takes for independent.
type Metric struct {
	// Name is lower case, such as "revenue"; Title is for people.
	Name  string
	Title string
	// Unit is for people, such as "USD"; empty for plain numbers.
	Unit string
	// Rate says that the metric is the sum of values by the sum of units; without it, it is the sum of values.
	Rate bool
	// Of returns what a decision adds. It must be pure, and safe for concurrent use.
	Of func(d *Decision) (value, units float64)
}

// Decision is what a version made of a command.
type Decision struct {
	Command *event.Command
	Body    any
	// Rejected is true where it was refused, with that code; else there are Events, possibly none.
	Rejected bool
	Code     string
	Events   []any
}

// RejectionRate is the share of commands that are refused, whatever the aggregate.
var RejectionRate = Metric{Name: "rejection_rate", Title: "Rejection rate", Rate: true, Of: func(d *Decision) (value, units float64) {
	if d.Rejected {
		return 1, 1
	}
	return 0, 1
}}

// sums are a metric's, by stream: control's value and units, then the candidate's, in the order of stats.Pair.
type sums [4]float64

// move replaces a stream's sums in those of all streams. Streams are counted elsewhere.
func move(all *stats.Sums, from, to *sums) {
	k := 0
	for i := range to {
		all.Sum[i] += to[i] - from[i]
		for j := i; j < len(to); j++ {
			all.Products[k] += to[i]*to[j] - from[i]*from[j]
			k++
		}
	}
}

func merge(into *stats.Sums, other *stats.Sums) {
	for i := range other.Sum {
		into.Sum[i] += other.Sum[i]
	}
	for i := range other.Products {
		into.Products[i] += other.Products[i]
	}
}
