package integration_test

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/integration/harness"
	"github.com/cqrsflow/cqrsflow/integration/robustness/model"
	"github.com/cqrsflow/cqrsflow/integration/robustness/validate"
)

// The import of real purchases: the same totals in SQL, in search, and folded from the log; every customer at any date as
// the file says; and a second import changes nothing.
func TestImport(t *testing.T) {
	n := 3000
	full := os.Getenv(model.WholeEnv) == "full"
	if full {
		n = 0
	}
	file, want := model.CDNOW(t, "testdata/cdnow.txt.gz", n)
	if full && want.Totals() != model.Whole {
		t.Fatalf("the file comes to %+v", want.Totals())
	}
	onBoth(t, func(t *testing.T, g harness.Target) {
		first := runImport(t, g, file)
		if totals := want.Totals(); first.Accepted != 2*len(want) || first.Purchases != totals.Orders || first.Customers != totals.Customers ||
			first.Quantity != totals.Units || first.Cents != totals.Cents {
			t.Fatalf("the import reports %+v, want %+v", first, totals)
		}
		harness.Eventually(t, 5*harness.Patience, "everything is complete", func() error { return validate.Complete(t.Context(), g, want) })
		if err := validate.Everything(t.Context(), g, want); err != nil {
			t.Fatal(err)
		}
		asTheFileSays(t, g, want)

		if second := runImport(t, g, file); second.Accepted != 0 || second.Replayed+second.Present != 2*len(want) {
			t.Errorf("the second import reports %+v", second)
		}
		if err := validate.Everything(t.Context(), g, want); err != nil {
			t.Error("after the second import: ", err)
		}
	})
}

// imported is what `import --json` prints.
type imported struct {
	Purchases int64
	Customers int64
	Quantity  int64
	Cents     int64
	Accepted  int
	Replayed  int
	Present   int
}

func runImport(t *testing.T, g harness.Target, file string) (r imported) {
	t.Helper()
	out := g.Must(t, "import", "cdnow", "--json", file)
	if err := json.Unmarshal([]byte(out.Stdout), &r); err != nil {
		t.Fatal(err, out)
	}
	return r
}

// asTheFileSays asks for the best customer's state at dates, and compares with the purchases up to then.
func asTheFileSays(t *testing.T, g harness.Target, want model.Shop) {
	t.Helper()
	id, best := want.BestCustomer()
	first, err := time.Parse(time.DateOnly, best.First)
	if err != nil {
		t.Fatal(err)
	}
	last, err := time.Parse(time.DateOnly, best.Last)
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	for at := first; !at.After(last.AddDate(0, 0, 7)); at = at.AddDate(0, 0, 7) {
		then := model.Shop{}
		for order, o := range want {
			if o.Customer == id && o.Day <= at.Format(time.DateOnly) {
				then[order] = o
			}
		}
		c := then.Customers()[id]
		var got struct {
			Version int64
			State   struct {
				Orders        int64
				Units         int64
				Spent         struct{ Amount string }
				FirstPurchase string
				LastPurchase  string
			}
		}
		path := harness.Query("/v1/customers/"+id+"/state", "effectiveAt", at.Format(time.RFC3339))
		if err := g.Get(t.Context(), path, func(b []byte) error { return json.Unmarshal(b, &got) }); err != nil {
			t.Fatal(err)
		}
		s := got.State
		spent := fmt.Sprintf("%d.%02d", c.Cents/100, c.Cents%100)
		if s.Orders != c.Orders || s.Units != c.Units || s.Spent.Amount != spent || s.FirstPurchase != c.First || s.LastPurchase != c.Last {
			t.Errorf("%s at %s is %+v, want %+v", id, at.Format(time.DateOnly), s, c)
		}
		asked++
	}
	if asked < 2 {
		t.Errorf("customer %s has been asked for at %d dates only", id, asked)
	}
}
