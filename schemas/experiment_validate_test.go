package schemas_test

import (
	"math"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/schemas"
	experimentv1 "github.com/cqrsflow/cqrsflow/schemas/experiment/v1"
)

// Each line breaks one rule of a command about experiments, and says which field is named.
func TestExperimentRules(t *testing.T) {
	plan := func(change func(*experimentv1.Plan)) proto.Message {
		p := sampleOf(func(c *experimentv1.DefineExperiment) { change(c.Plan) })
		return p
	}
	outcome := func(change func(*experimentv1.RecordOutcome)) proto.Message { return sampleOf(change) }
	many := int32(10_001)
	for _, tc := range []struct {
		name  string
		body  proto.Message
		field string
	}{
		{"as it should be", plan(func(*experimentv1.Plan) {}), ""},
		{"no plan", &experimentv1.DefineExperiment{}, "plan"},
		{"unit", plan(func(p *experimentv1.Plan) { p.Unit = "browser" }), "plan.unit"},
		{"aggregate", plan(func(p *experimentv1.Plan) { p.Aggregate = "Order" }), "plan.aggregate"},
		{"no aggregate", plan(func(p *experimentv1.Plan) { p.Aggregate = "" }), ""},
		{"no variants", plan(func(p *experimentv1.Plan) { p.Variants = nil }), "plan.variants"},
		{"variant", plan(func(p *experimentv1.Plan) { p.Variants[0].Name = "a=b" }), "plan.variants[0].name"},
		{"weight", plan(func(p *experimentv1.Plan) { p.Variants[0].Weight = 0 }), "plan.variants[0].weight"},
		{"coverage", plan(func(p *experimentv1.Plan) { p.Coverage = &many }), "plan.coverage"},
		{"no primary", plan(func(p *experimentv1.Plan) { p.Primary = nil }), "plan.primary"},
		{"metric", plan(func(p *experimentv1.Plan) { p.Primary.Name = "Revenue" }), "plan.primary.name"},
		{"kind", plan(func(p *experimentv1.Plan) { p.Primary.Kind = "median" }), "plan.primary.kind"},
		{"cap", plan(func(p *experimentv1.Plan) { p.Primary.Cap = math.Inf(1) }), "plan.primary.cap"},
		{"quantile", plan(func(p *experimentv1.Plan) { p.Primary.CapQuantile = 1 }), "plan.primary.capQuantile"},
		{"alpha", plan(func(p *experimentv1.Plan) { p.Alpha = 1 }), "plan.alpha"},
		{"method", plan(func(p *experimentv1.Plan) { p.Method = "bayes" }), "plan.method"},
		{"correction", plan(func(p *experimentv1.Plan) { p.Correction = "some" }), "plan.correction"},
		{"units", plan(func(p *experimentv1.Plan) { p.Units = 0 }), "plan.units"},
		{"crossed", plan(func(p *experimentv1.Plan) { p.MaxCrossed = 1 }), "plan.maxCrossed"},
		{"posted", outcome(func(*experimentv1.RecordOutcome) {}), ""},
		{"nobody", outcome(func(o *experimentv1.RecordOutcome) { o.Unit = "" }), "unit"},
		{"of nothing", outcome(func(o *experimentv1.RecordOutcome) { o.Metric = "" }), "metric"},
		{"no number", outcome(func(o *experimentv1.RecordOutcome) { o.Value = math.NaN() }), "value"},
		{"no decision", &experimentv1.DecideExperiment{}, "variant"},
	} {
		var fields []string
		for _, f := range schemas.Validate(tc.body) {
			fields = append(fields, f.Field)
		}
		if tc.field == "" && fields != nil || tc.field != "" && !slices.Equal(fields, []string{tc.field}) {
			t.Errorf("%s: the fields at fault are %v, want %q", tc.name, fields, tc.field)
		}
	}
}
