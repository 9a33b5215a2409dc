package localindex

import (
	"errors"
	"path/filepath"
	"sync"
	"time"

	"github.com/blevesearch/bleve/v2/index/scorch"
)

// callbackName is how scorch's configuration names the function that hears of failures in the background.
const callbackName = "cqrsflow"

// open indexes by the path that scorch reports: its registry of callbacks is global.
var watched sync.Map

func init() {
	scorch.RegistryAsyncErrorCallbacks[callbackName] = func(err error, path string) {
		if x, ok := watched.Load(filepath.Clean(path)); ok {
			x.(*Index).fail(err)
		}
	}
}

func watch(x *Index)   { watched.Store(filepath.Join(x.path, "store"), x) }
func unwatch(x *Index) { watched.Delete(filepath.Join(x.path, "store")) }

// failure is why the disk refuses what is pending, and when it last did.
type failure struct {
	err error
	at  time.Time
}

// probeAfter is how long nothing is written after the disk refused; then a batch is let through to see
// whether it still does. scorch itself goes on trying all the time.
const probeAfter = time.Second

// fail notes that something failed in the background. A batch that becomes durable clears it.
func (x *Index) fail(err error) {
	if errors.Is(err, scorch.ErrCleanup) {
		x.log.Warn("old files of the search index cannot be removed", "path", x.path, "error", err)
		return
	}
	if x.failed.Swap(&failure{err: err, at: time.Now()}) == nil {
		x.log.Error("the search index cannot be written", "path", x.path, "error", err)
	}
}

// refused returns why nothing is to be written now; nil where it may be tried.
func (x *Index) refused() error {
	if f := x.failed.Load(); f != nil && time.Since(f.at) < probeAfter {
		return f.err
	}
	return nil
}

// durable notes that a batch has become durable.
func (x *Index) durable() {
	if x.failed.Swap(nil) != nil {
		x.log.Info("the search index can be written again", "path", x.path)
	}
}
