package localindex

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/blevesearch/bleve/v2"
	"github.com/blevesearch/bleve/v2/index/scorch"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/embedded/dirlock"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
)

// Config says where the index is.
type Config struct {
	// Dir is the directory that holds the index, in a directory of its own for each version of the read
	// model. It is made where it is missing. Required.
	Dir string
	// Version is whose index Open opens; default 1.
	Version int
	// CachedDocuments is how many of the documents written last are kept in memory, at least, so that the
	// next event of the same order need not read them back. Default 10,000.
	CachedDocuments int
	// Logger; nil is slog.Default().
	Logger *slog.Logger
}

func (c Config) withDefaults() (Config, error) {
	if c.CachedDocuments == 0 {
		c.CachedDocuments = 10_000
	}
	if c.Version == 0 {
		c.Version = 1
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	switch {
	case c.Dir == "":
		return c, fmt.Errorf("%w: search index: Dir is empty; it must be a directory", event.ErrConfig)
	case c.CachedDocuments < 0:
		return c, fmt.Errorf("%w: search index: CachedDocuments is %d; it must be positive", event.ErrConfig, c.CachedDocuments)
	}
	return c, nil
}

// Index is an open index. It is safe for concurrent use.
type Index struct {
	bleve bleve.Index
	path  string
	lock  *dirlock.Lock
	log   *slog.Logger
	docs  *cache
	// room has one token for each batch that may be pending.
	room chan struct{}
	// failed is why the disk refuses what is pending; nil while it does not.
	failed atomic.Pointer[failure]
	// listing is held while the list of partitions changes.
	listing sync.Mutex

	mu struct {
		sync.RWMutex
		progress map[string]searchindex.Progress
		changed  chan struct{} // closed and replaced whenever a progress changes
		closed   bool
	}
}

// Open opens the index of a version of the read model, making it where there is none. Its error wraps
// dirlock.ErrLocked and event.ErrUnavailable when another process has it open.
func Open(cfg Config) (*Index, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	name := searchindex.IndexName(cfg.Version)
	path := filepath.Join(cfg.Dir, name)
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open search index: %w", err)
	}
	lock, err := dirlock.Acquire(cfg.Dir, name+".lock")
	switch {
	case errors.Is(err, dirlock.ErrLocked):
		return nil, fmt.Errorf("%w: open search index: %w", event.ErrUnavailable, err)
	case err != nil:
		return nil, fmt.Errorf("open search index: %w", err)
	}
	x := &Index{path: path, lock: lock, log: cfg.Logger, docs: newCache(cfg.CachedDocuments), room: make(chan struct{}, maxPending)}
	x.mu.changed = make(chan struct{})
	x.mu.progress = map[string]searchindex.Progress{}
	watch(x) // before the first write, so that none of its errors is missed
	if x.bleve, err = open(path); err == nil {
		err = x.loadProgress()
	}
	if err != nil {
		return nil, errors.Join(err, x.release())
	}
	return x, nil
}

// release gives up what Open took.
func (x *Index) release() error {
	var err error
	if x.bleve != nil {
		err = x.bleve.Close()
	}
	unwatch(x)
	return errors.Join(err, x.lock.Release())
}

// persistEvery is the pause between two writes to the disk: it lets small batches be merged in memory first.
const persistEvery = 100 * time.Millisecond

func open(path string) (bleve.Index, error) {
	config := map[string]any{
		// Batches return when they are visible, not when they are durable: see the package's comment.
		"unsafe_batch":           true,
		"bolt_timeout":           "1s",
		"asyncErrorCallbackName": callbackName,
		"scorchPersisterOptions": map[string]any{"PersisterNapTimeMSec": persistEvery.Milliseconds(), "PersisterNapUnderNumFiles": 300},
	}
	b, err := bleve.OpenUsing(path, config)
	if errors.Is(err, bleve.ErrorIndexPathDoesNotExist) {
		if err := create(path); err != nil {
			return nil, fmt.Errorf("make search index %s: %w", path, err)
		}
		b, err = bleve.OpenUsing(path, config)
	}
	if err != nil {
		return nil, fmt.Errorf("open search index %s (it is a cache of the log: where it is damaged, remove it and it is built anew): %w", path, err)
	}
	return b, nil
}

// create makes an empty index aside and moves it in place, so that a process that is killed meanwhile
// leaves no half of one.
func create(path string) error {
	made := path + ".new"
	if err := os.RemoveAll(made); err != nil {
		return err
	}
	fresh, err := bleve.NewUsing(made, newMapping(), scorch.Name, scorch.Name, map[string]any{})
	if err != nil {
		return err
	}
	if err := fresh.Close(); err != nil {
		return err
	}
	return os.Rename(made, path)
}

// Bleve is the index to search. It is closed by Close.
func (x *Index) Bleve() bleve.Index { return x.bleve }

// Close makes pending batches durable, waiting for at most ten seconds, and closes the index.
func (x *Index) Close() error {
	x.mu.Lock()
	if x.mu.closed {
		x.mu.Unlock()
		return nil
	}
	x.mu.closed = true
	x.announce()
	x.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := x.Flush(ctx); err != nil {
		x.log.Warn("the search index is closed without its last batches; they will be read from the log again", "error", err)
	}
	if err := x.release(); err != nil {
		return fmt.Errorf("close search index: %w", err)
	}
	return nil
}

// discard closes the index without making pending batches durable: it is not wanted any more.
func (x *Index) discard() error {
	x.mu.Lock()
	if x.mu.closed {
		x.mu.Unlock()
		return nil
	}
	x.mu.closed = true
	x.announce()
	x.mu.Unlock()
	return x.release()
}

// Active makes an index a source of itself for readers, see Set.
func (x *Index) Active() *Index { return x }

// Flush waits until everything written so far is durable.
func (x *Index) Flush(ctx context.Context) error {
	done := make(chan error, 1)
	b := x.bleve.NewBatch()
	b.SetInternal(keyFlushed, []byte("1"))
	b.SetPersistedCallback(func(err error) { done <- err })
	if err := x.bleve.Batch(b); err != nil {
		return fmt.Errorf("flush search index: %w", err)
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("flush search index: %w", ctx.Err())
	}
}

var (
	keyFlushed  = []byte("flushed")
	keyProgress = []byte("progress")
)

// loadProgress reads the one internal key that lists the partitions, and the progress of each.
func (x *Index) loadProgress() error {
	var ids []string
	get := func(key []byte, into any) (bool, error) {
		value, err := x.bleve.GetInternal(key)
		if err != nil {
			return false, fmt.Errorf("read the progress of the search index: %w", err)
		}
		if len(value) == 0 {
			return false, nil
		}
		if err := json.Unmarshal(value, into); err != nil {
			return false, fmt.Errorf("%w: the progress of the search index %s: %w", event.ErrCorrupt, x.path, err)
		}
		return true, nil
	}
	if _, err := get(keyProgress, &ids); err != nil {
		return err
	}
	for _, id := range ids {
		var p searchindex.Progress
		found, err := get(progressKey(id), &p)
		if err != nil {
			return err
		}
		if found {
			x.mu.progress[id] = p
		}
	}
	return nil
}

func progressKey(id string) []byte { return append([]byte("progress/"), id...) }

// Progress returns a partition's progress; false where there is none. It must not be changed.
func (x *Index) Progress(id string) (searchindex.Progress, bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	p, ok := x.mu.progress[id]
	return p, ok
}

// AllProgress returns the progress of every partition, ordered by aggregate and partition, and a channel
// that is closed when one of them has changed since. The values must not be changed.
func (x *Index) AllProgress() ([]searchindex.Progress, <-chan struct{}) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	out := slices.SortedFunc(maps.Values(x.mu.progress), searchindex.ByPartition)
	return out, x.mu.changed
}

// announce wakes who waits for progress. x.mu is held.
func (x *Index) announce() {
	close(x.mu.changed)
	x.mu.changed = make(chan struct{})
}
