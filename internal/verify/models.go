package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/jsondiff"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

// Get asks the HTTP API: a path, its query and headers; it decodes the answer into out.
type Get func(ctx context.Context, path string, query url.Values, header http.Header, out any) error

// pageSize is the most that the API gives at a time.
const pageSize = "200"

// after asks for answers that have applied at least what was read from the log.
func (f *folds) after() http.Header {
	h := http.Header{"Prefer": {"wait=60"}}
	if len(f.positions) > 0 {
		h.Set("Cqrs-After", event.FormatPositions(f.positions))
	}
	return h
}

// rows compares a list of the API whose items look like the aggregate's state: path and query say which, and item
// takes an item of the page out of what the list holds.
func rows(ctx context.Context, l Log, get Get, t *decider.Type, projection, path string, query url.Values, list string, item func(map[string]any) any) (*Report, error) {
	r := newReport(projection, t.Name)
	f, err := fold(ctx, l, t, r, nil)
	if err != nil {
		return nil, err
	}
	c := comparison{folds: f, log: l, typ: t, report: r, seen: make(map[event.StreamID]bool, len(f.streams)), newer: map[event.StreamID]folded{}}
	query = maps.Clone(query)
	query.Set("limit", pageSize)
	for {
		var page map[string]json.RawMessage
		if err := get(ctx, path, query, f.after(), &page); err != nil {
			return nil, err
		}
		var items []map[string]any
		if err := json.Unmarshal(page[list], &items); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for _, i := range items {
			if err := c.row(ctx, item(i)); err != nil {
				return nil, err
			}
		}
		var cursor string
		if raw := page["cursor"]; raw != nil {
			if err := json.Unmarshal(raw, &cursor); err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
		}
		if cursor == "" {
			break
		}
		query.Set("cursor", cursor)
	}
	for _, id := range sortedStreams(f.streams) {
		if !c.seen[id] {
			r.drifted(Missing, id, "")
		}
	}
	r.Compared = len(f.streams)
	return r, c.judgeNewer(ctx)
}

// comparison is one list of rows against the folds.
type comparison struct {
	folds
	log    Log
	typ    *decider.Type
	report *Report
	seen   map[event.StreamID]bool
	// newer are rows that are ahead of the log as it was read.
	newer map[event.StreamID]folded
}

// judgeNewer reads the log again where rows were ahead of it: they may be what happened since, or never.
func (c *comparison) judgeNewer(ctx context.Context) error {
	if len(c.newer) == 0 {
		return nil
	}
	again, err := fold(ctx, c.log, c.typ, newReport("", ""), nil)
	if err != nil {
		return err
	}
	for _, id := range sortedStreams(c.newer) {
		row, now := c.newer[id], again.streams[id]
		switch {
		case now.version == 0:
			c.report.drifted(Extra, id, "")
		case now.version < row.version:
			c.report.drifted(Different, id, "it is at version %d, the log at %d", row.version, now.version)
		case now.version == row.version && now.sum != row.sum:
			c.report.drifted(Different, id, "")
		default:
			c.report.Newer++
		}
	}
	return nil
}

func (c *comparison) row(ctx context.Context, row any) error {
	fields, ok := row.(map[string]any)
	id, okID := fields["id"].(string)
	version, okVersion := fields["version"].(float64)
	if !ok || !okID || !okVersion {
		return fmt.Errorf("%w: an item of the list has no id and version", event.ErrMalformed)
	}
	stream := event.StreamID(id)
	got, err := sumOf(row)
	if err != nil {
		return err
	}
	r, want := c.report, c.streams[stream]
	switch {
	case c.broken[stream]:
		return nil
	case c.seen[stream]:
		r.drifted(Extra, stream, "it is there twice")
		return nil
	case event.Version(version) > want.version:
		c.newer[stream], c.seen[stream] = folded{event.Version(version), got}, true
		return nil
	}
	c.seen[stream] = true
	if got == want.sum {
		return nil
	}
	if r.Drift >= MaxListed {
		r.drifted(Different, stream, "")
		return nil
	}
	expected, err := refold(ctx, c.log, c.typ, stream)
	if err != nil {
		return err
	}
	var details []string
	for _, d := range jsondiff.Diff(expected, row) {
		details = append(details, fmt.Sprintf("%s is %s, not %s", d.Path, jsondiff.Text(d.After), jsondiff.Text(d.Before)))
	}
	r.drifted(Different, stream, "%s", strings.Join(details, "; "))
	return nil
}

func whole(i map[string]any) any { return i }

// Orders compares the read model orders with the streams of t, the aggregate type order.
func Orders(ctx context.Context, l Log, get Get, t *decider.Type) (*Report, error) {
	return rows(ctx, l, get, t, "orders", "/v1/orders", url.Values{"sort": {"id"}}, "items", whole)
}

// Customers compares the read model customers with the streams of t, the aggregate type customer.
func Customers(ctx context.Context, l Log, get Get, t *decider.Type) (*Report, error) {
	return rows(ctx, l, get, t, "customers", "/v1/customers", url.Values{"sort": {"id"}}, "items", whole)
}

// Experiments compares the rows of the read model experiments with the streams of t, the aggregate type experiment. What was measured of
// units is not compared: it is of all aggregate types.
func Experiments(ctx context.Context, l Log, get Get, t *decider.Type) (*Report, error) {
	return rows(ctx, l, get, t, "experiments", "/v1/experiments", url.Values{}, "items", whole)
}

// Search compares the documents of orders_search with the streams of t, the aggregate type order.
func Search(ctx context.Context, l Log, get Get, t *decider.Type) (*Report, error) {
	return rows(ctx, l, get, t, "orders_search", "/v1/orders/search", url.Values{}, "hits", func(i map[string]any) any { return i["order"] })
}

// DailySales compares the read model daily_sales with the payments in the log of t, the aggregate type order.
// Payments that come in meanwhile show as differences of their days.
func DailySales(ctx context.Context, l Log, get Get, t *decider.Type) (*Report, error) {
	r := newReport("daily_sales", "")
	type day struct {
		orders, units int64
		revenue       map[string]string
	}
	totals := map[string]map[string]*big.Rat{}
	days := map[string]*day{}
	f, err := fold(ctx, l, t, r, func(e *event.Recorded) {
		paid, ok := e.Body.(*orderv1.OrderPaid)
		if !ok {
			return
		}
		date := e.Time.UTC().Format("2006-01-02")
		d := days[date]
		if d == nil {
			d = &day{revenue: map[string]string{}}
			days[date], totals[date] = d, map[string]*big.Rat{}
		}
		d.orders++
		d.units += int64(paid.GetUnits())
		amount, _ := new(big.Rat).SetString(paid.GetTotal().GetAmount())
		if amount == nil {
			amount = new(big.Rat)
		}
		currency := paid.GetTotal().GetCurrency()
		if sofar := totals[date][currency]; sofar != nil {
			amount.Add(amount, sofar)
		}
		totals[date][currency] = amount
		d.revenue[currency] = amount.FloatString(2)
	})
	if err != nil {
		return nil, err
	}
	type money struct {
		Amount   string `json:"amount"`
		Currency string `json:"currency"`
	}
	var answer struct {
		Days []struct {
			Date         string  `json:"date"`
			Orders       int64   `json:"orders"`
			Units        int64   `json:"units"`
			Revenue      *money  `json:"revenue"`
			RevenueOther []money `json:"revenueOther"`
		} `json:"days"`
	}
	if err := get(ctx, "/v1/sales/daily", nil, f.after(), &answer); err != nil {
		return nil, err
	}
	r.Compared = len(days)
	for _, got := range answer.Days {
		want := days[got.Date]
		if want == nil {
			r.differ(Extra, got.Date, "")
			continue
		}
		delete(days, got.Date)
		revenue := map[string]string{}
		for _, m := range append(got.RevenueOther, deref(got.Revenue)...) {
			revenue[m.Currency] = m.Amount
		}
		if got.Orders != want.orders || got.Units != want.units || !maps.Equal(revenue, want.revenue) {
			r.differ(Different, got.Date, "%d orders, %d units, %v; the log says %d, %d, %v", got.Orders, got.Units, revenue, want.orders, want.units, want.revenue)
		}
	}
	for _, date := range slices.Sorted(maps.Keys(days)) {
		r.differ(Missing, date, "")
	}
	return r, nil
}

func deref[T any](p *T) []T {
	if p == nil {
		return nil
	}
	return []T{*p}
}
