package topology

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/cqrsflow/cqrsflow/event"
)

// observed is what there is on Kafka: what the pure parts (check, plan, verify) decide on.
type observed struct {
	// transactionVersion is the finalized level of the feature transaction.version; 0 where there is none.
	transactionVersion int16
	topics             map[string]observedTopic
	// recorded is by aggregate type; nil where nothing was.
	recorded map[string]*recorded
}

type observedTopic struct {
	id         [16]byte
	partitions int32
	// replicas and insync are those of the partition that has fewest.
	replicas, insync int
	// leaderless counts partitions that nobody leads.
	leaderless int
	// settings are only there where they were asked for.
	settings map[string]string
}

// reachTimeout bounds the wait for a first answer. Requests after that are bounded by the client's own
// retry timeout.
const reachTimeout = 10 * time.Second

func (t *Topology) observe(ctx context.Context, settings bool) (*observed, error) {
	if t.err != nil {
		return nil, t.err
	}
	if err := t.reach(ctx); err != nil {
		return nil, err
	}
	o := &observed{recorded: map[string]*recorded{}}
	var err error
	if o.transactionVersion, err = t.transactionVersion(ctx); err != nil {
		return nil, t.wrap("ask for the brokers' features", err)
	}
	if o.topics, err = t.topics(ctx); err != nil {
		return nil, t.wrap("list topics", err)
	}
	if settings {
		if err := t.settings(ctx, o.topics); err != nil {
			return nil, t.wrap("describe topics", err)
		}
	}
	if err := t.read(ctx, o); err != nil {
		return nil, t.wrap("read the recorded topology", err)
	}
	return o, nil
}

// reach finds out quickly whether anybody is there at all.
func (t *Topology) reach(ctx context.Context) error {
	short, cancel := context.WithTimeout(ctx, reachTimeout)
	defer cancel()
	if err := t.client.Ping(short); err != nil {
		if errors.Is(ctx.Err(), context.Canceled) {
			err = ctx.Err()
		}
		return t.wrap("reach Kafka", err)
	}
	return nil
}

// wrap puts an error of the client into its category.
func (t *Topology) wrap(what string, err error) error {
	for _, is := range []error{context.Canceled, event.ErrConfig, event.ErrCorrupt, event.ErrUnavailable} {
		if errors.Is(err, is) {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	var auth *kadm.AuthError
	var code *kerr.Error
	hint, final := advice(err)
	if final {
		return fmt.Errorf("%w: %s: %w; %s", event.ErrConfig, what, err, hint)
	}
	if errors.As(err, &auth) || errors.As(err, &code) && !code.Retriable {
		return fmt.Errorf("%w: %s: Kafka refuses: %w", event.ErrConfig, what, err)
	}
	brokers, _ := t.client.OptValue(kgo.SeedBrokers).([]string)
	if hint != "" {
		hint = "; " + hint
	}
	//nolint:errorlint // the cause is text only: a timeout of ours must not look like the end of the caller's context
	return fmt.Errorf("%w: %s: no answer from the brokers %s (setting CQRSFLOW_KAFKA_BROKERS): %v%s", event.ErrUnavailable, what, strings.Join(brokers, ","), err, hint)
}

// transactionVersion asks for the level of transactions (KIP-890, KIP-584): one answer holds for the cluster.
func (t *Topology) transactionVersion(ctx context.Context) (int16, error) {
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "cqrsflow", "1"
	resp, err := req.RequestWith(ctx, t.client)
	if err == nil {
		err = kerr.ErrorForCode(resp.ErrorCode)
	}
	if err != nil {
		return 0, err
	}
	for _, f := range resp.FinalizedFeatures {
		if f.Name == "transaction.version" {
			return f.MaxVersionLevel, nil
		}
	}
	return 0, nil
}

// topics describes those of the topics that exist. It asks the brokers, not the client's cache, which
// does not notice for seconds that a topic was made again.
func (t *Topology) topics(ctx context.Context) (map[string]observedTopic, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = false
	for _, a := range t.aggregates {
		for _, name := range TopicsOf(t.cfg.Prefix, a).All() {
			topic := kmsg.NewMetadataRequestTopic()
			topic.Topic = kmsg.StringPtr(name)
			req.Topics = append(req.Topics, topic)
		}
	}
	resp, err := req.RequestWith(ctx, t.client)
	if err != nil {
		return nil, err
	}
	out := make(map[string]observedTopic, len(resp.Topics))
	for i := range resp.Topics {
		rt := &resp.Topics[i]
		switch err := kerr.ErrorForCode(rt.ErrorCode); {
		case errors.Is(err, kerr.UnknownTopicOrPartition):
			continue
		case err != nil:
			return nil, fmt.Errorf("topic %s: %w", *rt.Topic, err)
		}
		found := observedTopic{id: rt.TopicID, partitions: int32(len(rt.Partitions))}
		for j, p := range rt.Partitions {
			if j == 0 || len(p.Replicas) < found.replicas {
				found.replicas = len(p.Replicas)
			}
			if j == 0 || len(p.ISR) < found.insync {
				found.insync = len(p.ISR)
			}
			if p.Leader < 0 {
				found.leaderless++
			}
		}
		out[*rt.Topic] = found
	}
	return out, nil
}

// settings adds to each topic its settings.
func (t *Topology) settings(ctx context.Context, topics map[string]observedTopic) error {
	names := make([]string, 0, len(topics))
	for name := range topics {
		names = append(names, name)
	}
	described, err := kadm.NewClient(t.client).DescribeTopicConfigs(ctx, names...)
	if err != nil {
		return err
	}
	for _, d := range described {
		if d.Err != nil {
			return fmt.Errorf("topic %s: %w %s", d.Name, d.Err, d.ErrMessage)
		}
		found := topics[d.Name]
		found.settings = make(map[string]string, len(d.Configs))
		for _, c := range d.Configs {
			found.settings[c.Key] = c.MaybeValue()
		}
		topics[d.Name] = found
	}
	return nil
}

// idText writes a topic ID as Kafka's own tools do.
func idText(id [16]byte) string { return base64.RawURLEncoding.EncodeToString(id[:]) }
