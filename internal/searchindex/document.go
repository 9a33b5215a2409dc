package searchindex

import (
	"encoding/json"
	"math"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
)

// Document is an order as it is indexed: the fold of its stream up to Version. Its JSON is what both
// engines store, once. A Document that Fold has returned is not changed afterwards.
type Document struct {
	// ID is the order's stream.
	ID event.StreamID `json:"id"`
	// Version is the number of events folded; 0 means that the order does not exist.
	Version event.Version `json:"version"`
	// Deleted says that the order is no more: the document is its tombstone, which no search finds. It has
	// nothing but ID, Version and UpdatedAt, and stays, so that an event of before cannot bring it back.
	Deleted bool `json:"deleted,omitempty"`
	// Status is one of placed, paid, shipped, delivered, cancelled.
	Status   string `json:"status"`
	Customer string `json:"customer"`
	Lines    []Line `json:"lines,omitempty"`
	// TotalCents is the sum of the lines, in hundredths of Currency.
	TotalCents int64  `json:"totalCents"`
	Currency   string `json:"currency"`
	// Notes are oldest first.
	Notes []Note `json:"notes,omitempty"`

	PlacedAt     time.Time `json:"placedAt,omitzero"`
	PaidAt       time.Time `json:"paidAt,omitzero"`
	ShippedAt    time.Time `json:"shippedAt,omitzero"`
	DeliveredAt  time.Time `json:"deliveredAt,omitzero"`
	CancelledAt  time.Time `json:"cancelledAt,omitzero"`
	CancelReason string    `json:"cancelReason,omitempty"`
	// UpdatedAt is the recorded time of the last event.
	UpdatedAt time.Time `json:"updatedAt,omitzero"`
}

// Line is one line of an order.
type Line struct {
	SKU        string `json:"sku"`
	Name       string `json:"name,omitempty"`
	Quantity   int64  `json:"quantity"`
	TotalCents int64  `json:"totalCents"`
}

// Note is a text that somebody added to an order.
type Note struct {
	Text    string    `json:"text"`
	NotedAt time.Time `json:"notedAt,omitzero"`
	// Author is the principal; may be empty.
	Author string `json:"author,omitempty"`
}

// Statuses are the values of Document.Status.
var Statuses = []string{"placed", "paid", "shipped", "delivered", "cancelled"}

// Keys are the document's exact terms, each once: the skus of its lines and its customer, as Key makes them.
func (d *Document) Keys() []string {
	keys := make([]string, 0, len(d.Lines)+1)
	add := func(s string) {
		k := Key(s)
		if k == "" {
			return
		}
		for _, have := range keys {
			if have == k {
				return
			}
		}
		keys = append(keys, k)
	}
	add(d.Customer)
	for i := range d.Lines {
		add(d.Lines[i].SKU)
	}
	return keys
}

// PlacedNanos is when the order was placed, in nanoseconds since 1970, within what 64 bits hold (the
// years 1678 to 2261). Lists are sorted by it.
func (d *Document) PlacedNanos() int64 {
	switch s := d.PlacedAt.Unix(); {
	case d.PlacedAt.IsZero():
		return 0 // the placing was dropped: as old as can be told
	case s <= math.MinInt64/1_000_000_000:
		return math.MinInt64
	case s >= math.MaxInt64/1_000_000_000:
		return math.MaxInt64
	}
	return d.PlacedAt.UnixNano()
}

// Tombstone is the JSON that is stored of a deleted document.
func (d *Document) Tombstone() ([]byte, error) {
	return json.Marshal(struct {
		ID        event.StreamID `json:"id"`
		Version   event.Version  `json:"version"`
		Deleted   bool           `json:"deleted"`
		UpdatedAt time.Time      `json:"updatedAt,omitzero"`
	}{d.ID, d.Version, true, d.UpdatedAt})
}
