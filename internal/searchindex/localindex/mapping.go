package localindex

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"unicode/utf8"
	"unsafe"

	"github.com/blevesearch/bleve/v2/analysis"
	"github.com/blevesearch/bleve/v2/document"
	"github.com/blevesearch/bleve/v2/mapping"
	index "github.com/blevesearch/bleve_index_api"

	"github.com/cqrsflow/cqrsflow/internal/searchindex"
)

// The fields of the index. Documents are put together here and not by a bleve mapping: a mapping costs
// reflection, and indexes more than is asked for.
const (
	// FieldDocument stores the document's JSON; it is not indexed.
	FieldDocument = "doc"
	// FieldKey holds the exact terms of searchindex.Document.Keys.
	FieldKey = "key"
	// FieldName and FieldNotes hold the terms of line names and notes, with their places.
	FieldName  = "name"
	FieldNotes = "notes"
	// FieldKeyBegins, FieldNameBegins and FieldNotesBegins hold the beginnings, of up to so many
	// characters, of the terms of the three: what is looked for by a short beginning would otherwise have
	// to be gathered from as many terms as begin so, and that takes long.
	FieldKeyBegins   = "key_begins"
	FieldNameBegins  = "name_begins"
	FieldNotesBegins = "notes_begins"
	KeyBegins        = 8
	WordBegins       = 3
	// FieldStatus and FieldCustomer are exact, for filters and facets.
	FieldStatus   = "status"
	FieldCustomer = "customer"
	// FieldDeleted holds Deleted in tombstones, which have no other field that is indexed.
	FieldDeleted = "deleted"
	Deleted      = "yes"
	// FieldNewest is what lists are sorted by, see Newest. It is unique.
	FieldNewest = "newest"
)

const (
	words    = index.IndexField | index.IncludeTermVectors
	exact    = index.IndexField | index.SkipFreqNorm
	faceted  = index.IndexField | index.SkipFreqNorm | index.DocValues
	stored   = index.StoreField
	gap      = 100  // places between two values of a field, so that no phrase spans both
	newValue = 0x1e // between two values
)

// newMapping is only asked how to rank: BM25, as Elasticsearch does.
func newMapping() *mapping.IndexMappingImpl {
	m := mapping.NewIndexMapping()
	m.ScoringModel = index.BM25Scoring
	m.DefaultMapping = mapping.NewDocumentDisabledMapping()
	return m
}

// newDocument turns a document into what bleve indexes.
func newDocument(d *searchindex.Document) (*document.Document, error) {
	source, err := sourceOf(d)
	if err != nil {
		return nil, fmt.Errorf("encode the search document of %s: %w", d.ID, err)
	}
	out := document.NewDocument(string(d.ID))
	out.Fields = make([]document.Field, 0, 12)
	add := func(name string, value []byte, options index.FieldIndexingOptions, a analysis.Analyzer) {
		out.Fields = append(out.Fields, document.NewTextFieldCustom(name, nil, value, options, a))
	}
	add(FieldDocument, source, stored, nil)
	if d.Deleted {
		add(FieldDeleted, []byte(Deleted), exact, nil)
		return out, nil
	}
	if keys := d.Keys(); len(keys) > 0 {
		var b []byte
		for i, k := range keys {
			if i > 0 {
				b = append(b, newValue)
			}
			b = append(b, k...)
		}
		add(FieldKey, b, exact, splitter{})
		add(FieldKeyBegins, b, exact, beginnings{of: splitter{}, most: KeyBegins})
	}
	if len(d.Lines) > 0 {
		var b []byte
		for i := range d.Lines {
			b = append(append(b, d.Lines[i].Name...), newValue)
		}
		add(FieldName, b, words, analyzer{})
		add(FieldNameBegins, b, exact, beginnings{of: analyzer{}, most: WordBegins})
	}
	if len(d.Notes) > 0 {
		var b []byte
		for i := range d.Notes {
			b = append(append(b, d.Notes[i].Text...), newValue)
		}
		add(FieldNotes, b, words, analyzer{})
		add(FieldNotesBegins, b, exact, beginnings{of: analyzer{}, most: WordBegins})
	}
	add(FieldStatus, []byte(d.Status), faceted, nil)
	add(FieldCustomer, []byte(d.Customer), faceted, nil)
	add(FieldNewest, []byte(Newest(d.PlacedNanos(), string(d.ID))), faceted, nil)
	return out, nil
}

func sourceOf(d *searchindex.Document) ([]byte, error) {
	if d.Deleted {
		return d.Tombstone()
	}
	return json.Marshal(d)
}

// Newest is the sort key of an order placed at that time: text that sorts newest first, and by ID where
// orders were placed at the same time.
func Newest(placedNanos int64, id string) string {
	// Flipping all bits but the sign's turns the order of two's complement around, as unsigned numbers.
	const width = 16
	b := make([]byte, 0, width+len(id))
	hex := strconv.AppendUint(nil, uint64(placedNanos)^(1<<63-1), 16)
	for range width - len(hex) {
		b = append(b, '0')
	}
	b = append(append(b, hex...), id...)
	return string(b)
}

// analyzer makes terms with searchindex.Tokens.
type analyzer struct{}

// Analyze implements bleve's analysis.Analyzer.
func (analyzer) Analyze(text []byte) analysis.TokenStream {
	place := 0
	var tokens []searchindex.Token
	var out analysis.TokenStream
	for i, value := range bytes.Split(text, []byte{newValue}) {
		if i > 0 {
			place += gap
		}
		tokens = searchindex.Tokens(tokens[:0], unsafe.String(unsafe.SliceData(value), len(value)))
		made := make([]analysis.Token, len(tokens))
		for j, t := range tokens {
			place++
			made[j] = analysis.Token{Term: []byte(t.Term), Start: t.Start, End: t.End, Position: place}
			out = append(out, &made[j])
		}
	}
	return out
}

// splitter makes each value one term.
type splitter struct{}

// Analyze implements bleve's analysis.Analyzer.
func (splitter) Analyze(text []byte) analysis.TokenStream {
	values := bytes.Split(text, []byte{newValue})
	out := make(analysis.TokenStream, len(values))
	for i, v := range values {
		out[i] = &analysis.Token{Term: v, End: len(v), Position: i + 1}
	}
	return out
}

// beginnings makes the beginnings of terms, each once.
type beginnings struct {
	of   analysis.Analyzer
	most int // characters
}

// Analyze implements bleve's analysis.Analyzer.
func (a beginnings) Analyze(text []byte) analysis.TokenStream {
	var out analysis.TokenStream
	seen := map[string]bool{}
	for _, t := range a.of.Analyze(text) {
		end := 0
		for range a.most {
			if end == len(t.Term) {
				break
			}
			_, size := utf8.DecodeRune(t.Term[end:])
			end += size
			if begin := t.Term[:end]; !seen[string(begin)] {
				seen[string(begin)] = true
				out = append(out, &analysis.Token{Term: begin, Position: 1})
			}
		}
	}
	return out
}
