package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/aggregates"
	"github.com/cqrsflow/cqrsflow/internal/app"
	"github.com/cqrsflow/cqrsflow/internal/eventlog"
)

type parkedCmd struct {
	List  parkedListCmd  `cmd:"" help:"List the events that projections and reactors have set aside."`
	Show  parkedShowCmd  `cmd:"" help:"Show the parked events of a stream, with what is in the log."`
	Retry parkedRetryCmd `cmd:"" help:"Have parked events tried again, in order, by today's program."`
	Drop  parkedDropCmd  `cmd:"" help:"Give up the event that a stream is parked by, for one projection or reactor."`
}

func newParkedCmd() parkedCmd {
	return parkedCmd{
		List:  parkedListCmd{opsFlags: opsFlags{Settings: newSettings("General", "Client")}},
		Show:  parkedShowCmd{opsFlags: opsFlags{Settings: newSettings("General", "Client", "Kafka")}},
		Retry: parkedRetryCmd{opsFlags: opsFlags{Settings: newSettings("General", "Client")}},
		Drop:  parkedDropCmd{opsFlags: opsFlags{Settings: newSettings("General", "Client")}},
	}
}

// opsFlags are for commands that ask a process for what is done in its stores.
type opsFlags struct {
	outputFlags
	Settings settings `embed:""`
}

// ops finds the operations port of a process that has the projection's store; reactors are known in the roles query and react.
func (f *opsFlags) ops(e *environment, what string) (client, error) {
	s, err := f.Settings.find(e, what, "ops.url", "token")
	if err != nil {
		return client{}, err
	}
	return client{base: s.Client.OpsURL, setting: "ops.url", token: s.Client.Token}, nil
}

type parkedListCmd struct {
	opsFlags
	Projection string `arg:"" optional:"" help:"That projection or reactor only."`
}

func (c *parkedListCmd) Run(e *environment) error {
	api, err := c.ops(e, "parked list")
	if err != nil {
		return err
	}
	list, err := parked(e, api, func(p app.Parked) bool { return c.Projection == "" || c.Projection == p.Projection })
	if err != nil {
		return err
	}
	return c.print(e, list, func(w io.Writer) {
		if len(list) == 0 {
			fmt.Fprintln(w, "nothing is parked")
			return
		}
		fmt.Fprintln(w, "PROJECTION\tSTREAM\tAT\tATTEMPTS\tSINCE\tREASON")
		for _, p := range list {
			reason := p.Reason
			if p.Retry {
				reason = "(to be tried again) " + reason
			}
			fmt.Fprintf(w, "%s\t%s/%s\t%d@%d\t%d\t%s\t%s\n", p.Projection, p.Aggregate, p.Stream, p.Partition, p.Offset, p.Attempts,
				p.ParkedAt.Format("2006-01-02T15:04:05Z"), strings.ReplaceAll(reason, "\n", " "))
		}
	})
}

func parked(e *environment, api client, keep func(app.Parked) bool) ([]app.Parked, error) {
	var all []app.Parked
	if err := api.call(e.ctx, http.MethodGet, "/parked", nil, nil, &all); err != nil {
		return nil, err
	}
	list := []app.Parked{}
	for _, p := range all {
		if keep(p) {
			list = append(list, p)
		}
	}
	return list, nil
}

// parkedEvent is a parked event with what stands in the log.
type parkedEvent struct {
	app.Parked
	ID   string          `json:"id,omitempty"`
	Type string          `json:"type,omitempty"`
	Time string          `json:"time,omitempty"`
	Data json.RawMessage `json:"data,omitempty"`
	// Bytes are the body where it cannot be decoded, and Problem says why.
	Bytes   []byte `json:"bytes,omitempty"`
	Problem string `json:"problem,omitempty"`
}

type parkedShowCmd struct {
	opsFlags
	Projection string `arg:"" help:"The projection or reactor."`
	Stream     string `arg:"" help:"AGGREGATE/ID, such as order/o-1."`
}

func (c *parkedShowCmd) Run(e *environment) error {
	t, id, err := target(c.Stream)
	if err != nil {
		return err
	}
	s, err := c.Settings.find(e, "parked show", "ops.url", "token", "kafka.brokers")
	if err != nil {
		return err
	}
	api := client{base: s.Client.OpsURL, setting: "ops.url", token: s.Client.Token}
	list, err := parked(e, api, func(p app.Parked) bool {
		return p.Projection == c.Projection && p.Aggregate == t.Name && p.Stream == id
	})
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return fmt.Errorf("%w: nothing of %s is parked by %s", event.ErrNotFound, c.Stream, c.Projection)
	}
	opts, err := s.Kafka.Options()
	if err != nil {
		return err
	}
	q := eventlog.Query{Kafka: opts, Prefix: s.General.Prefix, Aggregate: t.Name}
	out := []parkedEvent{}
	for _, p := range list {
		env, err := eventlog.At(e.ctx, q, p.Partition, p.Offset)
		if err != nil && !errors.Is(err, event.ErrNotFound) {
			return err
		}
		out = append(out, withEvent(p, env, err))
	}
	return c.print(e, out, func(w io.Writer) {
		for _, p := range out {
			fmt.Fprintf(w, "%s\t%s\t%s\n", p.ID, p.Type, p.Time)
			fmt.Fprintf(w, "  parked\t%s, %d attempts: %s\n", p.ParkedAt.Format("2006-01-02T15:04:05Z"), p.Attempts, p.Reason)
			switch {
			case p.Problem != "":
				fmt.Fprintf(w, "  body\t%q: %s\n", p.Bytes, p.Problem)
			default:
				fmt.Fprintf(w, "  body\t%s\n", p.Data)
			}
		}
	})
}

func withEvent(p app.Parked, env event.Envelope, err error) parkedEvent {
	out := parkedEvent{Parked: p}
	if err != nil {
		out.Problem = err.Error()
		return out
	}
	out.ID, out.Type, out.Time = env.ID(), env.Type, env.Time.Format("2006-01-02T15:04:05.999999999Z07:00")
	t, _ := aggregates.Lookup(p.Aggregate)
	body, err := t.Codec.DecodeEvent(&env)
	if err == nil {
		out.Data, err = t.Codec.JSON(body)
	}
	if err != nil {
		out.Bytes, out.Problem = bytes.Clone(env.Data), err.Error()
	}
	return out
}

type parkedRetryCmd struct {
	opsFlags
	Projection string `arg:"" help:"The projection or reactor."`
	Stream     string `arg:"" optional:"" help:"AGGREGATE/ID; all of that projection's where absent."`
}

func (c *parkedRetryCmd) Run(e *environment) error {
	r := app.ParkedRequest{Projection: c.Projection}
	if c.Stream != "" {
		t, id, err := target(c.Stream)
		if err != nil {
			return err
		}
		r.Aggregate, r.Stream = t.Name, id
	}
	api, err := c.ops(e, "parked retry")
	if err != nil {
		return err
	}
	return c.act(e, api, "/parked/retry", r, "%d events will be tried again\n")
}

type parkedDropCmd struct {
	opsFlags
	Projection string `arg:"" help:"The projection or reactor."`
	Stream     string `arg:"" help:"AGGREGATE/ID, such as order/o-1."`
}

func (c *parkedDropCmd) Run(e *environment) error {
	t, id, err := target(c.Stream)
	if err != nil {
		return err
	}
	api, err := c.ops(e, "parked drop")
	if err != nil {
		return err
	}
	return c.act(e, api, "/parked/drop", app.ParkedRequest{Projection: c.Projection, Aggregate: t.Name, Stream: id}, "%d events given up\n")
}

func (f *opsFlags) act(e *environment, api client, path string, r app.ParkedRequest, done string) error {
	var result app.ParkedResult
	if err := api.post(e.ctx, path, r, &result); err != nil {
		return err
	}
	return f.print(e, result, func(w io.Writer) { fmt.Fprintf(w, done, result.Events) })
}
