package producer

import (
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/trace"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/event/principal"
	"github.com/cqrsflow/cqrsflow/topology"
)

// Config says how a Processor works. Zero values mean the defaults named beside them.
type Config struct {
	// Kafka are the options that reach the brokers: seeds, TLS, SASL. Required.
	Kafka []kgo.Opt
	// Prefix of topics and of the group; "cqrsflow".
	Prefix string
	// Types are the aggregates to decide. Required.
	Types []*decider.Type
	// Dir holds the local stores, a folder a partition. Required.
	Dir string
	// Group is the consumer group; "<prefix>.processor".
	Group string
	// Instance tells this process from the others of the group, and must be the same after a restart
	// where Static is set; the host's name. Transactional IDs are "<group>-<instance>-<worker>".
	Instance string
	// Static makes membership static (KIP-345): a restart within the session timeout keeps its partitions.
	Static bool
	// Workers decide concurrently, each with transactions of its own; 1 to 64, 2.
	Workers int
	// BatchRecords bounds the commands of a transaction; 1 to 100,000, 5,000.
	BatchRecords int
	// BatchBytes bounds the commands that are fetched for a transaction, as the broker stores them; twice as
	// much may wait to be written. 64 KiB to 512 MiB, 16 MiB. A single larger command is taken alone.
	BatchBytes int
	// CacheBytes bounds the decoded states in memory, all partitions together, each with the same share; at least 1 MiB, 64 MiB.
	CacheBytes int
	// StoreCacheBytes is the block cache of the local stores; at least 1 MiB, 64 MiB.
	StoreCacheBytes int64
	// SnapshotEvery is after how many events a stream gets a local snapshot; at least 1, 100.
	SnapshotEvery int
	// InlineBytes is the largest encoded state that is kept with its stream's head and written with every
	// change, instead of its events and a snapshot now and then; 1 KiB. Negative: none is.
	InlineBytes int
	// EventBytes bounds the body of an event; 1 KiB to 100 MiB, 900 KiB. The broker's message.max.bytes must allow for it.
	EventBytes int
	// WindowCount and WindowAge bound the memory of accepted command IDs, a partition; 1,000,000 and 24 h.
	WindowCount int
	WindowAge   time.Duration
	// RoundEvents and RoundAge say when a checkpoint round begins: after so many events of a partition
	// (100,000), or after so long where there was any (10 minutes).
	RoundEvents int
	RoundAge    time.Duration
	// RoundStep is how many snapshots of a round a transaction takes along; 1 to 10,000, 500.
	RoundStep int
	// TopicIDs are the IDs of the topics as they were recorded, by name (topology.Recorded). A topic of another ID has lost
	// its log, unless that was accepted. Those that are not named count as they are when they are first looked at.
	TopicIDs map[string][16]byte
	// LookEvery is how often a worker looks for losses of the log that an operator has accepted, and whether what a
	// stopped partition misses has come back; 10 ms to 1 min, 5 s.
	LookEvery time.Duration
	// SessionTimeout is how long the group waits for a member that is gone; 1 s to 30 min, 45 s.
	SessionTimeout time.Duration
	// TransactionTimeout is how long the broker lets a transaction be open; 1 s to 15 min, 10 s.
	TransactionTimeout time.Duration
	// Compression of what is written: "none", "lz4", "zstd", "snappy"; "lz4".
	Compression string
	// Authorize says who may do what; nil: everybody everything. It is asked just before a command is decided, with the
	// state that the decision is made on.
	Authorize Authorizer
	// Principals verify who asks; nil: nobody is told from another, and every command is anonymous.
	Principals *principal.Keyring
	// UnprovenAnonymous says that a command whose cqrs-auth proves nothing counts as unsigned, instead of being denied.
	UnprovenAnonymous bool
	// Revocations know who does not count any more though they have signed; nil: every proof counts until it expires.
	Revocations Revocations
	// Tracer makes a span of every command whose trace is sampled; nil: none.
	Tracer trace.Tracer
	// Logger; slog.Default().
	Logger *slog.Logger
	// Clock; time.Now.
	Clock func() time.Time
	// Hooks are told what happens; none.
	Hooks Hooks
}

// Hooks are called from the workers, concurrently; they must return soon. Nil ones are left out.
type Hooks struct {
	// Outcome is called for every outcome that was committed.
	Outcome func(aggregate string, kind event.Kind, replayed bool)
	// Transaction is called after each: how many commands, how long it took, whether it was committed.
	Transaction func(commands int, took time.Duration, committed bool)
	// Restored is called when a partition has begun to serve: how many events were read, and how long it took.
	Restored func(aggregate string, partition int32, events int64, took time.Duration)
	// Unheard is called when a command that was caused by something else (it has a causation ID: mostly an event,
	// through a reactor) was not accepted. It is logged, too: nobody waits for its outcome.
	Unheard func(aggregate, code string)
	// Denied is called for every command that was denied, once that is committed. It is logged, too.
	Denied func(Denial)
	// Variant is called when a command that names a variant is decided: result is "used", or "unsigned" or "unknown",
	// and then the default has decided.
	Variant func(aggregate, result string)
	// Panicked is called when an aggregate's Decide or Evolve has panicked.
	Panicked func(aggregate string)
}

var instanceName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// withDefaults fills in zero values and checks the bounds. Errors wrap event.ErrConfig.
func (c Config) withDefaults() (Config, error) {
	orDefault(&c.Prefix, topology.DefaultPrefix)
	orDefault(&c.Group, c.Prefix+".processor")
	if c.Instance == "" {
		c.Instance, _ = os.Hostname()
		orDefault(&c.Instance, "local")
	}
	orDefault(&c.Workers, 2)
	orDefault(&c.BatchRecords, 5_000)
	orDefault(&c.BatchBytes, 16<<20)
	orDefault(&c.CacheBytes, 64<<20)
	orDefault(&c.StoreCacheBytes, 64<<20)
	orDefault(&c.SnapshotEvery, 100)
	orDefault(&c.InlineBytes, 1<<10)
	orDefault(&c.EventBytes, 900<<10)
	orDefault(&c.WindowCount, 1_000_000)
	orDefault(&c.WindowAge, 24*time.Hour)
	orDefault(&c.RoundEvents, 100_000)
	orDefault(&c.RoundAge, 10*time.Minute)
	orDefault(&c.RoundStep, 500)
	orDefault(&c.LookEvery, 5*time.Second)
	orDefault(&c.SessionTimeout, 45*time.Second)
	orDefault(&c.TransactionTimeout, 10*time.Second)
	orDefault(&c.Compression, "lz4")
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	bad := func(field string, value any, bound string) (Config, error) {
		return c, fmt.Errorf("%w: processor: %s is %v; it must be %s", event.ErrConfig, field, value, bound)
	}
	switch {
	case len(c.Kafka) == 0:
		return bad("Kafka", "empty", "options that name the brokers")
	case len(c.Types) == 0:
		return bad("Types", "empty", "at least one aggregate type")
	case c.Dir == "":
		return bad("Dir", `""`, "a folder")
	case !instanceName.MatchString(c.Instance):
		return bad("Instance", c.Instance, "1 to 100 characters of A-Z a-z 0-9 . _ -")
	case c.Workers < 1 || c.Workers > 64:
		return bad("Workers", c.Workers, "1 to 64")
	case c.BatchRecords < 1 || c.BatchRecords > 100_000:
		return bad("BatchRecords", c.BatchRecords, "1 to 100000")
	case c.BatchBytes < 64<<10 || c.BatchBytes > 512<<20:
		return bad("BatchBytes", c.BatchBytes, "64 KiB to 512 MiB")
	case c.CacheBytes < 1<<20:
		return bad("CacheBytes", c.CacheBytes, "at least 1 MiB")
	case c.StoreCacheBytes < 1<<20:
		return bad("StoreCacheBytes", c.StoreCacheBytes, "at least 1 MiB")
	case c.SnapshotEvery < 1:
		return bad("SnapshotEvery", c.SnapshotEvery, "at least 1")
	case c.EventBytes < 1<<10 || c.EventBytes > 100<<20:
		return bad("EventBytes", c.EventBytes, "1 KiB to 100 MiB")
	case c.WindowCount < 1:
		return bad("WindowCount", c.WindowCount, "at least 1")
	case c.WindowAge < time.Minute:
		return bad("WindowAge", c.WindowAge, "at least 1m")
	case c.RoundEvents < 1:
		return bad("RoundEvents", c.RoundEvents, "at least 1")
	case c.RoundAge < time.Second:
		return bad("RoundAge", c.RoundAge, "at least 1s")
	case c.RoundStep < 1 || c.RoundStep > 10_000:
		return bad("RoundStep", c.RoundStep, "1 to 10000")
	case c.LookEvery < 10*time.Millisecond || c.LookEvery > time.Minute:
		return bad("LookEvery", c.LookEvery, "10ms to 1m")
	case c.SessionTimeout < time.Second || c.SessionTimeout > 30*time.Minute:
		return bad("SessionTimeout", c.SessionTimeout, "1s to 30m")
	case c.TransactionTimeout < time.Second || c.TransactionTimeout > 15*time.Minute:
		return bad("TransactionTimeout", c.TransactionTimeout, "1s to 15m")
	}
	if _, ok := codecs[c.Compression]; !ok {
		return bad("Compression", c.Compression, "none, lz4, zstd or snappy")
	}
	return c, nil
}

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression().WithLevel(1), "snappy": kgo.SnappyCompression(),
}

func (c *Config) limits() limits {
	return limits{snapshotEvery: event.Version(c.SnapshotEvery), inline: c.InlineBytes, eventBytes: c.EventBytes, windowCount: int64(c.WindowCount), windowAge: c.WindowAge,
		roundEvents: int64(c.RoundEvents), roundAge: c.RoundAge, roundStep: c.RoundStep}
}
