package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/config"
)

// client calls an HTTP server of ours; setting is the key of the setting that says where it is.
type client struct {
	base    string
	setting string
	token   string
}

// problem is an RFC 9457 answer.
type problem struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Title  string `json:"title"`
}

func (p *problem) Error() string {
	if p.Detail == "" {
		return fmt.Sprintf("%s (%s)", p.Title, p.Code)
	}
	return fmt.Sprintf("%s (%s)", p.Detail, p.Code)
}

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 20

// call sends a request and decodes the JSON answer into out, unless that is nil. A refusal is a *problem; a
// server that does not answer is event.ErrUnavailable, with the setting to change.
func (c client) call(ctx context.Context, method, path string, query url.Values, header http.Header, out any) error {
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second) // the longest wait that the API knows is 60 s
	defer cancel()
	u := strings.TrimRight(c.base, "/") + path
	if len(query) > 0 {
		u += "?" + query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, method, u, nil)
	if err != nil {
		return err
	}
	if header != nil {
		r.Header = header.Clone()
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		if errors.Is(err, context.Canceled) {
			return err
		}
		return fmt.Errorf("%w: %w; where it is says the setting %s", event.ErrUnavailable, err, config.Name(c.setting))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%w: %s %s: %w", event.ErrUnavailable, method, path, err)
	}
	if resp.StatusCode >= 400 {
		p := &problem{}
		if json.Unmarshal(body, p) != nil || p.Code == "" {
			return fmt.Errorf("%s %s answers %s", method, u, resp.Status)
		}
		return p
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("%s %s: the answer is no such JSON: %w", method, u, err)
	}
	return nil
}
