package main

import (
	"fmt"
	"io"

	"github.com/cqrsflow/cqrsflow/internal/app"
	"github.com/cqrsflow/cqrsflow/internal/progress"
)

// recoverCmd makes a cluster that a mirror has filled one that roles can be started on.
type recoverCmd struct {
	outputFlags
	Yes      bool     `help:"Do it: the read models are emptied, to be made of the log again."`
	Settings settings `embed:""`
}

func newRecoverCmd() recoverCmd {
	return recoverCmd{Settings: newSettings("General", "Kafka", "Postgres", "Elasticsearch", "Topology")}
}

func (c *recoverCmd) Run(e *environment) error {
	s, err := c.Settings.find(e, "recover", "kafka.brokers")
	if err != nil {
		return err
	}
	if !c.Yes {
		return usageError{fmt.Errorf("recover empties the read models in PostgreSQL and Elasticsearch that the settings name, and has everything be made anew of the log; add --yes")}
	}
	client, err := kafka(s)
	if err != nil {
		return err
	}
	defer client.Close()
	done, err := app.Recover(e.ctx, s, client, app.NewLogger(s, e.stderr, progress.IsTerminal(e.stderr)))
	if err != nil {
		return err
	}
	return c.print(e, done, func(w io.Writer) {
		for _, topic := range done.Topics {
			fmt.Fprintf(w, "copied: %s\n", topic)
		}
		for _, model := range done.Emptied {
			fmt.Fprintf(w, "emptied: %s\n", model)
		}
		fmt.Fprint(w, afterRecovery)
	})
}

// afterRecovery is what follows, for people.
const afterRecovery = `
Now start the roles: command processors make their stores, and projections their rows, of the events.
Reactors do not start until they are told where: serve --from end, as what they did has been copied, too.
Commands that have no outcome: publish them again, under the same IDs.
`
