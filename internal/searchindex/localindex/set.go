package localindex

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
)

// registryFile says which versions there are, beside their indexes.
const registryFile = searchindex.Name + "-versions.json"

// Set is the indexes of all versions of the read model. It is safe for concurrent use.
type Set struct {
	cfg    Config
	active atomic.Pointer[Index]

	mu struct {
		sync.Mutex
		registry searchindex.Registry
		open     map[int]*Index
		closed   bool
	}
}

// OpenSet opens the active version's index, making it where there is none. Where that has another shape
// than this program, it asks for a version of this one's. Errors are those of Open.
func OpenSet(cfg Config) (*Set, error) {
	if cfg.Dir == "" {
		_, err := cfg.withDefaults()
		return nil, err
	}
	s := &Set{cfg: cfg}
	s.mu.open = map[int]*Index{}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open search index: %w", err)
	}
	r, recorded, err := s.load()
	if err != nil {
		return nil, err
	}
	began, gone := r.Require(searchindex.Shape, time.Now().UTC())
	s.mu.registry = r
	x, err := s.Index(r.Active().Number)
	if err != nil {
		return nil, err
	}
	s.active.Store(x)
	if !recorded || began {
		err = s.save(r)
	}
	if err == nil {
		err = s.sweep(gone)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// load reads the registry. Where there is none, an index that is there has the first shape.
func (s *Set) load() (r searchindex.Registry, recorded bool, err error) {
	path := filepath.Join(s.cfg.Dir, registryFile)
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		shape := searchindex.Shape
		if _, err := os.Stat(filepath.Join(s.cfg.Dir, searchindex.IndexName(1))); err == nil {
			shape = 1
		}
		return searchindex.NewRegistry(1, shape, time.Now().UTC()), false, nil
	case err != nil:
		return r, false, fmt.Errorf("read the versions of search: %w", err)
	}
	err = json.Unmarshal(text, &r)
	if err == nil && r.Active().Number == 0 {
		err = errors.New("no version is active")
	}
	if err != nil {
		return r, false, fmt.Errorf("%w: the versions of search in %s (remove %s: it is a cache of the log, and is built anew): %w",
			event.ErrCorrupt, path, s.cfg.Dir, err)
	}
	return r, true, nil
}

// save replaces the file in one step.
func (s *Set) save(r searchindex.Registry) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the versions of search: %w", err)
	}
	path := filepath.Join(s.cfg.Dir, registryFile)
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("store the versions of search: %w", err)
	}
	_, err = f.Write(append(text, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return fmt.Errorf("%w: store the versions of search: %w", event.ErrUnavailable, err)
	}
	return nil
}

// Active is the index that readers see. It stays open, but for Close, until its version is dropped.
func (s *Set) Active() *Index { return s.active.Load() }

// Registry says which versions there are.
func (s *Set) Registry() searchindex.Registry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.registry
}

// Change changes the registry, and has readers see the version that is active then. Indexes of versions
// that are recorded no more are removed. Where change reports false, nothing is stored; its error is returned.
func (s *Set) Change(change func(*searchindex.Registry) (bool, error)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.mu.registry
	if changed, err := change(&next); err != nil || !changed {
		return err
	}
	x := s.mu.open[next.Active().Number]
	if x == nil {
		return fmt.Errorf("%w: version %d of %s is not open", event.ErrUnavailable, next.Active().Number, searchindex.Name)
	}
	if err := s.save(next); err != nil {
		return err
	}
	var gone []int
	for _, v := range s.mu.registry.Versions {
		if _, ok := next.Get(v.Number); !ok {
			gone = append(gone, v.Number)
		}
	}
	s.mu.registry = next
	if old := s.active.Swap(x); old != x {
		old.wake()
	}
	return s.sweep(gone)
}

// wake has those look again who wait for progress.
func (x *Index) wake() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.announce()
}

// sweep closes and removes indexes. s.mu is held, or the set not yet given out.
func (s *Set) sweep(versions []int) error {
	var err error
	for _, n := range versions {
		if x := s.mu.open[n]; x != nil {
			delete(s.mu.open, n)
			err = errors.Join(err, x.discard())
		}
		err = errors.Join(err, os.RemoveAll(filepath.Join(s.cfg.Dir, searchindex.IndexName(n))),
			os.Remove(filepath.Join(s.cfg.Dir, searchindex.IndexName(n)+".lock")))
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("remove a search index: %w", err)
	}
	return nil
}

// Index returns the open index of a version that is recorded; event.ErrNotFound where it is not.
func (s *Set) Index(version int) (*Index, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.mu.registry.Get(version); !ok || s.mu.closed {
		return nil, fmt.Errorf("%w: there is no version %d of %s", event.ErrNotFound, version, searchindex.Name)
	}
	if x := s.mu.open[version]; x != nil {
		return x, nil
	}
	cfg := s.cfg
	cfg.Version = version
	x, err := Open(cfg)
	if err != nil {
		return nil, err
	}
	s.mu.open[version] = x
	return x, nil
}

// Close closes all indexes, see Index.Close.
func (s *Set) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.closed = true
	var err error
	for _, x := range s.mu.open {
		err = errors.Join(err, x.Close())
	}
	return err
}
