package model

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Whole is what the whole CDNOW file comes to, as published with it.
var Whole = Totals{Orders: 69_659, Customers: 23_570, Units: 167_881, Cents: 250_031_563}

// WholeEnv set to "full" has the tests import the whole file.
const WholeEnv = "CQRSFLOW_CDNOW"

// CDNOW cuts the first n purchases (0: all) out of the compressed CDNOW file into a file of the test's, which it
// returns with what must come of importing it: every purchase placed and paid on its date.
func CDNOW(t testing.TB, path string, n int) (file string, want Shop) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	if n > 0 && n+1 < len(lines) {
		lines = lines[:n+1] // a header is before them
	}
	file = filepath.Join(t.TempDir(), "cdnow.txt")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	if want, err = parse(strings.NewReader(strings.Join(lines[1:], ""))); err != nil {
		t.Fatal(err)
	}
	return file, want
}

// parse reads data lines: customer, date, number of CDs, dollars.
func parse(r io.Reader) (Shop, error) {
	shop := Shop{}
	for s := bufio.NewScanner(r); s.Scan(); {
		if strings.TrimSpace(s.Text()) == "" {
			continue
		}
		f := strings.Fields(s.Text())
		if len(f) != 4 || len(f[1]) != 8 {
			return nil, fmt.Errorf("data line %d is %q", len(shop)+1, s.Text())
		}
		units, err := strconv.ParseInt(f[2], 10, 64)
		if err != nil {
			return nil, err
		}
		cents, err := strconv.ParseInt(strings.Replace(f[3], ".", "", 1), 10, 64) // always two decimals
		if err != nil {
			return nil, err
		}
		shop[fmt.Sprintf("cdnow-%d", len(shop)+1)] = Order{Customer: "cdnow-" + f[0], Status: "paid", Version: 2, Units: units, Cents: cents,
			Day: f[1][:4] + "-" + f[1][4:6] + "-" + f[1][6:]}
	}
	return shop, nil
}
