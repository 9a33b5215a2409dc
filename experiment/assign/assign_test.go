package assign

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/cqrsflow/cqrsflow/event"
)

func halves(salt string) Plan {
	return Plan{Salt: salt, Coverage: Parts, Variants: []Variant{{"control", 5000}, {"candidate", 5000}}}
}

func assigner(t testing.TB, p Plan) *Assigner {
	t.Helper()
	a, err := New(p)
	require.NoError(t, err)
	return a
}

// Every plan and unit of testdata/vectors.json, which another program made from the documented format.
func TestVectors(t *testing.T) {
	b, err := os.ReadFile("testdata/vectors.json")
	require.NoError(t, err)
	var plans []struct {
		Plan
		Units []struct {
			Unit         string
			Place, Cover int
			Variant      *string
		}
	}
	require.NoError(t, json.Unmarshal(b, &plans))
	require.Len(t, plans, 7)
	for _, p := range plans {
		a := assigner(t, p.Plan)
		for _, u := range p.Units {
			place, cover := a.buckets(u.Unit)
			require.Equal(t, [2]int{u.Place, u.Cover}, [2]int{place, cover}, "%s %q", p.Salt, u.Unit)
			name, in := a.Variant(u.Unit)
			require.Equal(t, u.Variant != nil, in, "%s %q", p.Salt, u.Unit)
			if in {
				require.Equal(t, *u.Variant, name, "%s %q", p.Salt, u.Unit)
			}
		}
	}
}

// chi2 is the p-value of the counts being as expected.
func chi2(observed []int, expected []float64) float64 {
	x := 0.0
	for i, o := range observed {
		x += (float64(o) - expected[i]) * (float64(o) - expected[i]) / expected[i]
	}
	return distuv.ChiSquared{K: float64(len(observed) - 1)}.Survival(x)
}

// Units whose names are as regular as can be fall evenly into a hundred places, and into the variants by weight.
func TestUniform(t *testing.T) {
	const units = 200_000
	a := assigner(t, Plan{Salt: "uniform", Coverage: Parts, Variants: []Variant{{"a", 5000}, {"b", 3000}, {"c", 2000}}})
	var places [2][]int
	places[0], places[1] = make([]int, 100), make([]int, 100)
	expected := make([]float64, 100)
	for i := range expected {
		expected[i] = units / 100
	}
	variants := map[string]int{}
	for i := range units {
		unit := fmt.Sprint(i)
		place, cover := a.buckets(unit)
		places[0][place/100]++
		places[1][cover/100]++
		v, _ := a.Variant(unit)
		variants[v]++
	}
	require.Greater(t, chi2(places[0], expected), 0.001)
	require.Greater(t, chi2(places[1], expected), 0.001)
	require.Greater(t, chi2([]int{variants["a"], variants["b"], variants["c"]}, []float64{units * .5, units * .3, units * .2}), 0.001)
}

// Knowing the variant in one experiment tells nothing of the variant, or of being covered, in another one, even where the
// salts differ by one character; and within one, the variant tells nothing of the coverage.
func TestIndependent(t *testing.T) {
	const units = 100_000
	a, b := assigner(t, halves("exp/1")), assigner(t, halves("exp/2"))
	var between, within [4]int
	for i := range units {
		unit := fmt.Sprint("customer-", i)
		pa, ca := a.buckets(unit)
		pb, _ := b.buckets(unit)
		between[pa/5000*2+pb/5000]++
		within[pa/5000*2+ca/5000]++
	}
	quarter := []float64{units / 4, units / 4, units / 4, units / 4}
	require.Greater(t, chi2(between[:], quarter), 0.001)
	require.Greater(t, chi2(within[:], quarter), 0.001)
}

// A unit's place is the first of the next variant where the weights so far are it, and the first that is not covered where
// the coverage is.
func TestBoundaries(t *testing.T) {
	place, cover := assigner(t, halves("edge")).buckets("ada")
	require.Positive(t, place)
	for weight, want := range map[int]string{place: "b", place + 1: "a"} {
		v, _ := assigner(t, Plan{Salt: "edge", Coverage: Parts, Variants: []Variant{{"a", weight}, {"b", Parts - weight}}}).Variant("ada")
		require.Equal(t, want, v)
	}
	for coverage, want := range map[int]bool{cover: false, cover + 1: true} {
		p := halves("edge")
		p.Coverage = coverage
		_, in := assigner(t, p).Variant("ada")
		require.Equal(t, want, in)
	}
}

// Raising the coverage brings units in and moves none of those that were in.
func TestCoverageMovesNobody(t *testing.T) {
	small, large := halves("ramp"), halves("ramp")
	small.Coverage, large.Coverage = 1000, 6000
	s, l := assigner(t, small), assigner(t, large)
	in := 0
	for i := range 20_000 {
		unit := fmt.Sprint(i)
		if v, ok := s.Variant(unit); ok {
			in++
			w, ok := l.Variant(unit)
			require.True(t, ok)
			require.Equal(t, v, w)
		}
	}
	require.InDelta(t, 2000, in, 150)
}

// A unit keeps its variant in another process.
func TestStickyAcrossProcesses(t *testing.T) {
	const env = "CQRSFLOW_TEST_ASSIGN"
	a := assigner(t, halves("sticky"))
	var got strings.Builder
	for i := range 200 {
		v, _ := a.Variant(fmt.Sprint(i))
		fmt.Fprintf(&got, "%d=%s ", i, v)
	}
	if os.Getenv(env) != "" {
		fmt.Printf("assigned: %s\n", got.String())
		return
	}
	for range 2 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestStickyAcrossProcesses$", "-test.v")
		cmd.Env = append(os.Environ(), env+"=1")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Contains(t, string(out), "assigned: "+got.String()+"\n")
	}
}

// The weights are those of the plan as it was given: changing it afterwards changes nothing.
func TestPlanIsCopied(t *testing.T) {
	p := halves("copied")
	a := assigner(t, p)
	p.Variants[0] = Variant{"other", Parts}
	names := map[string]bool{}
	for i := range 100 {
		v, _ := a.Variant(fmt.Sprint(i))
		names[v] = true
	}
	require.Equal(t, map[string]bool{"control": true, "candidate": true}, names)
}

func TestNobodyIsNotAssigned(t *testing.T) {
	_, in := assigner(t, halves("x")).Variant("")
	require.False(t, in)
}

func TestPlanIsChecked(t *testing.T) {
	for says, change := range map[string]func(*Plan){
		"salt is empty":                 func(p *Plan) { p.Salt = "" },
		"at most 255":                   func(p *Plan) { p.Salt = strings.Repeat("x", 256) },
		"zero byte":                     func(p *Plan) { p.Salt = "a\x00b" },
		"coverage is -1":                func(p *Plan) { p.Coverage = -1 },
		"coverage is 10001":             func(p *Plan) { p.Coverage = 10001 },
		"no variants":                   func(p *Plan) { p.Variants = nil },
		"variants[1] has no name":       func(p *Plan) { p.Variants[1].Name = "" },
		`the name "control" is taken`:   func(p *Plan) { p.Variants[1].Name = "control" },
		"weight is -1":                  func(p *Plan) { p.Variants[0].Weight = -1 },
		"add up to 9999; make it 10000": func(p *Plan) { p.Variants[0].Weight = 4999 },
	} {
		p := halves("checked")
		change(&p)
		_, err := New(p)
		require.ErrorContains(t, err, says)
		require.True(t, errors.Is(err, event.ErrInvalid))
	}
}

func BenchmarkVariant(b *testing.B) {
	a := assigner(b, halves("bench"))
	b.ReportAllocs()
	for b.Loop() {
		a.Variant("customer-000042")
	}
}
