package search

import (
	"encoding/base64"
	"encoding/json"
	"hash/fnv"
	"math"
	"strconv"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/query"
)

// cursor is the sort key of the last hit of a page.
type cursor struct {
	// Query ties the cursor to what was searched for.
	Query uint32 `json:"q"`
	// Score as the engine wrote it; empty where hits have none.
	Score string `json:"s,omitempty"`
	// Placed is in nanoseconds since 1970.
	Placed int64  `json:"p"`
	ID     string `json:"i"`
}

// maxCursor bounds what is decoded: the longest ID with room to spare.
const maxCursor = 512

func (c cursor) String() string {
	b, _ := json.Marshal(c) // strings and numbers: it cannot fail
	return base64.RawURLEncoding.EncodeToString(b)
}

// parseCursor reads a cursor that String made for the same search; all else is query.ErrBadCursor.
func parseCursor(text string, p *plan) (cursor, error) {
	var c cursor
	if len(text) > maxCursor {
		return c, query.ErrBadCursor
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || json.Unmarshal(b, &c) != nil || c.String() != text {
		return c, query.ErrBadCursor
	}
	if c.Query != p.fingerprint() || event.CheckStreamID(c.ID) != nil || p.ranked() != (c.Score != "") {
		return c, query.ErrBadCursor
	}
	if c.Score != "" {
		score, err := strconv.ParseFloat(c.Score, 64)
		if err != nil || math.IsNaN(score) || math.IsInf(score, 0) {
			return c, query.ErrBadCursor
		}
	}
	return c, nil
}

// fingerprint is a hash of what decides which orders match and in which order.
func (p *plan) fingerprint() uint32 {
	h := fnv.New32a()
	b, _ := json.Marshal([]any{p.words, p.Status, p.Customer}) // strings and flags: it cannot fail
	_, _ = h.Write(b)                                          // a hash never fails
	return h.Sum32()
}

// next is the cursor after a hit.
func (p *plan) next(score string, o *Order) string {
	c := cursor{Query: p.fingerprint(), Placed: o.PlacedNanos(), ID: string(o.ID)}
	if p.ranked() {
		c.Score = score
	}
	return c.String()
}
