package stats

import (
	"math"

	"gonum.org/v1/gonum/integrate/quad"
	"gonum.org/v1/gonum/stat/distuv"
)

// crossing is the probability that an estimate is ever further than bounds[k] standard errors from zero at one of the looks k,
// each at information[k] (ascending; one by the squared standard error) where the truth is effect: exact for normal
// estimates, by integrating from look to look over those paths that have not crossed (Armitage, McPherson and Rowe 1969;
// Jennison and Turnbull 2000, chapter 19).
func crossing(bounds, information []float64, effect float64) float64 {
	nodes := 48 + int(24*math.Sqrt(float64(len(bounds))))
	at, weight := make([]float64, nodes), make([]float64, nodes)
	quad.Legendre{}.FixedLocations(at, weight, -1, 1)
	// Paths are followed as Brownian motion: estimate by information, which moves by effect a piece of information.
	var (
		from, density []float64 // at the last look: places, and the density by the weight
		crossed, last float64
	)
	for k, bound := range bounds {
		step := information[k] - last
		sd, drift := math.Sqrt(step), effect*step
		limit := bound * math.Sqrt(information[k])
		if k == 0 {
			crossed += outside(limit, drift, sd)
		}
		for i, place := range from {
			crossed += density[i] * outside(limit, place+drift, sd)
		}
		// Beyond nine standard deviations there are no paths worth following.
		mean, wide := effect*information[k], 9*math.Sqrt(information[k])
		low, high := max(-limit, mean-wide), min(limit, mean+wide)
		if low >= high {
			break
		}
		next, places := make([]float64, nodes), make([]float64, nodes)
		for j := range next {
			places[j] = (low+high)/2 + at[j]*(high-low)/2
			d := 0.0
			if k == 0 {
				d = normal((places[j] - drift) / sd)
			}
			for i, place := range from {
				d += density[i] * normal((places[j]-place-drift)/sd)
			}
			next[j] = d / sd * weight[j] * (high - low) / 2
		}
		from, density, last = places, next, information[k]
	}
	return min(1, crossed)
}

// outside is the probability of being further than limit from zero.
func outside(limit, mean, sd float64) float64 {
	return distuv.UnitNormal.Survival((limit-mean)/sd) + distuv.UnitNormal.CDF((-limit-mean)/sd)
}

func normal(z float64) float64 { return math.Exp(-z*z/2) / math.Sqrt(2*math.Pi) }
