package experiment

import (
	"strconv"
	"strings"

	"github.com/cqrsflow/cqrsflow/experiment/assign"
	"github.com/cqrsflow/cqrsflow/experiment/stats"
)

// Units that a plan can assign.
const (
	// Customer is who the command names as the owner of its stream; or who its caller says that it is for.
	Customer = "customer"
	// Stream is the aggregate's instance, such as one order.
	Stream = "stream"
	// User is who sends the command.
	User = "user"
)

// Plan is what is decided before the first unit comes: docs/experiments.md explains each field.
type Plan struct {
	Hypothesis string           `json:"hypothesis,omitempty"`
	Aggregate  string           `json:"aggregate,omitempty"`
	Unit       string           `json:"unit"`
	Variants   []assign.Variant `json:"variants"`
	Coverage   *int             `json:"coverage,omitempty"`
	Primary    PlanMetric       `json:"primary"`
	Guardrails []PlanMetric     `json:"guardrails,omitempty"`
	Effect     float64          `json:"effect,omitempty"`
	Alpha      float64          `json:"alpha,omitempty"`
	Power      float64          `json:"power,omitempty"`
	Method     stats.Method     `json:"method,omitempty"`
	Correction stats.Correction `json:"correction,omitempty"`
	Units      int64            `json:"units"`
	MinUnits   int64            `json:"minUnits,omitempty"`
	MaxCrossed float64          `json:"maxCrossed,omitempty"`
	Tuning     float64          `json:"tuning,omitempty"`
	BeforePlan int              `json:"beforePlan,omitempty"`
}

// PlanMetric says what is measured of a unit, and where.
type PlanMetric struct {
	Name  string     `json:"name"`
	Kind  stats.Kind `json:"kind"`
	Lower bool       `json:"lower,omitempty"`
	CUPED bool       `json:"cuped,omitempty"`
	// Event is the type of the events that it is measured in; empty for posted outcomes. Field is the number in them; empty counts them.
	Event string `json:"event,omitempty"`
	Field string `json:"field,omitempty"`
	// PerEvent and PerField are the denominator of a ratio.
	PerEvent string `json:"perEvent,omitempty"`
	PerField string `json:"perField,omitempty"`
	// Cap and CapQuantile limit a unit's value; 0 is no limit.
	Cap         float64 `json:"cap,omitempty"`
	CapQuantile float64 `json:"capQuantile,omitempty"`
}

// Metrics are the primary one, then the guardrails.
func (p *Plan) Metrics() []PlanMetric { return append([]PlanMetric{p.Primary}, p.Guardrails...) }

// RunIn reports whether there is nothing to compare: one variant alone measures what there is.
func (p *Plan) RunIn() bool { return len(p.Variants) == 1 }

// Assigner assigns units by the plan with that number of an experiment. Errors wrap event.ErrInvalid.
func (p *Plan) Assigner(id string, number int) (*assign.Assigner, error) {
	coverage := assign.Parts
	if p.Coverage != nil {
		coverage = *p.Coverage
	}
	return assign.New(assign.Plan{Salt: Salt(id, number), Coverage: coverage, Variants: p.Variants})
}

// Stats is the plan as package stats judges by it.
func (p *Plan) Stats() stats.Plan {
	out := stats.Plan{Primary: p.Primary.stats(), Method: p.Method, Alpha: p.Alpha, Correction: p.Correction, Tuning: p.Tuning,
		Units: p.Units, MinUnits: p.MinUnits, MaxCrossed: p.MaxCrossed}
	for _, v := range p.Variants {
		out.Variants = append(out.Variants, stats.Variant{Name: v.Name, Weight: float64(v.Weight)})
	}
	for _, m := range p.Guardrails {
		out.Guardrails = append(out.Guardrails, m.stats())
	}
	return out
}

func (m PlanMetric) stats() stats.Metric {
	return stats.Metric{Name: m.Name, Kind: m.Kind, Lower: m.Lower, CUPED: m.CUPED, Binary: stats.Binary{Before: m.CUPED && m.Kind == stats.Conversion}}
}

// Salt is what a plan divides units with, and what assignments name: "checkout/1". Each plan has its own, so one with other
// weights moves nobody, but divides anew.
func Salt(id string, number int) string { return id + "/" + strconv.Itoa(number) }

// ParseSalt takes a salt apart; ok is false where it is none.
func ParseSalt(salt string) (id string, number int, ok bool) {
	id, digits, ok := strings.Cut(salt, "/")
	number, err := strconv.Atoi(digits)
	return id, number, ok && id != "" && err == nil && number > 0 && strconv.Itoa(number) == digits
}
