package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cqrsflow/cqrsflow/compare"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/aggregates"
	"github.com/cqrsflow/cqrsflow/internal/config"
	"github.com/cqrsflow/cqrsflow/internal/progress"
)

type compareCmd struct {
	outputFlags
	Aggregate   string        `arg:"" help:"The aggregate type, such as order."`
	Control     string        `help:"Variant that the other is compared with; by default the one that serves."`
	Candidate   string        `help:"Variant to judge; by default the first other one."`
	From        time.Time     `help:"Only commands decided at that time or later, an RFC 3339 time."`
	To          time.Time     `help:"Only commands decided before that time."`
	Streams     int           `help:"Only so many streams, drawn by their IDs, the same ones each time; 0 is all."`
	Diverge     bool          `help:"Let each version go on from where its own decisions lead, instead of judging each on the state that was live."`
	Metric      []string      `help:"Metrics to compare; all that the aggregate type has where none is given."`
	HTML        string        `name:"html" type:"path" placeholder:"FILE" help:"Write the report as one HTML page, too."`
	MaxDiff     string        `name:"max-diff" placeholder:"SHARE" help:"Exit code 1 where more commands are decided differently, such as 0.01 or 1%."`
	MaxSlowdown string        `name:"max-slowdown" placeholder:"RATIO" help:"Exit code 1 where the candidate is slower beyond doubt, such as 1.1 times or 10%."`
	Budget      time.Duration `default:"1s" help:"How long one decision may take before its version is left out."`
	Examples    int           `default:"3" help:"How many examples to show of each difference."`
	Settings    settings      `embed:""`
}

func newCompareCmd() compareCmd { return compareCmd{Settings: newSettings("General", "Kafka")} }

func (c *compareCmd) Run(e *environment) error {
	cfg, thresholds, err := c.config()
	if err != nil {
		return err
	}
	s, err := c.Settings.find(e, "compare", "kafka.brokers")
	if err != nil {
		return err
	}
	cfg.Prefix = s.General.Prefix
	if cfg.Kafka, err = s.Kafka.Options(); err != nil {
		return err
	}
	bar := progress.New(e.stderr).Bar("replaying", 0)
	defer bar.Abandon()
	cfg.Progress = bar.Set
	r, err := compare.Run(e.ctx, cfg)
	if errors.Is(err, event.ErrConfig) {
		return usageError{err}
	}
	if errors.Is(err, event.ErrUnavailable) {
		return fmt.Errorf("%w; where the brokers are says the setting %s", err, config.Name("kafka.brokers"))
	}
	if err != nil {
		return err
	}
	bar.Done()
	r.Judge(thresholds)
	if c.HTML != "" {
		if err := writeWhole(c.HTML, r.HTML); err != nil {
			return err
		}
	}
	if c.JSON {
		err = c.print(e, r, nil)
	} else {
		err = r.Table(e.stdout)
	}
	if err == nil && r.Verdict != nil && !r.Verdict.Passed {
		return failed{}
	}
	return err
}

// config reads everything but the settings.
func (c *compareCmd) config() (cfg compare.Config, thresholds compare.Thresholds, err error) {
	t, err := aggregate(c.Aggregate)
	if err != nil {
		return cfg, thresholds, err
	}
	cfg = compare.Config{Type: t, Control: c.Control, Candidate: c.Candidate, From: c.From, To: c.To, Streams: c.Streams, Diverge: c.Diverge,
		Budget: c.Budget, Examples: c.Examples}
	if cfg.Metrics, err = chosenMetrics(t.Name, c.Metric); err != nil {
		return cfg, thresholds, err
	}
	if thresholds.Diff, err = threshold("--max-diff", c.MaxDiff, 0, 1, "a share such as 0.01 or 1%"); err != nil {
		return cfg, thresholds, err
	}
	if strings.HasSuffix(c.MaxSlowdown, "%") {
		thresholds.Slowdown, err = threshold("--max-slowdown", c.MaxSlowdown, -1, 1e6, "a ratio such as 1.1, or 10%")
		if err == nil {
			*thresholds.Slowdown++
		}
	} else {
		thresholds.Slowdown, err = threshold("--max-slowdown", c.MaxSlowdown, 0, 1e6, "a ratio such as 1.1, or 10%")
	}
	return cfg, thresholds, err
}

// threshold reads a number, or a percentage; nil where none is given.
func threshold(flag, text string, low, high float64, want string) (*float64, error) {
	if text == "" {
		return nil, nil
	}
	number, percent := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if percent {
		v /= 100
	}
	if err != nil || !(v >= low && v <= high) {
		return nil, usageError{fmt.Errorf("%s is %q; it must be %s", flag, text, want)}
	}
	return &v, nil
}

func chosenMetrics(aggregate string, names []string) ([]compare.Metric, error) {
	all := aggregates.Metrics(aggregate)
	if len(names) == 0 {
		return all, nil
	}
	var known []string
	for _, m := range all {
		known = append(known, m.Name)
	}
	var out []compare.Metric
	for _, n := range names {
		i := slices.Index(known, n)
		if i < 0 {
			return nil, usageError{fmt.Errorf("%s has no metric %q; it has %s", aggregate, n, strings.Join(known, ", "))}
		}
		out = append(out, all[i])
	}
	return out, nil
}
