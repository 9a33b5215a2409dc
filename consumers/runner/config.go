package runner

import (
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/topology"
)

// Config says what a projection reads and where it goes. Name, Client, Aggregates and Sink are required.
type Config struct {
	// Name and Version name the projection: its consumer group is <prefix>.<name>.v<version>. Another
	// version reads from the start into a place of its own. Version 0 means 1.
	Name    string
	Version int
	// Prefix starts the names of topics and group; empty means topology.DefaultPrefix.
	Prefix string
	// Client are options of the Kafka client: seed brokers, TLS, SASL, hooks. What a runner relies on
	// (group, isolation, offsets) is set after them.
	Client []kgo.Opt
	// Aggregates are the aggregate types that it reads, by name.
	Aggregates map[string]*decider.Type
	// Wants are the event types that it wants, by aggregate; none means all of them.
	Wants map[string][]string
	// Sources it reads; none means Events.
	Sources []Source
	// Raw leaves bodies undecoded (event.Recorded.Body is nil), for a store that keeps the bytes. It
	// takes types that nothing is registered for, too.
	Raw bool
	// Sink is where it goes.
	Sink Sink

	// BatchRecords (default 5,000) and BatchBytes (default 4 MiB of bodies) bound one batch of one partition.
	BatchRecords int
	BatchBytes   int
	// QueueBytes (default 8 MiB) is how much a partition reads ahead of its sink before it is paused.
	QueueBytes int
	// RetryMin (default 100 ms) and RetryMax (default 10 s) bound the pause before a failed batch is tried again.
	RetryMin, RetryMax time.Duration
	// UnreadyAfter (default 30 s) is how long a sink may fail before the runner reports that it is not ready.
	UnreadyAfter time.Duration
	// ParkedEvery (default 1 s) is how often a partition with parked streams looks for what an operator marked.
	ParkedEvery time.Duration
	// CommitEvery (default 200 ms) is how often applied offsets are committed to the group, for lag tools.
	CommitEvery time.Duration
	// EndsEvery (default 5 s) is how often the log's ends are asked for, so that lag is known of a paused partition, too.
	EndsEvery time.Duration
	// LookEvery (default 5 s) is how often a partition that stopped because the log lost data looks whether it can go on.
	LookEvery time.Duration
	// RevokeTimeout (default 20 s) is how long a batch may go on after its partition was revoked, before
	// it is abandoned. RebalanceTimeout (default 60 s) must be longer.
	RevokeTimeout, RebalanceTimeout time.Duration
	// SessionTimeout (default 45 s) is how long the group waits for a member that went silent.
	SessionTimeout time.Duration

	// OnBatch, if set, is called after every applied batch, by the partition's worker.
	OnBatch func(Progress)
	// Tracer makes a span of every event and outcome whose trace is sampled, once the sink has it; nil: none.
	Tracer trace.Tracer
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

// Progress is one applied batch.
type Progress struct {
	Projection string
	Version    int
	Partition  Partition
	// Events and Outcomes were applied, Parked were set aside, in Took.
	Events, Outcomes, Parked int
	Took                     time.Duration
	// RecordedTime is that of the last event or outcome; zero if there is none.
	RecordedTime time.Time
	Checkpoint   Checkpoint
}

func (c Config) withDefaults() Config {
	set(&c.Version, 1)
	set(&c.Prefix, topology.DefaultPrefix)
	set(&c.BatchRecords, 5000)
	set(&c.BatchBytes, 4<<20)
	set(&c.QueueBytes, 8<<20)
	set(&c.RetryMin, 100*time.Millisecond)
	set(&c.RetryMax, 10*time.Second)
	set(&c.UnreadyAfter, 30*time.Second)
	set(&c.ParkedEvery, time.Second)
	set(&c.CommitEvery, 200*time.Millisecond)
	set(&c.EndsEvery, 5*time.Second)
	set(&c.LookEvery, 5*time.Second)
	set(&c.RevokeTimeout, 20*time.Second)
	set(&c.RebalanceTimeout, 60*time.Second)
	set(&c.SessionTimeout, 45*time.Second)
	if len(c.Sources) == 0 {
		c.Sources = []Source{Events}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

func set[T comparable](field *T, def T) {
	var zero T
	if *field == zero {
		*field = def
	}
}

var projectionName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,40}$`)

func (c Config) validate() error {
	bad := func(field string, value any, bound string) error {
		return fmt.Errorf("%w: projection %q: %s is %v; it must be %s", event.ErrConfig, c.Name, field, value, bound)
	}
	switch {
	case !projectionName.MatchString(c.Name):
		return bad("Name", strconv.Quote(c.Name), "lower case letters, digits and underscores")
	case c.Version < 1:
		return bad("Version", c.Version, "1 or more")
	case len(c.Aggregates) == 0:
		return bad("Aggregates", "empty", "the aggregate types to read")
	case c.Sink == nil:
		return bad("Sink", "nil", "set")
	case c.BatchRecords < 1:
		return bad("BatchRecords", c.BatchRecords, "1 or more")
	case c.BatchBytes < 1:
		return bad("BatchBytes", c.BatchBytes, "1 or more")
	case c.QueueBytes < 1:
		return bad("QueueBytes", c.QueueBytes, "1 or more")
	case c.RetryMin < 0 || c.RetryMax < c.RetryMin:
		return bad("RetryMax", c.RetryMax, "at least RetryMin, "+c.RetryMin.String())
	case c.RebalanceTimeout <= c.RevokeTimeout:
		return bad("RebalanceTimeout", c.RebalanceTimeout, "longer than RevokeTimeout, "+c.RevokeTimeout.String())
	}
	for _, s := range c.Sources {
		if s != Events && s != Outcomes {
			return bad("Sources", s, "events or outcomes")
		}
	}
	for name, t := range c.Aggregates {
		if t == nil || t.Name != name {
			return bad("Aggregates", name, "the registration of that name")
		}
	}
	for name, types := range c.Wants {
		t, ok := c.Aggregates[name]
		if !ok {
			return bad("Wants", name, "one of its Aggregates")
		}
		for _, typ := range types {
			if !slices.Contains(t.Events, typ) {
				return bad("Wants", typ, "an event type that "+name+" registers")
			}
		}
	}
	return nil
}

// group is the consumer group.
func (c Config) group() string { return GroupID(c.Prefix, c.Name, c.Version) }

// GroupID names the consumer group of a projection. An empty prefix means topology.DefaultPrefix.
func GroupID(prefix, name string, version int) string {
	if prefix == "" {
		prefix = topology.DefaultPrefix
	}
	return fmt.Sprintf("%s.%s.v%d", prefix, name, version)
}
