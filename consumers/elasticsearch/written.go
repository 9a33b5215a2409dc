package elasticsearch

import (
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
)

// written has the documents that a session wrote last, so that they need not be read to be folded onto:
// reading what was just written makes Elasticsearch refresh its index first, which is the slowest thing
// about a batch. What is here is stored, in this version or a later one, until the session is fenced: a
// fold has no other input than the log.
//
// There are two generations. The older one is dropped when the younger one is full.
type written struct {
	limit      int // bytes of a generation
	bytes      int // of the younger one, about
	young, old map[event.StreamID]searchindex.Document
}

func newWritten(bytes int) written {
	return written{limit: bytes / 2, young: map[event.StreamID]searchindex.Document{}}
}

func (w *written) get(id event.StreamID) (searchindex.Document, bool) {
	d, ok := w.young[id]
	if !ok {
		d, ok = w.old[id]
	}
	return d, ok
}

// put takes a document that is stored now. It must not change afterwards.
func (w *written) put(d searchindex.Document) {
	size := weight(&d)
	if size > w.limit {
		delete(w.young, d.ID)
		delete(w.old, d.ID)
		return
	}
	if w.bytes += size; w.bytes > w.limit {
		w.old, w.young = w.young, w.old
		clear(w.young)
		w.bytes = size
	}
	if w.young == nil {
		w.young = map[event.StreamID]searchindex.Document{}
	}
	w.young[d.ID] = d
}

// weight is about what a document holds in memory.
func weight(d *searchindex.Document) int {
	n := 512 + len(d.ID) + len(d.Customer) + len(d.CancelReason)
	for i := range d.Lines {
		n += 64 + len(d.Lines[i].SKU) + len(d.Lines[i].Name)
	}
	for i := range d.Notes {
		n += 64 + len(d.Notes[i].Text) + len(d.Notes[i].Author)
	}
	return n
}
