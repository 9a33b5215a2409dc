package compare

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/topology"
)

// Config says what to compare. Zero values mean the defaults named beside them.
type Config struct {
	// Kafka are the options that reach the brokers. Required.
	Kafka []kgo.Opt
	// Prefix of topics; "cqrsflow".
	Prefix string
	// Type is the aggregate. Required.
	Type *decider.Type
	// Control and Candidate are names of variants; the type's default, and the first other one.
	Control, Candidate string
	// From, inclusive, and To, exclusive, bound the time at which commands were decided (recorded time); none.
	From, To time.Time
	// Streams is how many streams to take, drawn by a hash of their IDs, the same ones each time; 0 is all.
	Streams int
	// Diverge lets each version go on from the state that its own decisions led to. Without it, each decision is judged
	// on the state that was live.
	Diverge bool
	// Metrics to compare; none.
	Metrics []Metric
	// Budget is how long one decision may take before its version is left behind; at least 1 ms, 1 s.
	Budget time.Duration
	// Examples is how many to keep of each kind of difference; 1 to 100, 3.
	Examples int
	// Samples is how many decisions to measure; at least 1, 1,000.
	Samples int
	// StateBytes bounds the states in memory, roughly; the others wait in a temporary folder. At least 1 MiB, 256 MiB.
	StateBytes int64
	// EventBytes is the largest body of an event that the processor accepts; 900 KiB.
	EventBytes int
	// Workers is how many partitions are replayed at a time; 1 to 64, 2.
	Workers int
	// tight allows less than StateBytes' bound, for tests.
	tight bool
	// Progress is told how many records have been read of how many, now and then; none.
	Progress func(done, total int64)
}

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// withDefaults fills in zero values and checks the rest. Errors wrap event.ErrConfig.
func (c Config) withDefaults() (Config, error) {
	bad := func(format string, args ...any) (Config, error) {
		return c, fmt.Errorf("%w: compare: "+format, append([]any{event.ErrConfig}, args...)...)
	}
	if len(c.Kafka) == 0 || c.Type == nil {
		return bad("it needs Kafka, options that name the brokers, and Type")
	}
	names := c.Type.Variants()
	orDefault(&c.Control, names[0])
	if i := slices.IndexFunc(names, func(n string) bool { return n != c.Control }); c.Candidate == "" && i >= 0 {
		c.Candidate = names[i]
	}
	orDefault(&c.Prefix, topology.DefaultPrefix)
	orDefault(&c.Budget, time.Second)
	orDefault(&c.Examples, 3)
	orDefault(&c.Samples, 1_000)
	orDefault(&c.StateBytes, 256<<20)
	orDefault(&c.EventBytes, 900<<10)
	orDefault(&c.Workers, 2)
	if c.Candidate == "" {
		return bad("%s has one variant only, %s: register another one in its Spec", c.Type.Name, names[0])
	}
	for _, n := range []string{c.Control, c.Candidate} {
		if !slices.Contains(names, n) {
			return bad("%s has no variant %q; it has %s", c.Type.Name, n, strings.Join(names, ", "))
		}
	}
	switch {
	case !c.From.IsZero() && !c.To.IsZero() && !c.From.Before(c.To):
		return bad("the range from %s to %s is empty: From must be before To", c.From.Format(time.RFC3339), c.To.Format(time.RFC3339))
	case c.Streams < 0:
		return bad("Streams is %d; it must be 0, for all, or more", c.Streams)
	case c.Budget < time.Millisecond:
		return bad("Budget is %v; it must be at least 1ms", c.Budget)
	case c.Examples < 1 || c.Examples > 100:
		return bad("Examples is %d; it must be 1 to 100", c.Examples)
	case c.Samples < 1:
		return bad("Samples is %d; it must be at least 1", c.Samples)
	case c.StateBytes < 1<<20 && !c.tight:
		return bad("StateBytes is %d; it must be at least 1 MiB", c.StateBytes)
	case c.Workers < 1 || c.Workers > 64:
		return bad("Workers is %d; it must be 1 to 64", c.Workers)
	}
	if c.Progress == nil {
		c.Progress = func(int64, int64) {}
	}
	return c, nil
}

func (c *Config) inRange(t time.Time) bool {
	return (c.From.IsZero() || !t.Before(c.From)) && (c.To.IsZero() || t.Before(c.To))
}

// tempDir is made when the first state has to leave memory.
func tempDir() (string, error) { return os.MkdirTemp("", "cqrsflow-compare-") }
