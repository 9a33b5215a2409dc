package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/cqrsflow/cqrsflow/internal/aggregates"
	"github.com/cqrsflow/cqrsflow/internal/app"
	"github.com/cqrsflow/cqrsflow/topology"
)

type topologyCmd struct {
	Plan       planCmd       `cmd:"" help:"Show what apply would change."`
	Apply      applyCmd      `cmd:"" help:"Make missing topics and put their settings right. It never deletes, shrinks or grows."`
	Verify     verifyCmd     `cmd:"" help:"Check everything that durability stands on; exit code 1 where something is wrong."`
	AcceptLoss acceptLossCmd `cmd:"" help:"Go on with what the log has, after topics were deleted and made again or lost records at their end."`
}

func newTopologyCmd() topologyCmd {
	s := func() topologyFlags { return topologyFlags{Settings: newSettings("General", "Kafka", "Topology")} }
	return topologyCmd{Plan: planCmd{s()}, Apply: applyCmd{s()}, Verify: verifyCmd{s()}, AcceptLoss: acceptLossCmd{topologyFlags: s()}}
}

type topologyFlags struct {
	outputFlags
	Settings settings `embed:""`
}

// open connects; close must be called.
func (f *topologyFlags) open(e *environment, what string) (t *topology.Topology, closeFn func(), err error) {
	c, err := f.Settings.find(e, what, "kafka.brokers")
	if err != nil {
		return nil, nil, err
	}
	client, err := kafka(c)
	if err != nil {
		return nil, nil, err
	}
	return topology.New(client, app.TopologyConfig(c), aggregates.Names()), client.Close, nil
}

type planCmd struct{ topologyFlags }

func (c *planCmd) Run(e *environment) error {
	t, done, err := c.open(e, "topology plan")
	if err != nil {
		return err
	}
	defer done()
	p, err := t.Plan(e.ctx)
	if err != nil {
		return err
	}
	return c.report(e, p, "nothing to change")
}

type applyCmd struct{ topologyFlags }

func (c *applyCmd) Run(e *environment) error {
	t, done, err := c.open(e, "topology apply")
	if err != nil {
		return err
	}
	defer done()
	p, err := t.Plan(e.ctx)
	if err == nil {
		err = t.Apply(e.ctx, p)
	}
	if err != nil {
		return err
	}
	return c.report(e, p, "nothing to change")
}

// report prints a plan; problems in it are a failure.
func (f *topologyFlags) report(e *environment, p topology.Plan, nothing string) error {
	err := f.print(e, p, func(w io.Writer) {
		for _, change := range p.Changes {
			fmt.Fprintln(w, change)
		}
		if len(p.Changes) == 0 {
			fmt.Fprintln(w, nothing)
		}
		for _, problem := range p.Problems {
			fmt.Fprintln(w, problem)
		}
	})
	return failIf(err, p.Problems)
}

type verifyCmd struct{ topologyFlags }

func (c *verifyCmd) Run(e *environment) error {
	t, done, err := c.open(e, "topology verify")
	if err != nil {
		return err
	}
	defer done()
	found, err := t.Verify(e.ctx)
	if err != nil {
		return err
	}
	if found == nil {
		found = []topology.Finding{}
	}
	err = c.print(e, found, func(w io.Writer) {
		for _, f := range found {
			fmt.Fprintln(w, f)
		}
		if len(found) == 0 {
			fmt.Fprintln(w, "all is well")
		}
	})
	return failIf(err, found)
}

type acceptLossCmd struct {
	topologyFlags
	Lost []string `placeholder:"TOPIC[/PARTITION]" help:"Accept this too, which Kafka alone does not show; a partition that has stopped says what to write here."`
}

func (c *acceptLossCmd) Run(e *environment) error {
	t, done, err := c.open(e, "topology accept-loss")
	if err != nil {
		return err
	}
	defer done()
	lost, err := t.AcceptLoss(e.ctx, c.Lost...)
	if err != nil && len(lost) > 0 {
		for _, l := range lost {
			fmt.Fprintf(e.stderr, "accepted: %s\n", l)
		}
	}
	if err != nil {
		return err
	}
	if lost == nil {
		lost = []topology.Loss{}
	}
	return c.print(e, lost, func(w io.Writer) {
		if len(lost) == 0 {
			fmt.Fprintln(w, "nothing was lost, as far as Kafka shows; where a partition has stopped and says otherwise, add the --lost that it names")
			return
		}
		for _, l := range lost {
			fmt.Fprintf(w, "accepted: %s\n", l)
		}
		fmt.Fprint(w, afterLoss)
	})
}

// afterLoss is what follows from an acceptance, for people.
const afterLoss = `
Command processors set the local stores of these partitions aside and go on with what the log has, within seconds.
Projections that have read more than there is stay stopped, and keep serving the old rows, until each is rebuilt:
  cqrsflow projection rebuild NAME
Reactors whose offset is lost do not start until they are told where: serve --from start, or --from end.
Commands that were published since the loss and have no outcome: publish them again, under the same IDs.
`

func failIf(err error, found []topology.Finding) error {
	if err == nil && slices.ContainsFunc(found, func(f topology.Finding) bool { return f.Level == topology.Problem }) {
		return failed{}
	}
	return err
}
