package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/config"
	"github.com/cqrsflow/cqrsflow/services/ops"
)

// readyCmd is the health check of a container that has no shell and no curl.
type readyCmd struct {
	outputFlags
	Settings settings `embed:""`
}

func newReadyCmd() readyCmd { return readyCmd{Settings: newSettings("General", "Client")} }

// readyTimeout bounds the question: /readyz never waits for anything.
const readyTimeout = 5 * time.Second

func (c *readyCmd) Run(e *environment) error {
	s, err := c.Settings.find(e, "ready", "ops.url")
	if err != nil {
		return err
	}
	r, err := readiness(e, s.Client.OpsURL)
	if err != nil {
		return err
	}
	err = c.print(e, r, func(w io.Writer) {
		for _, p := range r.Parts {
			state := "ready"
			if !p.Ready {
				state = "not ready"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\n", p.Name, state, p.Reason)
		}
	})
	if err == nil && !r.Ready {
		return failed{}
	}
	return err
}

// readiness asks /readyz, whose answer is the same whatever its status.
func readiness(e *environment, base string) (r ops.Readiness, err error) {
	req, err := http.NewRequestWithContext(e.ctx, http.MethodGet, strings.TrimRight(base, "/")+"/readyz", nil)
	if err != nil {
		return r, err
	}
	resp, err := (&http.Client{Timeout: readyTimeout}).Do(req)
	if err != nil {
		return r, fmt.Errorf("%w: %w; where it is says the setting %s", event.ErrUnavailable, err, config.Name("ops.url"))
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&r); err != nil {
		return r, fmt.Errorf("%s answers %s, and no such JSON: %w", req.URL, resp.Status, err)
	}
	return r, nil
}
