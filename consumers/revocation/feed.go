package revocation

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/event/principal"
	"github.com/cqrsflow/cqrsflow/internal/backoff"
	"github.com/cqrsflow/cqrsflow/schemas/record"
	"github.com/cqrsflow/cqrsflow/topology"
)

// Config says what a Feed follows. Client, Users and Sessions are required.
type Config struct {
	// Client are options of the Kafka client: seed brokers, TLS, SASL.
	Client []kgo.Opt
	// Prefix starts the names of topics; empty means topology.DefaultPrefix.
	Prefix string
	// Users and Sessions are the registrations of these aggregate types.
	Users, Sessions *decider.Type
	// Keep is how long what happened is remembered, at least an hour; 30 days. Who has signed before that does not count.
	Keep time.Duration
	// Stale is for how long nothing need be heard of the log's end before nobody counts any more; 5 s.
	Stale time.Duration
	// Every is how often the log's end is asked for; 1 s.
	Every time.Duration
	// Logger; slog.Default().
	Logger *slog.Logger
	// Clock; time.Now.
	Clock func() time.Time
}

// margin is how much earlier than Keep is read: signatures are a little older than the commands that they are on, and clocks differ.
const margin = time.Hour

// Feed is what is known of users and sessions now. Make it with New and keep Run going. It is safe for concurrent use.
type Feed struct {
	cfg   Config
	types map[string]*decider.Type // by topic
	admin *kgo.Client

	mu sync.Mutex
	// known is what has been read; next is the first offset of each partition that has not.
	known *known
	next  map[place]int64
	// moved is closed, and made anew, when next changes.
	moved chan struct{}
	// as is when all that there was had been read: zero before.
	as time.Time
	// caught is closed when that was so for the first time.
	caught chan struct{}
}

type place struct {
	topic     string
	partition int32
}

// New checks the configuration. It does not connect. Errors wrap event.ErrConfig.
func New(cfg Config) (*Feed, error) {
	cfg.Keep = cmp.Or(cfg.Keep, 30*24*time.Hour)
	cfg.Stale = cmp.Or(cfg.Stale, 5*time.Second)
	cfg.Every = cmp.Or(cfg.Every, time.Second)
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	switch {
	case len(cfg.Client) == 0 || cfg.Users == nil || cfg.Sessions == nil:
		return nil, fmt.Errorf("%w: revocation: Client, Users and Sessions are required", event.ErrConfig)
	case cfg.Keep < time.Hour || cfg.Every <= 0 || cfg.Stale <= cfg.Every:
		return nil, fmt.Errorf("%w: revocation: Keep is %v, Every %v, Stale %v: Keep must be at least an hour, and Stale longer than Every", event.ErrConfig, cfg.Keep, cfg.Every, cfg.Stale)
	}
	admin, err := kgo.NewClient(cfg.Client...)
	if err != nil {
		return nil, fmt.Errorf("%w: revocation: Kafka client: %w", event.ErrConfig, err)
	}
	f := &Feed{cfg: cfg, admin: admin, known: newKnown(), next: map[place]int64{}, moved: make(chan struct{}), caught: make(chan struct{})}
	f.types = map[string]*decider.Type{topology.TopicsOf(cfg.Prefix, userType).Events: cfg.Users, topology.TopicsOf(cfg.Prefix, sessionType).Events: cfg.Sessions}
	return f, nil
}

// Run follows the events until ctx ends, and returns nil then. While the brokers do not answer, nobody counts.
func (f *Feed) Run(ctx context.Context) error {
	defer f.admin.Close()
	for attempt := 0; ctx.Err() == nil; attempt++ {
		err := f.follow(ctx)
		if ctx.Err() != nil {
			break
		}
		f.cfg.Logger.Warn("the events of users and sessions cannot be followed; until they can, nobody is let in", "attempt", attempt+1, "error", err)
		_ = backoff.Wait(ctx, 100*time.Millisecond, 5*time.Second, attempt) // the loop sees the end of ctx
	}
	return nil
}

// follow reads from where what can still count begins.
func (f *Feed) follow(ctx context.Context) error {
	topics := make([]string, 0, len(f.types))
	for topic := range f.types {
		topics = append(topics, topic)
	}
	since := f.cfg.Clock().Add(-f.cfg.Keep - margin)
	listed, err := kadm.NewClient(f.admin).ListOffsetsAfterMilli(ctx, since.UnixMilli(), topics...)
	if err == nil {
		err = listed.Error()
	}
	if err != nil {
		return fmt.Errorf("%w: where the last %v begin: %w", event.ErrUnavailable, f.cfg.Keep, err)
	}
	from, next := map[string]map[int32]kgo.Offset{}, map[place]int64{}
	listed.Each(func(o kadm.ListedOffset) {
		if from[o.Topic] == nil {
			from[o.Topic] = map[int32]kgo.Offset{}
		}
		from[o.Topic][o.Partition] = kgo.NewOffset().At(o.Offset)
		next[place{o.Topic, o.Partition}] = o.Offset
	})
	cl, err := kgo.NewClient(append(f.cfg.Client[:len(f.cfg.Client):len(f.cfg.Client)],
		kgo.ConsumePartitions(from),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // a marker is what stands at the end
	)...)
	if err != nil {
		return fmt.Errorf("%w: Kafka client: %w", event.ErrConfig, err)
	}
	defer cl.Close()
	f.mu.Lock()
	f.known, f.next, f.as = newKnown(), next, time.Time{}
	f.mu.Unlock()

	ctx, stop := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { f.watch(ctx) })
	defer watching.Wait()
	defer stop()
	var names record.Names
	for {
		fetches := cl.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fetches.Err0(); err != nil {
			return err
		}
		fetches.EachError(func(topic string, p int32, err error) {
			f.cfg.Logger.Warn("reading the events of users and sessions", "topic", topic, "partition", p, "error", err)
		})
		f.read(fetches, &names)
	}
}

// read folds what was fetched.
func (f *Feed) read(fetches kgo.Fetches, names *record.Names) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for it := fetches.RecordIter(); !it.Done(); {
		r := it.Next()
		f.next[place{r.Topic, r.Partition}] = r.Offset + 1
		t := f.types[r.Topic]
		var e event.Envelope
		if r.Attrs.IsControl() || record.ParseEvent(r, t.Name, names, &e) != nil || !wanted[e.Type] {
			continue
		}
		body, err := t.Codec.DecodeEvent(&e)
		if err != nil {
			f.cfg.Logger.Error("an event cannot be read; whom it is about does not count until the process starts again with one that can", "aggregate", t.Name,
				"stream", string(e.Stream), "version", int64(e.Version), "error", err)
		}
		f.known.apply(&e, body, err)
	}
	close(f.moved)
	f.moved = make(chan struct{})
}

// watch finds out how fresh what is known is, and forgets what is of no use any more.
func (f *Feed) watch(ctx context.Context) {
	tick := time.NewTicker(f.cfg.Every)
	defer tick.Stop()
	swept := f.cfg.Clock()
	for ctx.Err() == nil {
		// What is not committed has not happened yet: a transaction that somebody has left open keeps nobody out.
		once, cancel := context.WithTimeout(ctx, f.cfg.Stale)
		err := f.catchUp(once, (*kadm.Client).ListCommittedOffsets)
		cancel()
		if err != nil && ctx.Err() == nil {
			f.cfg.Logger.Warn("the end of the events of users and sessions is not reached", "error", err)
		}
		if now := f.cfg.Clock(); now.Sub(swept) > f.cfg.Keep/24 {
			swept = now
			f.mu.Lock()
			f.known.forget(now.Add(-f.cfg.Keep - margin))
			f.mu.Unlock()
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// Now returns a principal as it is now: with those of its roles that it still has. It signed no later than at. Errors are
// principal.ErrRevoked or ErrUnseen, or wrap event.ErrUnavailable where nobody can say. Services and nobody are always as they signed.
func (f *Feed) Now(p principal.Principal, at time.Time) (principal.Principal, error) {
	if p.Kind != principal.User {
		return p, nil
	}
	now := f.cfg.Clock()
	f.mu.Lock()
	as := f.as
	roles, v := f.known.now(p.ID, p.Session, p.Roles)
	f.mu.Unlock()
	switch {
	case as.IsZero() || now.Sub(as) > f.cfg.Stale:
		return principal.Principal{}, fmt.Errorf("%w: what became of users and sessions is not known since %s", event.ErrUnavailable, as.UTC().Format(time.RFC3339))
	case at.Before(now.Add(-f.cfg.Keep)), v == revoked:
		return principal.Principal{}, principal.ErrRevoked
	case v == unseen:
		return principal.Principal{}, principal.ErrUnseen
	}
	p.Roles = roles
	return p, nil
}

// Await waits until all that there is has been read for the first time. Its error is that of ctx.
func (f *Feed) Await(ctx context.Context) error {
	select {
	case <-f.caught:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Ready says whether anybody counts, and why not.
func (f *Feed) Ready() (bool, string) {
	f.mu.Lock()
	as := f.as
	f.mu.Unlock()
	if as.IsZero() || f.cfg.Clock().Sub(as) > f.cfg.Stale {
		return false, "the events of users and sessions have not been read to their end"
	}
	return true, ""
}
