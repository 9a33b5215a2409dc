package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/cqrsflow/cqrsflow/experiment/stats"
)

// experimentSizeCmd plans: it needs no server.
type experimentSizeCmd struct {
	outputFlags
	Mean       float64 `required:"" help:"What a unit of the control does on average; of a conversion the share that does it."`
	Deviation  float64 `help:"The standard deviation of a unit; 'experiment results' of a run-in shows it."`
	Conversion bool    `help:"The mean is a share of units: the deviation follows from it."`
	Effect     float64 `help:"The relative effect to find, such as 0.05."`
	Units      int64   `help:"Compute which effect so many units find, instead."`
	Power      float64 `default:"0.8" help:"The share of experiments with the effect that shall find it."`
	Alpha      float64 `default:"0.05" help:"The share of experiments without any effect that may find one."`
	Method     string  `enum:"fixed,proportions,sequential" default:"fixed" help:"fixed, proportions or sequential."`
	Looks      int     `default:"14" help:"How often a sequential experiment is looked at."`
}

// sized is what was computed.
type sized struct {
	Units  int64   `json:"units"`
	Effect float64 `json:"effect"`
	Power  float64 `json:"power"`
}

func (c *experimentSizeCmd) Run(e *environment) error {
	if (c.Effect == 0) == (c.Units == 0) {
		return usageError{errors.New("give --effect, and the units are computed, or --units, and the effect is")}
	}
	d := stats.Design{Mean: c.Mean, Deviation: c.Deviation, Conversion: c.Conversion, Effect: c.Effect, Power: c.Power, Alpha: c.Alpha,
		Method: stats.Method(c.Method), Looks: c.Looks}
	out := sized{Units: c.Units, Effect: c.Effect, Power: c.Power}
	var err error
	if c.Units == 0 {
		out.Units, err = d.Units()
	} else {
		out.Effect, err = d.Detectable(c.Units)
	}
	if err != nil {
		return usageError{err}
	}
	return c.print(e, out, func(w io.Writer) {
		fmt.Fprintf(w, "%d units, of all variants together, find an effect of %+.2f %% in %.0f of 100 experiments\n", out.Units, 100*out.Effect, 100*out.Power)
	})
}
