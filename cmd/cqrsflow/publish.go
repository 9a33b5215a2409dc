package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/producer"
)

type publishCmd struct {
	outputFlags
	Stream          string        `arg:"" help:"AGGREGATE/ID, such as order/o-1."`
	Command         string        `arg:"" help:"The command, such as place."`
	Body            string        `arg:"" optional:"" default:"{}" help:"Its body as JSON; @FILE reads a file, - standard input."`
	ID              string        `name:"id" help:"Command ID, the idempotency key; made where absent."`
	ExpectedVersion int64         `default:"-1" help:"Version that the stream must have; 0: it must not exist; -1: any."`
	Time            time.Time     `help:"When it happened, where that was not now: an RFC 3339 time."`
	CorrelationID   string        `name:"correlation-id" help:"ID of the conversation that it belongs to."`
	Wait            time.Duration `default:"10s" help:"How long to wait for the outcome; 0 does not wait."`
	Settings        settings      `embed:""`
}

func newPublishCmd() publishCmd {
	return publishCmd{Settings: newSettings("General", "Kafka", "Principals")}
}

// published is what is printed; the names are those of the HTTP API.
type published struct {
	CommandID string             `json:"commandId"`
	Outcome   string             `json:"outcome,omitempty"`
	Replayed  bool               `json:"replayed,omitempty"`
	Code      string             `json:"code,omitempty"`
	Message   string             `json:"message,omitempty"`
	Errors    []event.FieldError `json:"errors,omitempty"`
	Version   *int64             `json:"version,omitempty"`
	Position  string             `json:"position,omitempty"`
	Events    []eventRef         `json:"events,omitempty"`
	State     json.RawMessage    `json:"state,omitempty"`
	// Partition and Offset are where the command stands, where its outcome was not waited for.
	Partition *int32 `json:"partition,omitempty"`
	Offset    *int64 `json:"offset,omitempty"`
}

type eventRef struct {
	Type     string `json:"type"`
	Sequence int64  `json:"sequence"`
}

func (c *publishCmd) Run(e *environment) error {
	t, stream, err := target(c.Stream)
	if err != nil {
		return err
	}
	ct, err := commandType(t, c.Command)
	if err != nil {
		return err
	}
	body, err := c.body(e)
	if err != nil {
		return err
	}
	cmd := event.Command{ID: c.ID, Type: ct.Type, Stream: stream, Time: c.Time, ExpectedVersion: event.Version(c.ExpectedVersion),
		CorrelationID: c.CorrelationID, ReturnState: true}
	if c.ID == "" {
		cmd.ID = producer.NewCommandID()
	} else if err := event.CheckCommandID(c.ID); err != nil {
		return usageError{err}
	}
	if c.ExpectedVersion < int64(event.AnyVersion) {
		return usageError{fmt.Errorf("--expected-version is %d; it must be -1 or more", c.ExpectedVersion)}
	}
	s, err := c.Settings.find(e, "publish", "kafka.brokers")
	if err != nil {
		return err
	}
	return withPublisher(e.ctx, s, []string{t.Name}, func(ctx context.Context, p *producer.Publisher) error {
		if c.Wait <= 0 {
			r, err := p.Publish(ctx, cmd, t.Name, "application/json", body)
			if err != nil {
				return err
			}
			return c.show(e, published{CommandID: r.CommandID, Partition: &r.Partition, Offset: &r.Offset})
		}
		wait, cancel := context.WithTimeout(ctx, c.Wait)
		defer cancel()
		o, err := p.Do(wait, cmd, t.Name, "application/json", body)
		if errors.Is(err, event.ErrOutcomeUnknown) {
			return fmt.Errorf("%w\nThe command may have been taken: repeat it with --id %s, which cannot apply it twice", err, cmd.ID)
		}
		if err != nil {
			return err
		}
		return c.answer(e, t, o)
	})
}

func (c *publishCmd) body(e *environment) ([]byte, error) {
	switch path, isFile := strings.CutPrefix(c.Body, "@"); {
	case c.Body == "-":
		return io.ReadAll(e.stdin)
	case isFile:
		return os.ReadFile(path)
	}
	return []byte(c.Body), nil
}

func (c *publishCmd) answer(e *environment, t *decider.Type, o event.Outcome) error {
	out := published{CommandID: o.CommandID, Outcome: o.Kind.String(), Replayed: o.Replayed, Code: o.Code, Message: o.Message, Errors: o.Fields,
		Position: o.Position.String()}
	v := int64(o.Version)
	if o.Kind != event.Invalid && o.Kind != event.Denied { // these were not asked of the state
		out.Version = &v
	}
	for _, r := range o.Events {
		out.Events = append(out.Events, eventRef{r.Type, int64(r.Version)})
	}
	if o.State != nil && v > 0 {
		state, err := t.Codec.DecodeState(o.State)
		if err == nil {
			out.State, err = t.Codec.JSON(state)
		}
		if err != nil {
			return fmt.Errorf("state in the outcome: %w", err)
		}
	}
	if err := c.show(e, out); err != nil {
		return err
	}
	if o.Kind != event.Accepted {
		return failed{}
	}
	return nil
}

func (c *publishCmd) show(e *environment, p published) error {
	return c.print(e, p, func(w io.Writer) {
		if p.Outcome == "" {
			fmt.Fprintf(w, "published\t%s, partition %d, offset %d\n", p.CommandID, *p.Partition, *p.Offset)
			return
		}
		fmt.Fprint(w, p.Outcome)
		if p.Replayed {
			fmt.Fprint(w, " (before: this is a repeat)")
		}
		if p.Code != "" {
			fmt.Fprintf(w, "\t%s: %s", p.Code, p.Message)
		}
		fmt.Fprintln(w)
		for _, f := range p.Errors {
			fmt.Fprintf(w, "  %s\t%s\n", f.Field, f.Message)
		}
		fmt.Fprintf(w, "command\t%s\n", p.CommandID)
		for _, r := range p.Events {
			fmt.Fprintf(w, "event\t%d %s\n", r.Sequence, r.Type)
		}
		if p.Version != nil {
			fmt.Fprintf(w, "version\t%d\n", *p.Version)
		}
		if p.Position != "" {
			fmt.Fprintf(w, "position\t%s\n", p.Position)
		}
		if p.State != nil {
			fmt.Fprintf(w, "state\t%s\n", p.State)
		}
	})
}
