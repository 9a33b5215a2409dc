package elastic

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
)

// source is a document as it is sent, for encoding/json.
type source struct {
	*searchindex.Document
	Search *searched `json:"search"`
}

func reference(t interface{ Fatal(...any) }, d *searchindex.Document, s *searched) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(source{d, s}); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

func TestDocumentsAreEncodedAsByReflection(t *testing.T) {
	text := rapid.OneOf(rapid.SampledFrom([]string{"", "cd", `"quoted" \ <b>&amp;`, "é ü 漢 🙂", "a\u2028b\u2029c", "\xff\xfe broken", "\ufffd", "tab\tline\nnul\x00\x7f"}),
		rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
	at := rapid.OneOf(rapid.Just(time.Time{}), rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(rapid.Int64Range(-60_000_000_000, 250_000_000_000).Draw(t, "seconds"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanos")).UTC()
	}))
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) string { return text.Draw(t, name) }
		when := func(name string) time.Time { return at.Draw(t, name) }
		d := searchindex.Document{ID: event.StreamID(draw("id")), Version: event.Version(rapid.Int64().Draw(t, "version")), Status: draw("status"), Customer: draw("customer"),
			TotalCents: rapid.Int64().Draw(t, "total"), Currency: draw("currency"), PlacedAt: when("placed"), PaidAt: when("paid"), ShippedAt: when("shipped"),
			DeliveredAt: when("delivered"), CancelledAt: when("cancelled"), CancelReason: draw("reason"), UpdatedAt: when("updated")}
		for range rapid.IntRange(0, 3).Draw(t, "lines") {
			d.Lines = append(d.Lines, searchindex.Line{SKU: draw("sku"), Name: draw("name"), Quantity: rapid.Int64().Draw(t, "quantity"), TotalCents: rapid.Int64().Draw(t, "cents")})
		}
		for range rapid.IntRange(0, 3).Draw(t, "notes") {
			d.Notes = append(d.Notes, searchindex.Note{Text: draw("note"), NotedAt: when("noted"), Author: draw("author")})
		}
		s := searched{Key: rapid.SliceOfN(text, 0, 3).Draw(t, "keys"), Name: rapid.SliceOfN(text, 0, 3).Draw(t, "names"), Notes: rapid.SliceOfN(text, 0, 3).Draw(t, "terms"),
			Placed: rapid.Int64().Draw(t, "placed nanos")}
		got, err := appendDocument([]byte("before"), &d, &s)
		if err != nil {
			t.Fatal(err)
		}
		if want := "before" + string(reference(t, &d, &s)); string(got) != want {
			t.Fatalf("got  %s\nwant %s", got, want)
		}
	})
}

// Every field of a document is encoded: a new one would be forgotten here.
func TestNoFieldIsForgotten(t *testing.T) {
	var all map[string]any
	d := searchindex.Document{ID: "a", CancelReason: "r", Lines: []searchindex.Line{{}}, Notes: []searchindex.Note{{}}}
	for _, at := range []*time.Time{&d.PlacedAt, &d.PaidAt, &d.ShippedAt, &d.DeliveredAt, &d.CancelledAt, &d.UpdatedAt} {
		*at = time.Unix(1, 0).UTC()
	}
	got, err := appendDocument(nil, &d, &searched{})
	if err != nil {
		t.Fatal(err)
	}
	if want := reference(t, &d, &searched{}); !bytes.Equal(got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if err := json.Unmarshal(got, &all); err != nil || len(all) != 16 {
		t.Errorf("%d fields, %v: a field more needs a value above", len(all), err)
	}
}

func TestDateThatJSONCannotHold(t *testing.T) {
	var b Bulk
	good := searchindex.Document{ID: "a", Version: 1}
	if err := b.Add(0, &good, false); err != nil {
		t.Fatal(err)
	}
	size := b.Bytes()
	bad := searchindex.Document{ID: "b", Version: 1, PaidAt: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC), UpdatedAt: time.Unix(0, 0)}
	if err := b.Add(1, &bad, false); err == nil || b.Bytes() != size || b.Len() != 1 {
		t.Errorf("%v; %d documents, %d bytes of %d", err, b.Len(), b.Bytes(), size)
	}
}

func BenchmarkBulkAdd(b *testing.B) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	d := searchindex.Document{ID: "o-1", Version: 2, Status: "paid", Customer: "c-00017", TotalCents: 3997, Currency: "USD", PlacedAt: at, PaidAt: at, UpdatedAt: at,
		Lines: []searchindex.Line{{SKU: "sku-1", Name: "amber pine", Quantity: 2, TotalCents: 2998}, {SKU: "sku-2", Name: "river kelp", Quantity: 1, TotalCents: 999}}}
	var bulk Bulk
	b.ReportAllocs()
	for b.Loop() {
		if bulk.Bytes() > 1<<20 {
			bulk.Reset()
		}
		if err := bulk.Add(0, &d, false); err != nil {
			b.Fatal(err)
		}
	}
}
