package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/jsondiff"
	"github.com/cqrsflow/cqrsflow/internal/progress"
	"github.com/cqrsflow/cqrsflow/internal/verify"
)

type streamCmd struct {
	Show   streamShowCmd   `cmd:"" help:"Print the events of a stream, oldest first."`
	State  streamStateCmd  `cmd:"" help:"Print the state after all events, or as of a version or a time."`
	Diff   streamDiffCmd   `cmd:"" help:"Print what changed in the state between two versions."`
	Verify streamVerifyCmd `cmd:"" help:"Compare the history of a stream with the log, event by event, and fold both; exit code 1 on drift."`
}

func newStreamCmd() streamCmd {
	s := func() streamFlags { return streamFlags{Settings: newSettings("General", "Client")} }
	return streamCmd{Show: streamShowCmd{streamFlags: s()}, State: streamStateCmd{streamFlags: s()}, Diff: streamDiffCmd{streamFlags: s()},
		Verify: streamVerifyCmd{streamFlags{Settings: newSettings("General", "Kafka", "Postgres")}}}
}

type streamFlags struct {
	outputFlags
	Stream   string   `arg:"" help:"AGGREGATE/ID, such as order/o-1."`
	Settings settings `embed:""`
}

// open finds the HTTP API and the stream's path on it.
func (f *streamFlags) open(e *environment, what string) (c client, path string, err error) {
	t, id, err := target(f.Stream)
	if err != nil {
		return c, "", err
	}
	s, err := f.Settings.find(e, what, "server")
	if err != nil {
		return c, "", err
	}
	return client{base: s.Client.Server, setting: "server", token: s.Client.Token}, streamPath(t, id), nil
}

func streamPath(t *decider.Type, id event.StreamID) string {
	return "/v1/" + t.Plural + "/" + url.PathEscape(string(id))
}

type streamShowCmd struct {
	streamFlags
	After int64 `help:"Only events after that version."`
	Limit int   `help:"At most that many; 0 is all."`
}

// pageSize is how many events are asked for at a time.
const pageSize = 200

func (c *streamShowCmd) Run(e *environment) error {
	api, path, err := c.open(e, "stream show")
	if err != nil {
		return err
	}
	var items []json.RawMessage
	q := url.Values{}
	if c.After > 0 {
		q.Set("after", strconv.FormatInt(c.After, 10))
	}
	for {
		size := pageSize
		if c.Limit > 0 {
			size = min(size, c.Limit-len(items))
		}
		q.Set("limit", strconv.Itoa(size))
		var page struct {
			Items  []json.RawMessage `json:"items"`
			Cursor string            `json:"cursor"`
		}
		if err := api.call(e.ctx, "GET", path+"/events", q, nil, &page); err != nil {
			return err
		}
		items = append(items, page.Items...)
		if page.Cursor == "" || c.Limit > 0 && len(items) >= c.Limit {
			break
		}
		q = url.Values{"cursor": {page.Cursor}}
	}
	if items == nil {
		items = []json.RawMessage{}
	}
	var bad error
	err = c.print(e, items, func(w io.Writer) {
		fmt.Fprintln(w, "VERSION\tTYPE\tTIME\tRECORDED\tDATA")
		for _, raw := range items {
			var item struct {
				Type         string          `json:"type"`
				Sequence     int64           `json:"sequence"`
				Time         string          `json:"time"`
				RecordedTime string          `json:"recordedTime"`
				Data         json.RawMessage `json:"data"`
			}
			bad = errors.Join(bad, json.Unmarshal(raw, &item))
			fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\n", item.Sequence, item.Type, item.Time, item.RecordedTime, item.Data)
		}
	})
	return errors.Join(err, bad)
}

type streamStateCmd struct {
	streamFlags
	Version     int64     `xor:"at" help:"The state after that many events."`
	RecordedAt  time.Time `xor:"at" name:"recorded-at" help:"The state as it was known then, an RFC 3339 time."`
	EffectiveAt time.Time `xor:"at" name:"effective-at" help:"The state of the world then, as it is known now."`
}

// stateAt is the answer to a question about a state.
type stateAt struct {
	Version    int64           `json:"version"`
	RecordedAt string          `json:"recordedAt"`
	State      json.RawMessage `json:"state"`
}

func (c *streamStateCmd) Run(e *environment) error {
	api, path, err := c.open(e, "stream state")
	if err != nil {
		return err
	}
	q := url.Values{}
	switch {
	case c.Version != 0:
		q.Set("version", strconv.FormatInt(c.Version, 10))
	case !c.RecordedAt.IsZero():
		q.Set("recordedAt", c.RecordedAt.Format(time.RFC3339Nano))
	case !c.EffectiveAt.IsZero():
		q.Set("effectiveAt", c.EffectiveAt.Format(time.RFC3339Nano))
	}
	var at stateAt
	if err := api.call(e.ctx, "GET", path+"/state", q, nil, &at); err != nil {
		return err
	}
	return c.print(e, at, func(w io.Writer) {
		fmt.Fprintf(w, "version %d, recorded %s\n", at.Version, at.RecordedAt)
		var state any
		if json.Unmarshal(at.State, &state) != nil {
			fmt.Fprintf(w, "%s\n", at.State)
			return
		}
		pretty, _ := json.MarshalIndent(state, "", "  ") // what was just decoded
		fmt.Fprintf(w, "%s\n", pretty)
	})
}

type streamDiffCmd struct {
	streamFlags
	From int64 `arg:"" help:"A version; 0 is before the first event."`
	To   int64 `arg:"" help:"Another version."`
}

func (c *streamDiffCmd) Run(e *environment) error {
	api, path, err := c.open(e, "stream diff")
	if err != nil {
		return err
	}
	if c.From < 0 || c.To < 0 {
		return usageError{errors.New("versions are 0 or more")}
	}
	state := func(version int64) (v any, err error) {
		if version == 0 {
			return nil, nil
		}
		var at stateAt
		if err := api.call(e.ctx, "GET", path+"/state", url.Values{"version": {strconv.FormatInt(version, 10)}}, nil, &at); err != nil {
			return nil, fmt.Errorf("version %d: %w", version, err)
		}
		return v, json.Unmarshal(at.State, &v)
	}
	before, err := state(c.From)
	if err != nil {
		return err
	}
	after, err := state(c.To)
	if err != nil {
		return err
	}
	changes := jsondiff.Diff(before, after)
	return c.print(e, changes, func(w io.Writer) {
		for _, ch := range changes {
			fmt.Fprintf(w, "%s\t%s\t→ %s\n", ch.Path, jsondiff.Text(ch.Before), jsondiff.Text(ch.After))
		}
		if len(changes) == 0 {
			fmt.Fprintln(w, "nothing changed")
		}
	})
}

type streamVerifyCmd struct{ streamFlags }

func (c *streamVerifyCmd) Run(e *environment) error {
	t, id, err := target(c.Stream)
	if err != nil {
		return err
	}
	s, err := c.Settings.find(e, "stream verify", "kafka.brokers", "postgres.url")
	if err != nil {
		return err
	}
	p, err := pool(e.ctx, s)
	if err != nil {
		return err
	}
	defer p.Close()
	bar := progress.New(e.stderr).Bar("reading the log", 0)
	defer bar.Abandon()
	l, err := logOf(s, bar.Set)
	if err != nil {
		return err
	}
	r, err := verify.Stream(e.ctx, l, p, t, id)
	if err != nil {
		return err
	}
	bar.Done()
	return c.report(e, []*verify.Report{r})
}
