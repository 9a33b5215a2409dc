package stats

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// relativeVariance is the variance of t/c − 1 by the delta method.
func relativeVariance(c, t Estimate) float64 {
	return t.of()/(c.Mean*c.Mean) + c.of()*t.Mean*t.Mean/math.Pow(c.Mean, 4)
}

// welchFreedom is Welch and Satterthwaite's, of the absolute difference whatever the lift is of: as in gbstats.
func welchFreedom(c, t Estimate) float64 {
	a, b := c.of(), t.of()
	return (a + b) * (a + b) / (a*a/float64(c.N-1) + b*b/float64(t.N-1))
}

// studentized is half the width of the interval about a lift, and its p-value against zero, by Student's t.
func studentized(lift, se, freedom, alpha float64) (width, p float64) {
	if freedom > 1e8 { // the normal distribution to nine digits, and infinity is no parameter
		return distuv.UnitNormal.Quantile(1-alpha/2) * se, 2 * distuv.UnitNormal.Survival(math.Abs(lift)/se)
	}
	t := distuv.StudentsT{Mu: 0, Sigma: 1, Nu: freedom}
	return t.Quantile(1-alpha/2) * se, 2 * t.Survival(math.Abs(lift)/se)
}

// pooledP is the p-value of two proportions being one, whose variance both then share. Its square is Pearson's χ² of
// the two by two table.
func pooledP(c, t Estimate) float64 {
	a, b := float64(c.N), float64(t.N)
	p := (a*c.Mean + b*t.Mean) / (a + b)
	z := (t.Mean - c.Mean) / math.Sqrt(p*(1-p)*(1/a+1/b))
	return 2 * distuv.UnitNormal.Survival(math.Abs(z))
}
