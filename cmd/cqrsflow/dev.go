package main

import (
	"fmt"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/app"
	"github.com/cqrsflow/cqrsflow/internal/cdnow"
)

type devCmd struct {
	Reset    bool     `help:"Delete the data of earlier runs first."`
	Import   string   `type:"path" placeholder:"FILE" help:"Import a CDNOW purchase history (gzip or plain) once everything is ready."`
	Settings settings `embed:""`
}

func newDevCmd() devCmd {
	return devCmd{Settings: newSettings("General", "Roles", "Dev", "Postgres", "Identity", "Gateway", "Telemetry", "Topology", "Principals", "Policies", "Processor")}
}

func (c *devCmd) Run(e *environment) error {
	s, err := c.Settings.load(e, true)
	if err != nil {
		return err
	}
	var purchases []cdnow.Purchase
	if c.Import != "" {
		if purchases, err = readPurchases(e, c.Import); err != nil {
			return err
		}
		if len(purchases) == 0 {
			return fmt.Errorf("%w: %s: there is no purchase in it", event.ErrMalformed, c.Import)
		}
	}
	return app.Dev(e.ctx, s, app.DevOptions{Reset: c.Reset, Import: purchases, Stdout: e.stdout, Stderr: e.stderr})
}

type serveCmd struct {
	Settings settings `embed:""`
}

func newServeCmd() serveCmd {
	return serveCmd{Settings: newSettings("General", "Roles", "Client", "Kafka", "Postgres", "Elasticsearch", "Identity", "Gateway", "Telemetry", "Topology", "Principals", "Policies", "Processor")}
}

func (c *serveCmd) Run(e *environment) error {
	s, err := c.Settings.load(e, false)
	if err != nil {
		return err
	}
	err = s.RequireKeys("serve", "roles")
	if err == nil {
		err = s.Require(s.Roles.Roles...)
	}
	if err != nil {
		return usageError{err}
	}
	return app.Serve(e.ctx, s, e.stderr)
}
