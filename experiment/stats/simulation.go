package stats

import (
	"context"
	"fmt"
	"math/rand/v2"
)

// Simulation runs many experiments whose truth is known, each looked at again and again, through Compare. With no effect (A/A)
// it shows how often each method finds what is not there; with one (A/B), how often it finds it.
type Simulation struct {
	// Experiments and Looks are how many, both above 0; PerLook is how many units a variant gets between two looks, at least 2.
	Experiments, Looks, PerLook int
	Metric                      Metric
	// Draw makes a unit of the control or of the treatment.
	Draw func(r *rand.Rand, treatment bool) Unit
	// Options are of all looks; Method is not used: all are tried. Differences are relative unless they say otherwise.
	Options Options
	// Seed makes it repeatable.
	Seed uint64
}

// Simulated are the shares of the experiments that were called significant.
type Simulated struct {
	// Fixed looks once, at the end. Peeking is the same test at every look, as if each were the only one. Sequential is the
	// confidence sequence at every look.
	Fixed, Peeking, Sequential float64
	// SequentialUnits is how many units of both variants the sequential method took on average, until it stopped or the end.
	SequentialUnits float64
	// Covered is the share of experiments whose sequential intervals held Truth at every look; of a Simulation with no effect 1−Sequential.
	Covered float64
}

// Run runs the simulation, in one goroutine, until it is done or ctx is. truth is the lift that Draw has, for Covered. Looks
// that cannot be compared yet (no conversion so far) find nothing. Other errors are event.ErrInvalid, and the context's.
func (s Simulation) Run(ctx context.Context, truth float64) (Simulated, error) {
	if s.Experiments < 1 || s.Looks < 1 || s.PerLook < 2 || s.Draw == nil {
		return Simulated{}, invalid("simulation: %d experiments, %d looks, %d units a look; give at least 1, 1 and 2, and Draw", s.Experiments, s.Looks, s.PerLook)
	}
	fixed, err := s.Options.withDefaults()
	if err != nil {
		return Simulated{}, err
	}
	sequential := fixed
	fixed.Method, sequential.Method = Fixed, Sequential
	var out Simulated
	r := rand.New(rand.NewPCG(s.Seed, 0))
	for range s.Experiments {
		if err := ctx.Err(); err != nil {
			return Simulated{}, fmt.Errorf("simulate experiments: %w", err)
		}
		var control, treatment Moments
		peeked, stopped, last, missed := false, false, false, false
		for range s.Looks {
			for range s.PerLook {
				control.Add(s.Draw(r, false))
				treatment.Add(s.Draw(r, true))
			}
			if !stopped {
				out.SequentialUnits += float64(2 * s.PerLook)
			}
			f, err := Compare(s.Metric, control, treatment, fixed)
			if undecided(err) {
				continue
			}
			if err != nil {
				return Simulated{}, fmt.Errorf("simulate experiments: %w", err)
			}
			last = f.P < fixed.Alpha
			peeked = peeked || last
			q, err := Compare(s.Metric, control, treatment, sequential)
			if err != nil {
				return Simulated{}, fmt.Errorf("simulate experiments: %w", err)
			}
			stopped = stopped || q.Low > 0 || q.High < 0
			missed = missed || q.Low > truth || q.High < truth
		}
		out.Fixed += one(last)
		out.Peeking += one(peeked)
		out.Sequential += one(stopped)
		out.Covered += one(!missed)
	}
	for _, x := range []*float64{&out.Fixed, &out.Peeking, &out.Sequential, &out.SequentialUnits, &out.Covered} {
		*x /= float64(s.Experiments)
	}
	return out, nil
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
