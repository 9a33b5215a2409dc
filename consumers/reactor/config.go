package reactor

import (
	"cmp"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/topology"
)

// ServiceName is who the commands of reactors are from where they are signed: "service:react".
const ServiceName = "react"

// Command is what a reaction asks for.
type Command struct {
	Aggregate string
	Stream    event.StreamID
	// Type is the wire name, such as "customer.v1.RecordPurchase", Data its body, encoded as ContentType says.
	Type        string
	ContentType string
	Data        []byte
}

// Reaction says which commands an event causes; none is fine. It is a pure function of the event: the
// commands' IDs count on it. An event that it refuses with an error, or panics over, is parked, and with
// it what follows in its stream.
type Reaction func(*event.Recorded) ([]Command, error)

// From says where a reactor starts that has never run.
type From string

// Where to start.
const (
	// Refuse is the default: it does not start.
	Refuse From = ""
	// Start reacts to everything that ever happened, End only to what happens from now on.
	Start From = "start"
	End   From = "end"
)

// Config says what a reactor reads and does. Name, Client, Aggregates, Wants, Targets and React are required.
type Config struct {
	// Name names the reactor, such as "purchases": its consumer group is <prefix>.<name>.v1. It is part
	// of every command's ID, so it never changes.
	Name string
	// Prefix starts the names of topics and group; empty means topology.DefaultPrefix.
	Prefix string
	// Client are options of the Kafka client: seed brokers, TLS, SASL, hooks.
	Client []kgo.Opt
	// Instance tells this member from others of the same reactor; the transactional ID is
	// <group>-<instance>. Two that share it fence each other off. Empty means the host's name.
	Instance string
	// Aggregates are the registrations, by name, of the types that it reads; Wants the event types that it reacts to, by aggregate.
	Aggregates map[string]*decider.Type
	Wants      map[string][]string
	// Targets are the aggregate types that it sends commands to.
	Targets []string
	React   Reaction
	// From says where to start where no offset is committed.
	From From
	// BatchRecords (default 1,000) bounds the events of one transaction.
	BatchRecords int
	// SessionTimeout (default 45 s) is how long the group waits for a member that went silent.
	SessionTimeout time.Duration
	// RetryMin (default 100 ms) and RetryMax (default 10 s) bound the pause before a failed session is made anew.
	RetryMin, RetryMax time.Duration
	// UnreadyAfter (default 30 s) is how long it may fail before it reports that it is not ready.
	UnreadyAfter time.Duration
	// ParkedEvery (default 1 s) is how often it looks for what an operator marked, while anything is parked.
	ParkedEvery time.Duration

	// Sign, if set, puts the proof of who asks into the Auth of each command that it sends: principal.Signer does, as ServiceName.
	// One that fails parks the event. Without it they are unsigned.
	Sign func(c *event.Command, contentType string, body []byte) error
	// OnParked, if set, is called with how many events a transaction has set aside, once it is committed.
	OnParked func(events int)
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	c.Prefix = cmp.Or(c.Prefix, topology.DefaultPrefix)
	c.BatchRecords = cmp.Or(c.BatchRecords, 1000)
	c.SessionTimeout = cmp.Or(c.SessionTimeout, 45*time.Second)
	c.RetryMin = cmp.Or(c.RetryMin, 100*time.Millisecond)
	c.RetryMax = cmp.Or(c.RetryMax, 10*time.Second)
	c.ParkedEvery = cmp.Or(c.ParkedEvery, time.Second)
	c.UnreadyAfter = cmp.Or(c.UnreadyAfter, 30*time.Second)
	if c.Instance == "" {
		if host, err := os.Hostname(); err == nil {
			c.Instance = host
		}
		c.Instance = cmp.Or(c.Instance, "0")
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Logger = c.Logger.With("reactor", c.Name)
	return c
}

var reactorName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,40}$`)

func (c Config) validate() error {
	bad := func(field string, value any, bound string) error {
		return fmt.Errorf("%w: reactor %q: %s is %v; it must be %s", event.ErrConfig, c.Name, field, value, bound)
	}
	switch {
	case !reactorName.MatchString(c.Name):
		return bad("Name", strconv.Quote(c.Name), "lower case letters, digits and underscores")
	case c.React == nil:
		return bad("React", "nil", "set")
	case len(c.Wants) == 0:
		return bad("Wants", "empty", "the event types to react to")
	case len(c.Targets) == 0:
		return bad("Targets", "empty", "the aggregate types that commands are sent to")
	case c.From != Refuse && c.From != Start && c.From != End:
		return bad("From", strconv.Quote(string(c.From)), "start or end")
	case c.BatchRecords < 1:
		return bad("BatchRecords", c.BatchRecords, "1 or more")
	case c.ParkedEvery < 0:
		return bad("ParkedEvery", c.ParkedEvery, "more than 0")
	}
	for name, types := range c.Wants {
		t := c.Aggregates[name]
		if t == nil {
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

// namespace of the IDs of commands (RFC 9562, section 5.5).
var namespace = uuid.MustParse("6f1c1c1e-6a57-5d0b-9b1e-2f7a0a3f4c55")

// CommandID is the ID of the n-th command, from 0, that an event causes: UUIDv5 of the reactor's name,
// the event's source and the event's ID, separated by zero bytes, and of n where it is not 0. It is
// the same whenever the reactor meets the event.
func CommandID(reactor string, e *event.Envelope, n int) string {
	text := reactor + "\x00/cqrsflow/" + e.Aggregate + "\x00" + e.ID()
	if n > 0 {
		text += "\x00" + strconv.Itoa(n)
	}
	return uuid.NewSHA1(namespace, []byte(text)).String()
}
