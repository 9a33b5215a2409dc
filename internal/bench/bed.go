package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/topology"
)

// bed is topics and a folder of a benchmark's own, removed afterwards.
type bed struct {
	run    Run
	kafka  []kgo.Opt
	prefix string
	typ    *decider.Type
	// topics are the processor's; bare are others, so that neither side finds what the other has written.
	topics, bare topology.Topics
	cl           *kgo.Client
	adm          *kadm.Client
	dir          string
}

func (r Run) lay(ctx context.Context, kafka []kgo.Opt, typ *decider.Type, partitions int, replication int16) (*bed, error) {
	b := &bed{run: r, kafka: kafka, prefix: name("-"), typ: typ}
	b.topics, b.bare = topology.TopicsOf(b.prefix, typ.Name), topology.TopicsOf(b.barePrefix(), typ.Name)
	cl, err := kgo.NewClient(append(kafka[:len(kafka):len(kafka)], kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(5*time.Millisecond), kgo.MaxBufferedRecords(200_000), kgo.ProducerBatchCompression(kgo.Lz4Compression()))...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", event.ErrConfig, err)
	}
	b.cl, b.adm = cl, kadm.NewClient(cl)
	resp, err := b.adm.CreateTopics(ctx, int32(partitions), replication, nil, b.all()...)
	if err == nil {
		err = resp.Error()
	}
	if err == nil {
		err = b.settled(ctx)
	}
	if err == nil {
		b.dir, err = os.MkdirTemp("", "cqrsflow-bench-")
	}
	if err != nil {
		b.close()
		return nil, fmt.Errorf("%w: topics for the benchmark: %w", event.ErrUnavailable, err)
	}
	return b, nil
}

// settled waits until every partition has a leader, which is some time after its topic was made.
func (b *bed) settled(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		ends, err := b.adm.ListEndOffsets(ctx, b.all()...)
		if err == nil {
			err = ends.Error()
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (b *bed) barePrefix() string { return b.prefix + "-bare" }

func (b *bed) all() []string { return append(b.topics.All(), b.bare.All()...) }

// close removes everything. It works after the benchmark was interrupted, too.
func (b *bed) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	resp, err := b.adm.DeleteTopics(ctx, b.all()...)
	if err == nil {
		err = resp.Error()
	}
	groups, gerr := b.adm.ListGroups(ctx)
	var ours []string
	for _, g := range groups.Groups() {
		if strings.HasPrefix(g, b.prefix) {
			ours = append(ours, g)
		}
	}
	if len(ours) > 0 {
		_, derr := b.adm.DeleteGroups(ctx, ours...)
		gerr = errors.Join(gerr, derr)
	}
	if err = errors.Join(err, gerr); err != nil {
		b.run.Logger.Warn("removing the benchmark's topics and groups", "prefix", b.prefix, "error", err)
	}
	b.cl.Close()
	if b.dir != "" {
		_ = os.RemoveAll(b.dir)
	}
}
