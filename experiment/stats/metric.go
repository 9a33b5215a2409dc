package stats

// Kind says what a metric is of the units' values.
type Kind string

// The kinds of metrics.
const (
	// Mean is the mean of Value over all units, those with nothing included: revenue a customer.
	Mean Kind = "mean"
	// Sum is the total of Value. Variants have different numbers of units, so totals are compared as means a unit; the
	// Scaled difference turns that into a total again.
	Sum Kind = "sum"
	// Conversion is the share of units whose Value is 1; the others' is 0.
	Conversion Kind = "conversion"
	// Ratio is the total of Value by the total of Denominator: revenue an order, where the unit is the customer.
	Ratio Kind = "ratio"
)

// Metric says what is compared.
type Metric struct {
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
	// Lower says that less is better.
	Lower bool `json:"lower,omitempty"`
	// CUPED adjusts for what the units did before (Before, BeforeDenominator).
	CUPED bool `json:"cuped,omitempty"`
	// Binary says which of the values are only ever 0 or 1.
	Binary Binary `json:"binary,omitzero"`
}

// Binary names the values of a unit that are only ever 0 or 1. Their variance is a proportion's, p(1−p), and not the
// sample's, which is larger by n/(n−1): that is how gbstats counts. The Value of a Conversion always is one.
type Binary struct {
	Value             bool `json:"value,omitempty"`
	Denominator       bool `json:"denominator,omitempty"`
	Before            bool `json:"before,omitempty"`
	BeforeDenominator bool `json:"beforeDenominator,omitempty"`
}

func (m Metric) validate() error {
	switch m.Kind {
	case Mean, Sum, Conversion, Ratio:
		return nil
	}
	return invalid("metric %q: its kind is %q; give it one of mean, sum, conversion, ratio", m.Name, m.Kind)
}

func (m Metric) binary(i int) bool {
	return [values]bool{m.Binary.Value || m.Kind == Conversion, m.Binary.Denominator, m.Binary.Before, m.Binary.BeforeDenominator}[i]
}

// cov is the covariance of two of the units' values, or the variance of one.
func (m Metric) cov(s *Moments, i, j int) float64 {
	if i == j && m.binary(i) {
		return s.Mean[i] * (1 - s.Mean[i])
	}
	return s.covariance(i, j)
}
