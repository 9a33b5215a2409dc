package stats

import "math"

// Asymptotic confidence sequences: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory
// and asymptotic confidence sequences", arXiv 2103.06476; equations are numbered as in its version 7. The promise is
// asymptotic: at the first look there must be units enough to know the variance, which Plan.MinUnits is for.

// rhoSquared is the parameter ρ² with which the interval is narrowest at that many units (equation 161).
func rhoSquared(alpha, units float64) float64 {
	l := -2 * math.Log(alpha)
	return (l + math.Log(l+1)) / units
}

// boundary is how many standard errors an estimate must be from zero at n units, at any look (equation 9).
func boundary(n, alpha, tuning float64) float64 {
	x := n * rhoSquared(alpha, tuning)
	return math.Sqrt(2 * (x + 1) / x * math.Log(math.Sqrt(x+1)/alpha))
}

// sequence is half the width of the confidence sequence about a lift at n units of both variants together, and its
// always-valid p-value: the smallest α whose boundary the lift is beyond, with ρ of the α that was asked for (equation 155).
func sequence(lift, se, n, alpha, tuning float64) (width, p float64) {
	x := n * rhoSquared(alpha, tuning)
	z := lift / se
	evidence := z*z*x/(2*(x+1)) - math.Log(x+1)/2 // the logarithm of the e-value
	return boundary(n, alpha, tuning) * se, min(1, math.Exp(-evidence))
}
