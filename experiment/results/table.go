package results

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Table prints the report for a person: the verdict and why, then what it rests on.
func (r *Report) Table(w io.Writer) error {
	fmt.Fprintf(w, "%s, plan %d: %s\n", r.Experiment, r.PlanNumber, r.when())
	if r.Plan.Hypothesis != "" {
		fmt.Fprintf(w, "%s\n", r.Plan.Hypothesis)
	}
	fmt.Fprintf(w, "\n%s: %s\n", r.Verdict, r.said())
	for _, x := range r.Reasons {
		fmt.Fprintf(w, "  %s: %s\n", x.Code, x.Detail)
	}
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(tw, "\nVARIANT\tWEIGHT\tUNITS\tSHARE\t%s of %s planned units, %s crossed\n", count(r.Seen), count(r.Plan.Units), count(r.Crossed))
	for _, u := range r.Units {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", u.Variant, share(float64(u.Weight)/10_000), count(u.Units), share(u.Share))
	}
	if len(r.Metrics) > 0 {
		fmt.Fprintf(tw, "\nMETRIC\tVARIANT\t%s\tVARIANT'S\tLIFT\tINTERVAL\tADJUSTED P\n", r.Plan.Variants[0].Name)
	}
	for _, m := range r.Metrics {
		for _, v := range m.Variants {
			note := ""
			if v.Significant {
				note = "significant"
			}
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s to %s\t%s\t%s\n", m.Metric.Name, v.Name, mean(m.Metric.Kind, v.Control.Mean), mean(m.Metric.Kind, v.Treatment.Mean),
				lift(v, v.Lift), lift(v, v.Low), lift(v, v.High), probability(v.Adjusted), note)
		}
	}
	if len(r.Metrics) == 0 && len(r.Measured) > 0 {
		fmt.Fprintf(tw, "\nMETRIC\tVARIANT\tUNITS\tMEAN\tDEVIATION\n")
		for _, m := range r.Measured {
			d := "–"
			if m.Deviation != nil {
				d = fmt.Sprintf("%.4g", *m.Deviation)
			}
			fmt.Fprintf(tw, "%s\t%s\t%s\t%.4g\t%s\n", m.Metric, m.Variant, count(m.Units), m.Mean, d)
		}
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if d := r.Decision; d != nil {
		fmt.Fprintf(w, "\nDecided %s: %s. %s\n", clock(&d.DecidedAt), d.Variant, d.Reason)
	}
	return nil
}
