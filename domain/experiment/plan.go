package experiment

import (
	"github.com/cqrsflow/cqrsflow/event"
	experimentv1 "github.com/cqrsflow/cqrsflow/schemas/experiment/v1"
)

// check says what of a plan does not fit together; what one field may be is the schema's to say. A plan that passes can be
// judged: what package stats demands of one is demanded here, before anything is measured.
func check(p *experimentv1.Plan, number int32) error {
	bad := func(format string, args ...any) error { return event.Reject(CodePlanInvalid, format, args...) }
	sum, names := int32(0), map[string]bool{}
	for i, v := range p.GetVariants() {
		if names[v.GetName()] {
			return bad("plan.variants[%d]: the name %q is taken; give each variant its own", i, v.GetName())
		}
		names[v.GetName()] = true
		sum += v.GetWeight()
	}
	if sum != Parts {
		return bad("plan.variants: the weights add up to %d; make it %d", sum, Parts)
	}
	if p.GetBeforePlan() >= number {
		return bad("plan.beforePlan is %d, and this is plan %d; name an earlier one, or none", p.GetBeforePlan(), number)
	}
	if p.GetUnit() == "stream" && p.GetAggregate() == "" {
		return bad("plan.aggregate is empty, and the unit is a stream; say of which aggregate type")
	}
	names = map[string]bool{}
	for _, m := range metrics(p) {
		if names[m.GetName()] {
			return bad("two metrics are called %q; give each its own name", m.GetName())
		}
		names[m.GetName()] = true
		if err := checkMetric(p, m); err != nil {
			return err
		}
	}
	if m := p.GetPrimary(); p.GetMethod() == "proportions" && (m.GetKind() != "conversion" || m.GetCuped()) {
		return bad("plan.method is proportions, which is for a conversion without cuped, and %s is not; take fixed", m.GetName())
	}
	return nil
}

func checkMetric(p *experimentv1.Plan, m *experimentv1.Metric) error {
	bad := func(format string, args ...any) error {
		return event.Reject(CodePlanInvalid, "metric %s: "+format, append([]any{m.GetName()}, args...)...)
	}
	per := m.GetPerEvent() != "" || m.GetPerField() != ""
	switch {
	case m.GetEvent() == "" && m.GetField() != "":
		return bad("field is %q, and there is no event that it would be in", m.GetField())
	case m.GetPerEvent() == "" && m.GetPerField() != "":
		return bad("perField is %q, and there is no perEvent that it would be in", m.GetPerField())
	case m.GetKind() != "ratio" && per:
		return bad("perEvent is for a ratio, and it is a %s", m.GetKind())
	case m.GetKind() == "ratio" && (m.GetEvent() == "") != (m.GetPerEvent() == ""):
		return bad("one half of the ratio is measured in events, and the other posted; take one for both")
	case p.GetAggregate() == "" && m.GetEvent() != "":
		return bad("it is measured in %s, but no commands are decided by the variants: plan.aggregate is empty", m.GetEvent())
	case m.GetKind() == "conversion" && (m.GetCap() != 0 || m.GetCapQuantile() != 0):
		return bad("a conversion is 0 or 1, and cannot be capped")
	case m.GetCap() != 0 && m.GetCapQuantile() != 0:
		return bad("give cap, or capQuantile, not both")
	}
	return nil
}
