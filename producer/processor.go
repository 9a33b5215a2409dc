package producer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/topology"
)

// Processor owns partitions of the commands topics, together with the others of its group, and decides
// what comes in. Make it with NewProcessor, and Run it once.
type Processor struct {
	cfg     Config
	types   map[string]*decider.Type // by commands topic
	admin   *kgo.Client
	cache   *pebble.Cache
	budget  budget
	workers []*worker

	mu struct {
		sync.Mutex
		// stores in use: a partition that moves from one worker to another waits until it is given up.
		stores map[string]chan struct{}
		// ids are the topics' recorded IDs, or those that they had when they were first looked at.
		ids map[string][16]byte
	}
}

// NewProcessor checks the configuration. It does not connect. Errors wrap event.ErrConfig.
func NewProcessor(cfg Config) (*Processor, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("%w: processor: the folder for local stores: %w", event.ErrConfig, err)
	}
	admin, err := kgo.NewClient(cfg.Kafka...)
	if err != nil {
		return nil, fmt.Errorf("%w: processor: %w", event.ErrConfig, err)
	}
	p := &Processor{cfg: cfg, types: map[string]*decider.Type{}, admin: admin, cache: pebble.NewCache(cfg.StoreCacheBytes)}
	p.budget.bytes = int64(cfg.CacheBytes)
	p.mu.stores, p.mu.ids = map[string]chan struct{}{}, maps.Clone(cfg.TopicIDs)
	if p.mu.ids == nil {
		p.mu.ids = map[string][16]byte{}
	}
	for _, t := range cfg.Types {
		p.types[topology.TopicsOf(cfg.Prefix, t.Name).Commands] = t
	}
	for i := range cfg.Workers {
		p.workers = append(p.workers, newWorker(p, i))
	}
	return p, nil
}

// Run decides commands until the context ends; then it finishes the transactions in progress, leaves
// the group and returns nil. A worker that fails starts again with a new session: what it did not
// commit, or cannot know, it reads from the log.
func (p *Processor) Run(ctx context.Context) error {
	defer p.cache.Unref()
	defer p.admin.Close()
	var wg sync.WaitGroup
	for _, w := range p.workers {
		wg.Go(func() { w.run(ctx) })
	}
	wg.Wait()
	return nil
}

// Partition is the state of an owned partition, for readiness and the operator.
type Partition struct {
	Aggregate string
	Number    int32
	// State is "restoring", "serving" or "stopped"; Err says why it stopped, or what it is trying again.
	State string
	Err   error
}

// Status lists the partitions that this process owns. joined is false until every worker has been
// given its share by the group at least once, which may be none.
func (p *Processor) Status() (parts []Partition, joined bool) {
	joined = true
	for _, w := range p.workers {
		ps, ok := w.status()
		parts, joined = append(parts, ps...), joined && ok
	}
	return parts, joined
}

// acquire opens the local store of a partition, waiting until another worker has given it up.
func (p *Processor) acquire(ctx context.Context, t *decider.Type, number int32) (*partition, func() error, error) {
	dir := filepath.Join(p.cfg.Dir, t.Name, strconv.Itoa(int(number)))
	for {
		p.mu.Lock()
		busy, taken := p.mu.stores[dir]
		if !taken {
			p.mu.stores[dir] = make(chan struct{})
		}
		p.mu.Unlock()
		if !taken {
			break
		}
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
	free := func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		close(p.mu.stores[dir])
		delete(p.mu.stores, dir)
	}
	err := os.MkdirAll(filepath.Dir(dir), 0o700)
	var s *store
	if err == nil {
		s, err = openStore(dir, p.cache, pebbleLog{p.cfg.Logger})
	}
	if err != nil && !slices.ContainsFunc(unopenable, func(why error) bool { return errors.Is(err, why) }) {
		// Whatever is wrong with it, the log has everything. It is kept for whoever wants to know.
		aside := dir + ".damaged-" + strconv.FormatInt(time.Now().Unix(), 10)
		p.cfg.Logger.Error("the local store cannot be opened: setting it aside and making it again from the log", "dir", dir, "aside", aside, "err", err)
		if err = os.Rename(dir, aside); err == nil {
			s, err = openStore(dir, p.cache, pebbleLog{p.cfg.Logger})
		}
	}
	if err != nil {
		free()
		return nil, nil, err
	}
	part := &partition{typ: t, topics: topology.TopicsOf(p.cfg.Prefix, t.Name), number: number, limits: p.cfg.limits(), store: s, dir: dir,
		cache: newCache(&p.budget)}
	return part, func() error {
		defer free()
		return part.close()
	}, nil
}

// unopenable is why a store cannot be opened that is none the worse for it: someone has it open, it may not be read, the disk is
// full, or too many files are open.
var unopenable = []error{syscall.EAGAIN, fs.ErrPermission, syscall.ENOSPC, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM}

// described is what a partition must agree with.
type described struct {
	// count is the number of partitions of each topic.
	count int32
	// ids are the topics' IDs, recorded those that they shall have.
	ids, recorded map[string][16]byte
}

// describe reads it from the brokers' metadata, not from a client's cache of it.
func (p *Processor) describe(ctx context.Context, t *decider.Type) (described, error) {
	topics := topology.TopicsOf(p.cfg.Prefix, t.Name)
	d := described{ids: map[string][16]byte{}}
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = false
	for _, name := range topics.All() {
		rt := kmsg.NewMetadataRequestTopic()
		rt.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, rt)
	}
	resp, err := req.RequestWith(ctx, p.admin)
	if err != nil {
		return d, fmt.Errorf("%w: topics of %s: %w", event.ErrUnavailable, t.Name, err)
	}
	for i := range resp.Topics {
		rt := &resp.Topics[i]
		name := *rt.Topic
		if err := kerr.ErrorForCode(rt.ErrorCode); err != nil || len(rt.Partitions) == 0 {
			return d, fmt.Errorf("%w: topic %s: %w; `cqrsflow topology apply` makes missing topics", event.ErrUnavailable, name, errors.Join(err))
		}
		if n := int32(len(rt.Partitions)); d.count == 0 {
			d.count = n
		} else if n != d.count {
			return d, fmt.Errorf("%w: topic %s has %d partitions, another of %s has %d: all topics of an aggregate type must have the same number",
				event.ErrCorrupt, name, n, t.Name, d.count)
		}
		d.ids[name] = rt.TopicID
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, name := range topics.All() {
		if _, known := p.mu.ids[name]; !known {
			p.mu.ids[name] = d.ids[name]
		}
	}
	d.recorded = maps.Clone(p.mu.ids)
	return d, nil
}
