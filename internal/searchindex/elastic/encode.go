package elastic

import (
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/cqrsflow/cqrsflow/internal/searchindex"
)

// appendDocument appends the JSON of a document and of what is only searched of it: the same bytes as
// encoding/json with HTML left alone, by hand, since encoding by reflection took half of the sink's time.
func appendDocument(b []byte, d *searchindex.Document, s *searched) ([]byte, error) {
	var err error
	text := func(name, value string) {
		b = appendText(append(b, name...), value)
	}
	number := func(name string, n int64) {
		b = strconv.AppendInt(append(b, name...), n, 10)
	}
	at := func(name string, t time.Time) {
		if t.IsZero() || err != nil {
			return
		}
		b = append(append(b, name...), '"')
		if b, err = t.AppendText(b); err == nil { // RFC 3339; its error is a year beyond 9999
			b = append(b, '"')
		}
	}
	text(`{"id":`, string(d.ID))
	number(`,"version":`, int64(d.Version))
	text(`,"status":`, d.Status)
	text(`,"customer":`, d.Customer)
	for i := range d.Lines {
		l := &d.Lines[i]
		text(begin(i, `,"lines":[`)+`{"sku":`, l.SKU)
		if l.Name != "" {
			text(`,"name":`, l.Name)
		}
		number(`,"quantity":`, l.Quantity)
		number(`,"totalCents":`, l.TotalCents)
		b = append(b, '}')
	}
	if len(d.Lines) > 0 {
		b = append(b, ']')
	}
	number(`,"totalCents":`, d.TotalCents)
	text(`,"currency":`, d.Currency)
	for i := range d.Notes {
		n := &d.Notes[i]
		text(begin(i, `,"notes":[`)+`{"text":`, n.Text)
		at(`,"notedAt":`, n.NotedAt)
		if n.Author != "" {
			text(`,"author":`, n.Author)
		}
		b = append(b, '}')
	}
	if len(d.Notes) > 0 {
		b = append(b, ']')
	}
	at(`,"placedAt":`, d.PlacedAt)
	at(`,"paidAt":`, d.PaidAt)
	at(`,"shippedAt":`, d.ShippedAt)
	at(`,"deliveredAt":`, d.DeliveredAt)
	at(`,"cancelledAt":`, d.CancelledAt)
	if d.CancelReason != "" {
		text(`,"cancelReason":`, d.CancelReason)
	}
	at(`,"updatedAt":`, d.UpdatedAt)
	b = append(b, `,"search":{`...)
	b = appendTexts(b, `"key":[`, s.Key)
	b = appendTexts(b, `"name":[`, s.Name)
	b = appendTexts(b, `"notes":[`, s.Notes)
	number(`"placed":`, s.Placed)
	return append(b, '}', '}'), err
}

// begin is what stands before the i-th element of an array.
func begin(i int, first string) string {
	if i == 0 {
		return first
	}
	return ","
}

// appendTexts appends a field and a comma, unless there are none.
func appendTexts(b []byte, name string, values []string) []byte {
	for i, v := range values {
		b = appendText(append(b, begin(i, name)...), v)
	}
	if len(values) > 0 {
		b = append(b, ']', ',')
	}
	return b
}

// appendText appends a JSON string.
func appendText(b []byte, s string) []byte {
	if !plain(s) {
		return appendEscaped(b, s)
	}
	return append(append(append(b, '"'), s...), '"')
}

// plain reports whether a string needs no escapes.
func plain(s string) bool {
	ascii := true
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c < ' ', c == '"', c == '\\':
			return false
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	if ascii {
		return true
	}
	for _, r := range s {
		if r == utf8.RuneError || r == '\u2028' || r == '\u2029' {
			return false
		}
	}
	return true
}

func appendEscaped(b []byte, s string) []byte {
	w := appender{b}
	e := json.NewEncoder(&w)
	e.SetEscapeHTML(false)
	_ = e.Encode(s)         // of a string, into memory
	return w.b[:len(w.b)-1] // it ends with a newline
}

type appender struct{ b []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.b = append(a.b, p...)
	return len(p), nil
}
