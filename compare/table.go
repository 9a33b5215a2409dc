package compare

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Table prints the report for a person: whether it can be relied on, what differs, what that means, how fast it is, and
// the verdict.
func (r *Report) Table(w io.Writer) error {
	fmt.Fprintf(w, "%s: %s (control) and %s (candidate), %s commands of %s streams", r.Aggregate, r.Control, r.Candidate, count(r.Commands), count(r.Range.Streams))
	if r.Range.First != nil {
		fmt.Fprintf(w, ", decided %s to %s", clock(r.Range.First), clock(r.Range.Last))
	}
	if r.Mode == "diverge" {
		fmt.Fprint(w, ", each version going its own way")
	}
	fmt.Fprintf(w, "\n\n%s\n", r.judged())
	for _, s := range r.warnings() {
		fmt.Fprintln(w, s)
	}
	for _, e := range r.Determinism.Examples {
		printExample(w, &e, "live", "now")
	}
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(tw, "\nagree\t%s\t%s\ndiffer\t%s\t%s\n", count(r.Agree), percent(share(r.Agree, r.Commands)), count(r.Differ), percent(share(r.Differ, r.Commands)))
	if len(r.Differences) > 0 {
		fmt.Fprintf(tw, "\nDIFFERENCE\tCOMMAND\t%s\t%s\tCOMMANDS\tSHARE\n", r.Control, r.Candidate)
		for i := range r.Differences {
			d := &r.Differences[i]
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\n", kinds[d.Kind], short(d.Command), short(d.Control), short(d.Candidate), count(d.Count), percent(d.Share))
		}
	}
	if len(r.Metrics) > 0 {
		fmt.Fprintf(tw, "\nMETRIC\t%s\t%s\tDIFFERENCE\t\t95 %% INTERVAL, BY STREAM\n", r.Control, r.Candidate)
		for i := range r.Metrics {
			e := &r.Metrics[i]
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\n", e.Title, e.amount(e.Control), e.amount(e.Candidate), e.change(e.Difference.Value), e.relative(), e.interval())
		}
	}
	if s := r.Speed; s != nil {
		fmt.Fprintf(tw, "\nA DECISION\t%s\t%s\tRATIO (95 %%)\t%s samples\n", r.Control, r.Candidate, count(int64(s.Samples)))
		if s.Note != "" {
			fmt.Fprintf(tw, "%s\n", s.Note)
		} else {
			fmt.Fprintf(tw, "time, paired\t\t\t%s\n", timesInterval(s.Ratio))
			fmt.Fprintf(tw, "time, p50\t%s\t%s\t%s\n", nanoseconds(s.Control.P50Ns), nanoseconds(s.Candidate.P50Ns), timesInterval(s.P50))
			fmt.Fprintf(tw, "time, p99\t%s\t%s\t%s\n", nanoseconds(s.Control.P99Ns), nanoseconds(s.Candidate.P99Ns), timesInterval(s.P99))
			fmt.Fprintf(tw, "allocations\t%.1f\t%.1f\t%s\n", s.Control.Allocations, s.Candidate.Allocations, timesInterval(s.Allocations))
			fmt.Fprintf(tw, "bytes\t%.0f\t%.0f\t\n", s.Control.Bytes, s.Candidate.Bytes)
		}
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if len(r.Differences) > 0 {
		fmt.Fprintln(w, "\nFor example:")
		for i := range r.Differences {
			printExample(w, &r.Differences[i].Examples[0], r.Control, r.Candidate)
		}
	}
	for _, key := range r.reasons() {
		fmt.Fprintf(w, "Not compared: %s commands, %s.\n", count(r.Skipped[key]), reason(key))
	}
	if v := r.Verdict; v != nil && v.Passed {
		fmt.Fprintln(w, "Passed.")
	} else if v != nil {
		for _, s := range v.Reasons {
			fmt.Fprintf(w, "Failed: %s.\n", s)
		}
	}
	return nil
}

func printExample(w io.Writer, e *Example, a, b string) {
	fmt.Fprintf(w, "  %s at version %d, %s (command %s, partition %d offset %d)\n", e.Stream, e.Version, e.Time, e.CommandID, e.Partition, e.Offset)
	if len(e.Command) > 2 {
		fmt.Fprintf(w, "    command: %s\n", e.Command)
	}
	fmt.Fprintf(w, "    %s: %s\n    %s: %s\n", a, &e.Control, b, &e.Candidate)
}

// String is a decision in one line.
func (s *Said) String() string {
	out := s.Outcome
	if s.Code != "" {
		out += " " + s.Code
	}
	if s.Message != "" {
		out += ": " + s.Message
	}
	if s.Outcome == "accepted" && len(s.Events) == 0 {
		out += ", nothing to do"
	}
	for _, e := range s.Events {
		out += fmt.Sprintf(" %s %s", short(e.Type), e.Data)
	}
	return out
}
