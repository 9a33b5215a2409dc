package stats

import "math"

// Unit is what one unit did. What a metric does not use stays zero.
type Unit struct {
	// Value is the metric's: an amount, a count, 0 or 1; a ratio's numerator.
	Value float64 `json:"value"`
	// Denominator is a ratio's.
	Denominator float64 `json:"denominator,omitempty"`
	// Before is the value that the unit had before the experiment, for CUPED; with BeforeDenominator of a ratio.
	Before            float64 `json:"before,omitempty"`
	BeforeDenominator float64 `json:"beforeDenominator,omitempty"`
}

// The values of a unit, in the order in which arrays have them.
const (
	value = iota
	denominator
	before
	beforeDenominator
	values

	products = values * (values + 1) / 2
)

// Moments are the sufficient statistics of any number of units: all that a comparison needs of them. They are kept about
// the means, so amounts of billions lose no digits. The zero value has no units.
type Moments struct {
	// N is the number of units.
	N int64 `json:"n"`
	// Mean is the mean of Value, Denominator, Before and BeforeDenominator.
	Mean [values]float64 `json:"mean"`
	// Products are the sums over the units of the products of two deviations from the means: Value with itself and the
	// three others, Denominator with itself and the two after it, and so on.
	Products [products]float64 `json:"products"`
}

// product is the place of a pair, i ≤ j, in Products.
func product(i, j int) int { return i*values - i*(i-1)/2 + j - i }

// Add takes one more unit (Welford's method).
func (m *Moments) Add(u Unit) {
	m.N++
	x := [values]float64{u.Value, u.Denominator, u.Before, u.BeforeDenominator}
	var from [values]float64 // the deviations from the means before
	n := float64(m.N)
	for i := range x {
		from[i] = x[i] - m.Mean[i]
		m.Mean[i] += from[i] / n
	}
	k := 0
	for i := range x {
		for j := i; j < values; j++ {
			m.Products[k] += from[i] * (x[j] - m.Mean[j])
			k++
		}
	}
}

// Merge takes the units of other, which must be other units (Chan, Golub and LeVeque's method).
func (m *Moments) Merge(other Moments) {
	if other.N == 0 {
		return
	}
	if m.N == 0 {
		*m = other
		return
	}
	a, b := float64(m.N), float64(other.N)
	var between [values]float64
	for i := range between {
		between[i] = other.Mean[i] - m.Mean[i]
	}
	k := 0
	for i := range between {
		for j := i; j < values; j++ {
			m.Products[k] += other.Products[k] + between[i]*between[j]*a*b/(a+b)
			k++
		}
	}
	for i := range between {
		m.Mean[i] += between[i] * b / (a + b)
	}
	m.N += other.N
}

// Sums are what SQL computes of units: sum(value), sum(value*value), sum(value*denominator) and so on, in the order of
// Moments. Columns that a metric does not use stay zero. Where the mean is millions of times the deviation, sums
// of squares have lost it: stream the units instead.
type Sums struct {
	N        int64             `json:"n"`
	Sum      [values]float64   `json:"sum"`
	Products [products]float64 `json:"products"`
}

// Moments are the same units' moments.
func (s Sums) Moments() Moments {
	m := Moments{N: s.N}
	if s.N <= 0 {
		return Moments{}
	}
	n, k := float64(s.N), 0
	for i := range s.Sum {
		m.Mean[i] = s.Sum[i] / n
		for j := i; j < values; j++ {
			m.Products[k] = s.Products[k] - s.Sum[i]*s.Sum[j]/n
			k++
		}
	}
	return m
}

// covariance is the sample's, with n−1; zero where there are fewer than two units.
func (m *Moments) covariance(i, j int) float64 {
	if m.N < 2 {
		return 0
	}
	return m.Products[product(min(i, j), max(i, j))] / float64(m.N-1)
}

// constant reports whether all units are alike.
func (m *Moments) constant() bool { return m.N > 0 && m.Products == [products]float64{} }

// finite reports whether all numbers are numbers.
func (m *Moments) finite() bool {
	sum := 0.0
	for _, x := range m.Mean {
		sum += x - x
	}
	for _, x := range m.Products {
		sum += x - x
	}
	return m.N >= 0 && !math.IsNaN(sum)
}
