package app

import (
	"context"
	"os"
	"time"

	"github.com/cqrsflow/cqrsflow/internal/tracing"
)

// lastSpans is how long spans that are left may take to be sent when the process ends.
const lastSpans = 2 * time.Second

// openTraces makes the tracer, where there is somewhere to send spans.
func (p *process) openTraces() error {
	c := &p.cfg.Telemetry
	if c.Endpoint == "" {
		return nil
	}
	instance := p.cfg.Processor.Instance
	if instance == "" {
		instance, _ = os.Hostname() // it names who sent them, nothing depends on it
	}
	e, err := tracing.NewExporter(context.Background(), tracing.Config{Endpoint: c.Endpoint, Percent: c.Percent, Instance: instance, Roles: p.cfg.Roles.Roles, Logger: p.log})
	if err != nil {
		return err
	}
	p.tracer = e.Tracer()
	p.group.OnClose("traces", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), lastSpans)
		defer cancel()
		if err := e.Close(ctx); err != nil {
			p.log.Warn("the last traces could not be sent", "error", err)
		}
		return nil
	})
	return nil
}
