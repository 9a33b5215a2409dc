package topology

import (
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
)

// Defaults of Config.
const (
	DefaultPartitions       int32 = 8
	DefaultReplication      int16 = 3
	DefaultCommandRetention       = 30 * 24 * time.Hour
)

// BrokerDefault, as Config.Replication, leaves the number of replicas to the brokers.
const BrokerDefault int16 = -1

// Forever, as Config.CommandRetention, keeps commands and outcomes for good.
const Forever time.Duration = -1

// Bounds of Config.
const (
	maxPartitions = 10_000
	// The window of known command IDs is restored from outcomes that are up to 24 h old.
	minCommandRetention = 24 * time.Hour
	// Kafka's own bound on the length of a topic's name.
	maxTopicName = 249
)

// Config says what the topics shall be like. Zero fields mean their defaults.
type Config struct {
	// Prefix starts the name of every topic: letters, digits, dots, underscores and dashes. Default DefaultPrefix.
	Prefix string
	// Partitions is the number of partitions of every topic, 1 to 10,000. Default DefaultPartitions. It
	// holds for topics that do not exist yet: the number of an existing one never changes.
	Partitions int32
	// Replication is the number of replicas of topics that do not exist yet. Default DefaultReplication; 1
	// suits a single broker; BrokerDefault leaves it to the brokers.
	Replication int16
	// MinISR is min.insync.replicas of every topic: how many replicas must have a record before it counts
	// as written. Default 2 where Replication is 3 or more, 1 where it is less, and the brokers' own where
	// Replication is BrokerDefault.
	MinISR int
	// CommandRetention is how long commands and outcomes are kept, at least 24 h. Default
	// DefaultCommandRetention; negative means forever. Apply makes it longer, never shorter.
	CommandRetention time.Duration
}

func (c Config) withDefaults() Config {
	if c.Prefix == "" {
		c.Prefix = DefaultPrefix
	}
	if c.Partitions == 0 {
		c.Partitions = DefaultPartitions
	}
	if c.Replication == 0 {
		c.Replication = DefaultReplication
	}
	if c.CommandRetention == 0 {
		c.CommandRetention = DefaultCommandRetention
	}
	if c.MinISR == 0 && c.Replication != BrokerDefault {
		c.MinISR = 1
		if c.Replication >= 3 {
			c.MinISR = 2
		}
	}
	return c
}

var prefixPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// Validate reports the first field that is out of bounds, as event.ErrConfig; zero fields are not.
func (c Config) Validate() error {
	bad := func(field string, value any, bound string) error {
		return fmt.Errorf("%w: topology %s is %v; it must be %s", event.ErrConfig, field, value, bound)
	}
	c = c.withDefaults()
	switch {
	case !prefixPattern.MatchString(c.Prefix):
		return bad("Prefix", strconv.Quote(c.Prefix), "letters, digits, dots, underscores and dashes")
	case len(c.Prefix) > maxTopicName/2:
		return bad("Prefix", strconv.Quote(c.Prefix), fmt.Sprintf("at most %d characters", maxTopicName/2))
	case c.Partitions < 1 || c.Partitions > maxPartitions:
		return bad("Partitions", c.Partitions, fmt.Sprintf("1 to %d", maxPartitions))
	case c.Replication < 1 && c.Replication != BrokerDefault:
		return bad("Replication", c.Replication, "at least 1, or -1 for the brokers' default")
	case c.MinISR < 0:
		return bad("MinISR", c.MinISR, "at least 1, or 0 for the default")
	case c.Replication != BrokerDefault && c.MinISR > int(c.Replication):
		return bad("MinISR", c.MinISR, fmt.Sprintf("at most Replication (%d), or nothing could be written", c.Replication))
	case c.CommandRetention >= 0 && c.CommandRetention < minCommandRetention:
		return bad("CommandRetention", c.CommandRetention, fmt.Sprintf("at least %v, or negative for ever", minCommandRetention))
	}
	return nil
}

// Names of topic settings (https://kafka.apache.org/documentation/#topicconfigs).
const (
	cleanupPolicy  = "cleanup.policy"
	retentionMS    = "retention.ms"
	retentionBytes = "retention.bytes"
	timestampType  = "message.timestamp.type"
	minISR         = "min.insync.replicas"
	uncleanElect   = "unclean.leader.election.enable"
)

// kind is one of an aggregate type's topics.
type kind int

const (
	commands kind = iota
	events
	outcomes
	snapshots
	parked
)

// setting is a topic setting as it shall be.
type setting struct{ name, value string }

// settings are what a topic of that kind shall have, in the order in which they are shown.
func (c Config) settings(k kind) []setting {
	var out []setting
	switch k {
	case events: // the event store: nothing is ever deleted
		out = []setting{{cleanupPolicy, "delete"}, {retentionMS, "-1"}, {retentionBytes, "-1"}}
	case commands, outcomes:
		keep := int64(-1)
		if c.CommandRetention >= 0 {
			keep = c.CommandRetention.Milliseconds()
		}
		out = []setting{{cleanupPolicy, "delete"}, {retentionMS, strconv.FormatInt(keep, 10)}, {retentionBytes, "-1"}}
	case snapshots, parked:
		out = []setting{{cleanupPolicy, "compact"}}
	}
	// A command about 1997 must not expire as if it had been written then.
	out = append(out, setting{timestampType, "LogAppendTime"}, setting{uncleanElect, "false"})
	if c.MinISR > 0 {
		out = append(out, setting{minISR, strconv.Itoa(c.MinISR)})
	}
	return out
}
