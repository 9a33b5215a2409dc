package localindex

import (
	"encoding/json"
	"fmt"

	index "github.com/blevesearch/bleve_index_api"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
)

// Load fills in the documents of streams, as the last Write left them; those without one are left alone.
func (x *Index) Load(ids []event.StreamID, docs []searchindex.Document) error {
	for i, id := range ids {
		if d, ok := x.docs.get(id); ok {
			docs[i] = d
			continue
		}
		if _, err := x.read(id, &docs[i]); err != nil {
			return err
		}
	}
	return nil
}

// Get returns the document of a stream; event.ErrNotFound where there is none.
func (x *Index) Get(id event.StreamID) (searchindex.Document, error) {
	var d searchindex.Document
	found, err := x.read(id, &d)
	if err == nil && (!found || d.Deleted) {
		return searchindex.Document{}, fmt.Errorf("order %s: %w", id, event.ErrNotFound)
	}
	return d, err
}

func (x *Index) read(id event.StreamID, into *searchindex.Document) (bool, error) {
	stored, err := x.bleve.Document(string(id))
	if err != nil {
		return false, fmt.Errorf("%w: read order %s from search index %s: %w", event.ErrUnavailable, id, x.path, err)
	}
	if stored == nil {
		return false, nil
	}
	var source []byte
	stored.VisitFields(func(f index.Field) {
		if f.Name() == FieldDocument {
			source = f.Value()
		}
	})
	return true, Decode(string(id), source, into)
}

// Decode reads a stored document's JSON.
func Decode[T string | []byte](id string, source T, into *searchindex.Document) error {
	if err := json.Unmarshal([]byte(source), into); err != nil {
		return fmt.Errorf("%w: the search document of order %s: %w", event.ErrCorrupt, id, err)
	}
	return nil
}
