package localindex

import (
	"path/filepath"
	"sync"

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

// fail notes that the disk refuses what is pending. scorch goes on trying; a batch that becomes durable
// clears it.
func (x *Index) fail(err error) {
	if x.failed.Swap(&err) == nil {
		x.log.Error("the search index cannot be written", "path", x.path, "error", err)
	}
}
