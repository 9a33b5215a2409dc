package api

import (
	"slices"
	"time"

	"github.com/cqrsflow/cqrsflow/query"
)

func (a *API) dailySales(c *call) error {
	from, to := c.params.date("from"), c.params.date("to")
	if err := c.params.err(); err != nil {
		return err
	}
	if !from.IsZero() && !to.IsZero() && to.Before(from) {
		return malformed("to", "it is before from")
	}
	if err := a.all(c, "daily_sales.read"); err != nil {
		return err
	}
	ctx, cancel, err := a.caughtUp(c, query.SalesModel)
	if err != nil {
		return err
	}
	defer cancel()
	rows, err := a.cfg.Sales.Daily(ctx, from, to)
	if err != nil {
		return err
	}
	return c.writeTagged("", salesOf(rows))
}

// salesOf groups rows, one a day and currency, by day. One currency, that of most orders, is the main one
// of the whole answer, so that its revenues can be compared.
func salesOf(rows []query.DaySales) Sales {
	main := mainCurrency(rows)
	s := Sales{Days: []Day{}}
	var total sums
	for len(rows) > 0 {
		n := slices.IndexFunc(rows, func(r query.DaySales) bool { return !r.Day.Equal(rows[0].Day) })
		if n < 0 {
			n = len(rows)
		}
		var day sums
		for _, r := range rows[:n] {
			day.add(r)
			total.add(r)
		}
		s.Days = append(s.Days, Day{Date: rows[0].Day.Format(time.DateOnly), Totals: day.totals(main)})
		rows = rows[n:]
	}
	s.Total = total.totals(main)
	return s
}

func mainCurrency(rows []query.DaySales) string {
	orders := map[string]int64{}
	for _, r := range rows {
		orders[r.Revenue.Currency] += r.Orders
	}
	main := ""
	for currency, n := range orders {
		if main == "" || n > orders[main] || n == orders[main] && currency < main {
			main = currency
		}
	}
	return main
}

type sums struct {
	orders, units int64
	revenue       []query.Money
}

func (s *sums) add(r query.DaySales) {
	s.orders += r.Orders
	s.units += r.Units
	for i := range s.revenue {
		if s.revenue[i].Currency == r.Revenue.Currency {
			s.revenue[i].Cents += r.Revenue.Cents
			return
		}
	}
	s.revenue = append(s.revenue, r.Revenue)
}

func (s *sums) totals(main string) Totals {
	t := Totals{Orders: s.orders, Units: s.units}
	if main == "" {
		return t
	}
	slices.SortFunc(s.revenue, func(a, b query.Money) int {
		if a.Currency < b.Currency {
			return -1
		}
		return 1
	})
	t.Revenue = &Money{Amount: query.Money{}.Amount(), Currency: main}
	for _, m := range s.revenue {
		if money := moneyOfRow(m); m.Currency == main {
			t.Revenue = &money
		} else {
			t.RevenueOther = append(t.RevenueOther, money)
		}
	}
	return t
}
