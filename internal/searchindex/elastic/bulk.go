package elastic

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
)

// Bulk collects documents for one bulk request. Reuse it with Reset; it is not safe for concurrent use.
type Bulk struct {
	buf    []byte
	items  []item
	fields searched
}

type item struct {
	tag        int
	start, end int
	replaces   bool
}

// searched is what is not kept of a document, but searched.
type searched struct {
	Key    []string `json:"key,omitempty"`
	Name   []string `json:"name,omitempty"`
	Notes  []string `json:"notes,omitempty"`
	Placed int64    `json:"placed"`
}

// Reset empties the request.
func (b *Bulk) Reset() {
	b.buf = b.buf[:0]
	b.items = b.items[:0]
}

// Len is the number of documents, Bytes their size.
func (b *Bulk) Len() int { return len(b.items) }

// Bytes is the size of the request.
func (b *Bulk) Bytes() int { return len(b.buf) }

// Add adds a document, to be indexed under its stream's version: an older one is replaced, the same or a
// newer one stays. replaces says that there must be one. tag comes back with its result.
func (b *Bulk) Add(tag int, d *searchindex.Document, replaces bool) error {
	return b.add(tag, d, "external", replaces)
}

// AddAnew is Add, but that the same version is replaced, too.
func (b *Bulk) AddAnew(tag int, d *searchindex.Document) error {
	return b.add(tag, d, "external_gte", false)
}

func (b *Bulk) add(tag int, d *searchindex.Document, versionType string, replaces bool) error {
	line := append(b.buf, `{"index":{"_id":"`...)
	line = append(line, d.ID...) // a stream ID needs no escaping
	line = append(line, `","version":`...)
	line = strconv.AppendInt(line, int64(d.Version), 10)
	line = append(append(append(line, `,"version_type":"`...), versionType...), `"}}`+"\n"...)
	line, err := b.encode(line, d)
	if err != nil {
		return fmt.Errorf("encode the search document of %s: %w", d.ID, err)
	}
	start := len(b.buf)
	b.buf = append(line, '\n')
	b.items = append(b.items, item{tag: tag, start: start, end: len(b.buf), replaces: replaces})
	return nil
}

func (b *Bulk) encode(line []byte, d *searchindex.Document) ([]byte, error) {
	if d.Deleted { // nothing of it is indexed but its ID and version
		stone, err := d.Tombstone()
		return append(line, stone...), err
	}
	b.fields.of(d)
	return appendDocument(line, d, &b.fields)
}

func (s *searched) of(d *searchindex.Document) {
	s.Key, s.Name, s.Notes, s.Placed = d.Keys(), s.Name[:0], s.Notes[:0], d.PlacedNanos()
	for i := range d.Lines {
		if terms := searchindex.Terms(d.Lines[i].Name); len(terms) > 0 {
			s.Name = append(s.Name, strings.Join(terms, " "))
		}
	}
	for i := range d.Notes {
		if terms := searchindex.Terms(d.Notes[i].Text); len(terms) > 0 {
			s.Notes = append(s.Notes, strings.Join(terms, " "))
		}
	}
}

// Result is what became of a document of a bulk request.
type Result struct {
	Tag    int
	Status int
	Error  *ItemError
}

// Send makes the request, through an alias, and calls each with the result of every document that was
// not indexed, or that was made (status 201) where it was to replace another one. The documents for which each returns true stay in the request, to be sent again.
func (b *Bulk) Send(ctx context.Context, c *Client, alias string, each func(Result) (again bool)) error {
	var answer struct {
		Errors bool `json:"errors"`
		Items  []struct {
			Index struct {
				Status int        `json:"status"`
				Error  *ItemError `json:"error"`
			} `json:"index"`
		} `json:"items"`
	}
	path := "/" + alias + "/_bulk?require_alias=true&filter_path=errors,items.*.status,items.*.error"
	if err := c.Do(ctx, http.MethodPost, path, NDJSON, b.buf, &answer); err != nil {
		var refused *Refused
		if !errors.As(err, &refused) {
			*b = Bulk{} // without an answer, the transport may still be reading the buffer
		}
		return err
	}
	if len(answer.Items) != len(b.items) {
		return fmt.Errorf("%w: Elasticsearch at %s answers for %d of %d documents", event.ErrUnavailable, c.server, len(answer.Items), len(b.items))
	}
	kept, end := 0, 0
	for i, it := range b.items {
		r := answer.Items[i].Index
		if r.Status < 300 && r.Error == nil && !(it.replaces && r.Status == http.StatusCreated) {
			continue
		}
		if !each(Result{Tag: it.tag, Status: r.Status, Error: r.Error}) {
			continue
		}
		n := copy(b.buf[end:], b.buf[it.start:it.end])
		b.items[kept] = item{tag: it.tag, start: end, end: end + n, replaces: it.replaces}
		kept, end = kept+1, end+n
	}
	b.items = b.items[:kept]
	b.buf = b.buf[:end]
	return nil
}

// Split moves the second half of the request into another one, which it returns.
func (b *Bulk) Split() *Bulk {
	half := len(b.items) / 2
	other := &Bulk{}
	for _, it := range b.items[half:] {
		start := len(other.buf)
		other.buf = append(other.buf, b.buf[it.start:it.end]...)
		other.items = append(other.items, item{tag: it.tag, start: start, end: len(other.buf), replaces: it.replaces})
	}
	b.buf = b.buf[:b.items[half].start]
	b.items = b.items[:half]
	return other
}

// Tag is the tag of the i-th document.
func (b *Bulk) Tag(i int) int { return b.items[i].tag }
