package model

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestWhole(t *testing.T) {
	_, shop := CDNOW(t, "../../testdata/cdnow.txt.gz", 0)
	if got := shop.Totals(); got != Whole {
		t.Errorf("%+v, want %+v", got, Whole)
	}
	if id, c := shop.BestCustomer(); id != "cdnow-14048" || c.Orders != 217 {
		t.Errorf("%s has %d orders", id, c.Orders)
	}
}

func TestPart(t *testing.T) {
	_, shop := CDNOW(t, "../../testdata/cdnow.txt.gz", 3)
	want := Shop{
		"cdnow-1": {Customer: "cdnow-00001", Status: "paid", Version: 2, Units: 1, Cents: 1177, Day: "1997-01-01"},
		"cdnow-2": {Customer: "cdnow-00002", Status: "paid", Version: 2, Units: 1, Cents: 1200, Day: "1997-01-12"},
		"cdnow-3": {Customer: "cdnow-00002", Status: "paid", Version: 2, Units: 5, Cents: 7700, Day: "1997-01-12"},
	}
	if d := cmp.Diff(want, shop); d != "" {
		t.Error(d)
	}
	customers := map[string]Customer{
		"cdnow-00001": {1, 1, 1177, "1997-01-01", "1997-01-01"},
		"cdnow-00002": {2, 6, 8900, "1997-01-12", "1997-01-12"},
	}
	if d := cmp.Diff(customers, shop.Customers()); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string]Day{"1997-01-01": {1, 1, 1177}, "1997-01-12": {2, 6, 8900}}, shop.Days()); d != "" {
		t.Error(d)
	}
}
