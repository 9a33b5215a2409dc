package query

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
)

// cursor says where a page ended: the sort key and the ID of its last row. What comes after is found by
// comparing with both, so pages neither repeat nor skip rows that stay where they are, whatever is
// written in between. Its text form is opaque to callers.
type cursor struct {
	// Query ties the cursor to the filters and the order that it was made for.
	Query uint32 `json:"q"`
	Key   string `json:"k"`
	ID    string `json:"i"`
}

// maxCursor bounds what is decoded: the longest key and ID with room to spare.
const maxCursor = 1 << 10

func (c cursor) String() string {
	b, _ := json.Marshal(c) // strings and a number: it cannot fail
	return base64.RawURLEncoding.EncodeToString(b)
}

// parseCursor reads a cursor that String made for the same query; all else is ErrBadCursor.
func parseCursor(text string, query uint32, key sortKey) (cursor, error) {
	var c cursor
	if len(text) > maxCursor {
		return c, ErrBadCursor
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || json.Unmarshal(b, &c) != nil || c.String() != text {
		return c, ErrBadCursor
	}
	if c.Query != query || event.CheckStreamID(c.ID) != nil || !key.valid(c.Key) {
		return c, ErrBadCursor
	}
	return c, nil
}

// fingerprint of a query: of the read model, the order and every filter.
func fingerprint(parts ...any) uint32 {
	h := fnv.New32a()
	for _, p := range parts {
		if t, ok := p.(time.Time); ok {
			p = t.UTC().Format(time.RFC3339Nano)
		}
		fmt.Fprintf(h, "%v\x00", p)
	}
	return h.Sum32()
}

// sortKey is a column that a list can be sorted by. Ties are broken by ID, in the same direction.
type sortKey struct {
	column string
	// cast is the SQL type that a cursor's text is read as.
	cast string
}

func (k sortKey) valid(text string) bool {
	switch k.cast {
	case "timestamptz":
		t, err := time.Parse(time.RFC3339Nano, text)
		return err == nil && t.Year() >= 1
	case "date":
		t, err := time.Parse(time.DateOnly, text)
		return err == nil && t.Year() >= 1
	case "bigint":
		_, err := strconv.ParseInt(text, 10, 64)
		return err == nil
	}
	return text == "" // sorted by ID alone
}

// BadSortError is a sort order that a list does not have. It wraps event.ErrInvalid.
type BadSortError struct {
	Sort string
	// Allowed are the names; each may have a leading "-" for descending.
	Allowed []string
}

// Error lists what is allowed.
func (e *BadSortError) Error() string {
	return fmt.Sprintf("%q is no sort order; it must be one of %s, with a leading - for descending", e.Sort, strings.Join(e.Allowed, ", "))
}

// Unwrap returns event.ErrInvalid.
func (e *BadSortError) Unwrap() error { return event.ErrInvalid }

// order is a parsed sort order.
type order struct {
	key  sortKey
	desc bool
}

func parseSort(text string, keys map[string]sortKey) (order, error) {
	name, desc := strings.CutPrefix(text, "-")
	key, ok := keys[name]
	if !ok {
		allowed := make([]string, 0, len(keys))
		for k := range keys {
			allowed = append(allowed, k)
		}
		slices.Sort(allowed)
		return order{}, &BadSortError{Sort: text, Allowed: allowed}
	}
	return order{key: key, desc: desc}, nil
}

func (o order) by(id string) string {
	dir := ""
	if o.desc {
		dir = " DESC"
	}
	if o.key.cast == "" {
		return id + dir
	}
	return o.key.column + dir + ", " + id + dir
}

// after adds the condition that rows come after the cursor.
func (o order) after(c cursor, id string, w *where) {
	op := ">"
	if o.desc {
		op = "<"
	}
	if o.key.cast == "" {
		w.add(id+" "+op+" ?", c.ID)
		return
	}
	w.add(fmt.Sprintf("(%s, %s) %s (?::text::%s, ?)", o.key.column, id, op, o.key.cast), c.Key, c.ID)
}

// where collects conditions and their arguments; ? stands for the next argument.
type where struct {
	conditions []string
	args       []any
}

func (w *where) add(condition string, args ...any) {
	for _, a := range args {
		condition = strings.Replace(condition, "?", w.arg(a), 1)
	}
	w.conditions = append(w.conditions, condition)
}

// arg adds an argument and returns its placeholder.
func (w *where) arg(a any) string {
	w.args = append(w.args, a)
	return fmt.Sprintf("$%d", len(w.args))
}

func (w *where) String() string {
	if len(w.conditions) == 0 {
		return ""
	}
	return "WHERE " + strings.Join(w.conditions, " AND ")
}

// Page is a part of a list. Cursor asks for the next one; it is empty at the end.
type Page[T any] struct {
	Items  []T
	Cursor string
}

// page cuts what a query for limit+1 rows returned.
func page[T any](rows []T, limit int, query uint32, last func(T) (key, id string)) Page[T] {
	if len(rows) <= limit {
		return Page[T]{Items: rows}
	}
	rows = rows[:limit]
	key, id := last(rows[limit-1])
	return Page[T]{Items: rows, Cursor: cursor{Query: query, Key: key, ID: id}.String()}
}
