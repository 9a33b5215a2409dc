package cdnow

import (
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cqrsflow/cqrsflow/event"
)

const data = "../../integration/testdata/cdnow.txt.gz"

// The real file: the totals that the data set's description gives.
func TestParseRealData(t *testing.T) {
	f, err := os.Open(data)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all, err := Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(Totals{Purchases: 69_659, Customers: 23_570, Quantity: 167_881, Cents: 2_500_315_63}, Sum(all)); d != "" {
		t.Errorf("totals (-want +got):\n%s", d)
	}
	n := 0
	for i := range all {
		if all[i].N != i+1 {
			t.Fatalf("purchase %d has number %d", i+1, all[i].N)
		}
		if all[i].Customer == "14048" {
			n++
		}
	}
	if n != 217 {
		t.Errorf("customer 14048 has %d purchases, want 217", n)
	}
	first := Purchase{N: 1, Customer: "00001", Date: time.Date(1997, 1, 1, 0, 0, 0, 0, time.UTC), Quantity: 1, Cents: 1177}
	last := Purchase{N: 69_659, Customer: "23570", Date: time.Date(1997, 3, 26, 0, 0, 0, 0, time.UTC), Quantity: 2, Cents: 4296}
	if d := cmp.Diff([]Purchase{first, last}, []Purchase{all[0], all[len(all)-1]}); d != "" {
		t.Errorf("first and last (-want +got):\n%s", d)
	}
}

const head = "customer_id date number_of_cds dollar_value\n"

func TestParsePlain(t *testing.T) {
	all, err := Parse(strings.NewReader(" customer_id  date number_of_cds  dollar_value\r\n 00001 19970101  1   11.77\r\n\r\n2 19980630 3 0\n003 19970102 1000000 0.5"))
	if err != nil {
		t.Fatal(err)
	}
	day := func(y, m, d int) time.Time { return time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC) }
	want := []Purchase{{1, "00001", day(1997, 1, 1), 1, 1177}, {2, "2", day(1998, 6, 30), 3, 0}, {3, "003", day(1997, 1, 2), 1_000_000, 50}}
	if d := cmp.Diff(want, all); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if all, err := Parse(strings.NewReader(head)); err != nil || len(all) != 0 {
		t.Errorf("only a header: %v, %v", all, err)
	}
}

func TestParseErrors(t *testing.T) {
	var whole bytes.Buffer
	z := gzip.NewWriter(&whole)
	_, _ = z.Write([]byte(head + strings.Repeat("00001 19970101 1 11.77\n", 10)))
	_ = z.Close()
	for name, c := range map[string]struct{ in, want string }{
		"empty":                {"", "the file is empty"},
		"no header":            {"00001 19970101 1 11.77\n", "line 1: the file must begin with the header"},
		"a picture":            {"\x89PNG\r\n\x1a\n", "line 1: the file must begin with the header"},
		"too few":              {head + "00001 19970101 1\n", "line 2: there are 3 fields; there must be 4"},
		"too many":             {head + "00001 19970101 1 1 1\n", "line 2: there are 5 fields"},
		"customer":             {head + "0000x 19970101 1 11.77\n", `line 2: customer_id "0000x" must be 1 to 32 digits`},
		"no such day":          {head + "1 19970101 1 1\n1 19970230 1 1\n", `line 3: date "19970230" must be a date such as 19970101`},
		"date with dashes":     {head + "1 1997-01-01 1 1\n", `line 2: date "1997-01-01"`},
		"nothing bought":       {head + "1 19970101 0 1\n", `line 2: number_of_cds "0" must be a number from 1 to 1000000`},
		"signed quantity":      {head + "1 19970101 +1 1\n", `number_of_cds "+1"`},
		"too much":             {head + "1 19970101 1000001 1\n", `number_of_cds "1000001"`},
		"negative amount":      {head + "1 19970101 1 -1.00\n", `line 2: dollar_value "-1.00" must be an amount such as 11.77, not negative`},
		"three decimals":       {head + "1 19970101 1 1.005\n", `dollar_value "1.005"`},
		"no decimals":          {head + "1 19970101 1 1.\n", `dollar_value "1."`},
		"exponent":             {head + "1 19970101 1 1e2\n", `dollar_value "1e2"`},
		"thirteen digits":      {head + "1 19970101 1 1234567890123\n", `dollar_value "1234567890123"`},
		"long line":            {head + strings.Repeat("1", maxLine+1), "line 2: it has more than 65536 bytes"},
		"gzip cut off":         {whole.String()[:whole.Len()-9], "unexpected EOF"},
		"gzip with bad header": {"\x1f\x8b\x00", "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			all, err := Parse(strings.NewReader(c.in))
			if !errors.Is(err, event.ErrMalformed) || !strings.Contains(err.Error(), c.want) || all != nil {
				t.Errorf("%d purchases, error %v, want %q", len(all), err, c.want)
			}
		})
	}
}
