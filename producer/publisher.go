package producer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/tracing"
	"github.com/cqrsflow/cqrsflow/schemas/record"
	"github.com/cqrsflow/cqrsflow/topology"
)

// PublisherConfig says how a Publisher works.
type PublisherConfig struct {
	// Kafka are the options that reach the brokers. Required.
	Kafka []kgo.Opt
	// Prefix of topics; "cqrsflow".
	Prefix string
	// Aggregates are the names of the types to publish to. Required.
	Aggregates []string
	// InFlight bounds the commands that Enqueue has taken and that are not yet answered; 10,000.
	InFlight int
	// Sign puts the proof of who asks into a command's Auth, just before it is published; principal.Signer does. It is left
	// alone where the command has one. Nil: commands are not signed. It is called concurrently.
	Sign func(c *event.Command, contentType string, body []byte) error
	// Tracer makes a span of every command whose trace is sampled, until the broker has it; nil: none.
	Tracer trace.Tracer
	// Logger; slog.Default().
	Logger *slog.Logger
}

// Publisher puts commands on their topics and brings their outcomes back. Make it with NewPublisher
// and keep Run going: it reads the outcomes. It is safe for concurrent use.
type Publisher struct {
	cfg   PublisherConfig
	cl    *kgo.Client // produces
	types map[string]*target
	slots chan struct{}
	wait  waiters
	ready chan struct{}
}

// target is where an aggregate type's commands go.
type target struct {
	topics     topology.Topics
	partitions int32
}

// Receipt says where a command stands in the log.
type Receipt struct {
	CommandID string
	Partition int32
	Offset    int64
}

// NewPublisher connects and learns the topics' partitions. Errors wrap event.ErrConfig or event.ErrUnavailable.
func NewPublisher(ctx context.Context, cfg PublisherConfig) (*Publisher, error) {
	orDefault(&cfg.Prefix, topology.DefaultPrefix)
	orDefault(&cfg.InFlight, 10_000)
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if len(cfg.Kafka) == 0 || len(cfg.Aggregates) == 0 {
		return nil, fmt.Errorf("%w: publisher: Kafka and Aggregates are required", event.ErrConfig)
	}
	cl, err := kgo.NewClient(append(cfg.Kafka[:len(cfg.Kafka):len(cfg.Kafka)],
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(0),
		kgo.ProducerBatchCompression(kgo.Lz4Compression()),
		kgo.MaxBufferedRecords(max(cfg.InFlight, 1)*2),
		kgo.RecordDeliveryTimeout(30*time.Second),
	)...)
	if err != nil {
		return nil, fmt.Errorf("%w: publisher: %w", event.ErrConfig, err)
	}
	p := &Publisher{cfg: cfg, cl: cl, types: map[string]*target{}, slots: make(chan struct{}, cfg.InFlight), ready: make(chan struct{})}
	p.wait.mu.byID = map[waitKey][]*waiter{}
	names := make([]string, 0, len(cfg.Aggregates))
	for _, a := range cfg.Aggregates {
		p.types[a] = &target{topics: topology.TopicsOf(cfg.Prefix, a)}
		names = append(names, p.types[a].topics.Commands)
	}
	details, err := kadm.NewClient(cl).ListTopics(ctx, names...)
	if err != nil {
		cl.Close()
		return nil, fmt.Errorf("%w: publisher: topics: %w", event.ErrUnavailable, err)
	}
	for _, t := range p.types {
		d := details[t.topics.Commands]
		if d.Err != nil || len(d.Partitions) == 0 {
			cl.Close()
			return nil, fmt.Errorf("%w: publisher: topic %s: %w; `cqrsflow topology apply` makes missing topics", event.ErrUnavailable, t.topics.Commands, errors.Join(d.Err))
		}
		t.partitions = int32(len(d.Partitions))
	}
	return p, nil
}

// Partitions is the number of partitions of an aggregate type's topics; 0 for an unknown type.
func (p *Publisher) Partitions(aggregate string) int32 {
	if t := p.types[aggregate]; t != nil {
		return t.partitions
	}
	return 0
}

// NewCommandID makes a command ID: a UUIDv7 (RFC 9562), so IDs sort by time.
func NewCommandID() string {
	id, err := uuid.NewV7()
	if err != nil {
		return rand.Text()
	}
	return id.String()
}

// Publish puts a command on its topic and waits until the broker has it, not until it is decided. The
// body is not looked at. Without an ID the command gets one. Errors: event.ErrInvalid for an ID or a
// stream that is none and for a record larger than the broker takes, event.ErrUnknownType for an
// aggregate that is not configured, event.ErrUnavailable where the command
// was not taken, and event.ErrOutcomeUnknown where it may have been.
func (p *Publisher) Publish(ctx context.Context, c event.Command, aggregate, contentType string, body []byte) (Receipt, error) {
	rec, span, err := p.record(&c, aggregate, contentType, body)
	if err != nil {
		return Receipt{CommandID: c.ID}, err
	}
	err = p.cl.ProduceSync(ctx, rec).FirstErr()
	sent(span, rec, err)
	if err != nil {
		return Receipt{CommandID: c.ID}, produceError(aggregate, err)
	}
	return Receipt{CommandID: c.ID, Partition: rec.Partition, Offset: rec.Offset}, nil
}

// Do publishes a command and waits for its outcome, until the context's deadline. Besides Publish's
// errors: event.ErrOutcomeUnknown where the command was taken and no outcome came in time.
func (p *Publisher) Do(ctx context.Context, c event.Command, aggregate, contentType string, body []byte) (event.Outcome, error) {
	type answer struct {
		o   event.Outcome
		err error
	}
	got := make(chan answer, 1)
	w, err := p.send(ctx, &c, aggregate, contentType, body, func(o event.Outcome, err error) { got <- answer{o, err} })
	if err != nil {
		return event.Outcome{CommandID: c.ID}, err
	}
	select {
	case a := <-got:
		return a.o, a.err
	case <-ctx.Done():
		p.wait.give(w, event.Outcome{}, fmt.Errorf("%w: command %s: no outcome in time: %w", event.ErrOutcomeUnknown, c.ID, ctx.Err()))
		a := <-got
		return a.o, a.err
	}
}

// Enqueue publishes a command and returns as soon as it is on its way; it blocks while InFlight others
// are. done is called exactly once, from another goroutine, with the outcome or the error that Do
// would have returned; it must not block. A context that ends gives up waiting for it.
func (p *Publisher) Enqueue(ctx context.Context, aggregate string, c event.Command, contentType string, body []byte, done func(event.Outcome, error)) error {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	var w *waiter
	var stop func() bool
	ready := make(chan struct{})
	w, err := p.send(ctx, &c, aggregate, contentType, body, func(o event.Outcome, err error) {
		<-ready
		if stop != nil {
			stop()
		}
		<-p.slots
		done(o, err)
	})
	if err != nil {
		<-p.slots
		return err
	}
	stop = context.AfterFunc(ctx, func() {
		p.wait.give(w, event.Outcome{}, fmt.Errorf("%w: command %s: %w", event.ErrOutcomeUnknown, c.ID, ctx.Err()))
	})
	close(ready)
	return nil
}

// Ready is closed once outcomes are being read: before that Do and Enqueue wait for it.
func (p *Publisher) Ready() <-chan struct{} { return p.ready }

func (p *Publisher) record(c *event.Command, aggregate, contentType string, body []byte) (*kgo.Record, tracing.Span, error) {
	none := tracing.Span{}
	t := p.types[aggregate]
	if t == nil {
		return nil, none, fmt.Errorf("%w: aggregate %q", event.ErrUnknownType, aggregate)
	}
	if c.ID == "" {
		c.ID = NewCommandID()
	}
	if err := event.CheckCommandID(c.ID); err != nil {
		return nil, none, err
	}
	if err := event.CheckStreamID(c.Stream); err != nil {
		return nil, none, err
	}
	if p.cfg.Sign != nil && c.Auth == "" {
		if err := p.cfg.Sign(c, contentType, body); err != nil {
			return nil, none, fmt.Errorf("command %s of %s/%s: %w", c.ID, aggregate, c.Stream, err)
		}
	}
	partition := topology.PartitionOfStream(c.Stream, t.partitions)
	var span tracing.Span
	if tracing.Wanted(p.cfg.Tracer, c.TraceParent) {
		span = tracing.Start(p.cfg.Tracer, c.TraceParent, tracing.Send(t.topics.Commands, partition,
			attribute.String("cqrsflow.command", c.Type), attribute.String("messaging.message.id", c.ID)))
		c.TraceParent = span.Parent()
	}
	var enc record.Encoder
	return enc.Command(c, t.topics.Commands, partition, contentType, body), span, nil
}

// sent ends a command's span: the broker has it, or not.
func sent(span tracing.Span, r *kgo.Record, err error) {
	if err != nil {
		span.Fail(err.Error())
	} else {
		span.Set(attribute.Int64("messaging.kafka.offset", r.Offset))
	}
	span.End()
}

func (p *Publisher) send(ctx context.Context, c *event.Command, aggregate, contentType string, body []byte, done func(event.Outcome, error)) (*waiter, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: no time was left to publish: %w", event.ErrUnavailable, err)
	}
	select {
	case <-p.ready:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: outcomes are not being read: %w", event.ErrUnavailable, ctx.Err())
	}
	rec, span, err := p.record(c, aggregate, contentType, body)
	if err != nil {
		return nil, err
	}
	w := p.wait.add(waitKey{aggregate, c.Stream, c.ID}, rec.Partition, done)
	// The broker may get it even when the caller no longer waits; so the caller's context does not end it.
	p.cl.TryProduce(context.WithoutCancel(ctx), rec, func(r *kgo.Record, err error) {
		sent(span, r, err)
		if err != nil {
			p.wait.give(w, event.Outcome{}, produceError(aggregate, err))
			return
		}
		p.wait.placed(w, r.Offset)
	})
	return w, nil
}

// produceError tells "not taken" from "may have been taken". The client fails a record on a timeout
// only where no attempt to send it can have succeeded (kgo.RecordDeliveryTimeout).
func produceError(aggregate string, err error) error {
	category := event.ErrOutcomeUnknown
	switch {
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
		category = event.ErrInvalid
	case errors.Is(err, kgo.ErrRecordTimeout), errors.Is(err, kgo.ErrMaxBuffered), errors.Is(err, kgo.ErrRecordRetries):
		category = event.ErrUnavailable
	}
	return fmt.Errorf("%w: publish to %s: %w", category, aggregate, err)
}
