package money

import (
	"errors"
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
)

func TestParse(t *testing.T) {
	for in, want := range map[string]int64{
		"11.77": 1177, "0": 0, "0.00": 0, "0.05": 5, "0.5": 50, "7": 700, "007.50": 750,
		"999999999999.99": 99_999_999_999_999, "92233720368547758.07": math.MaxInt64,
		"0000000000000000000000000000000000000001.00": 100,
	} {
		if got, err := Parse(in); err != nil || got != want {
			t.Errorf("Parse(%q) = %d, %v; want %d", in, got, err, want)
		}
	}
	for in, want := range map[string]error{
		"": ErrSyntax, ".": ErrSyntax, "1.": ErrSyntax, ".5": ErrSyntax, "1.234": ErrSyntax, "-1": ErrSyntax, "+1": ErrSyntax,
		"1,5": ErrSyntax, "1e3": ErrSyntax, " 1": ErrSyntax, "1.5 ": ErrSyntax, "١": ErrSyntax, "1.-5": ErrSyntax, "0x10": ErrSyntax, "1_0": ErrSyntax,
		"92233720368547758.08": ErrTooLarge, "1000000000000000000000000000000000000000": ErrTooLarge,
	} {
		if got, err := Parse(in); !errors.Is(err, want) {
			t.Errorf("Parse(%q) = %d, %v; want %v", in, got, err, want)
		}
	}
}

func TestFormat(t *testing.T) {
	for in, want := range map[int64]string{0: "0.00", 5: "0.05", 50: "0.50", 1177: "11.77", -1: "-0.01", math.MaxInt64: "92233720368547758.07", math.MinInt64: "-92233720368547758.08"} {
		if got := Format(in); got != want {
			t.Errorf("Format(%d) = %q, want %q", in, got, want)
		}
	}
}

func TestFormatIsParsesInverse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cents := rapid.Int64Min(0).Draw(t, "cents")
		if got, err := Parse(Format(cents)); err != nil || got != cents {
			t.Fatalf("Parse(Format(%d)) = %d, %v", cents, got, err)
		}
	})
}

// Add and Times agree with arithmetic without bounds, or say that the result is too large.
func TestArithmetic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Int64Min(0).Draw(t, "a"), rapid.Int64Min(0).Draw(t, "b")
		check := func(what string, got Amount, err error, want *big.Int) {
			switch {
			case !want.IsInt64():
				if !errors.Is(err, ErrTooLarge) {
					t.Fatalf("%s of %d and %d: %v, want ErrTooLarge", what, a, b, err)
				}
			case err != nil || got != (Amount{want.Int64(), "USD"}):
				t.Fatalf("%s of %d and %d: %v, %v; want %v", what, a, b, got, err, want)
			}
		}
		x, y := Amount{a, "USD"}, Amount{b, "USD"}
		sum, err := x.Add(y)
		check("sum", sum, err, new(big.Int).Add(big.NewInt(a), big.NewInt(b)))
		product, err := x.Times(b)
		check("product", product, err, new(big.Int).Mul(big.NewInt(a), big.NewInt(b)))
	})
}

func TestCurrenciesDoNotAdd(t *testing.T) {
	if _, err := (Amount{1, "USD"}).Add(Amount{1, "EUR"}); !errors.Is(err, ErrCurrency) {
		t.Errorf("error %v, want ErrCurrency", err)
	}
}

func TestProto(t *testing.T) {
	a, err := Of(&typev1.Money{Amount: "7.5", Currency: "USD"})
	if err != nil || a.String() != "7.50 USD" || a.Proto().GetAmount() != "7.50" || a.Proto().GetCurrency() != "USD" {
		t.Errorf("%v, %v", a, err)
	}
	if _, err := Of(nil); !errors.Is(err, ErrSyntax) {
		t.Errorf("no money at all: %v", err)
	}
}
