package main

import (
	"bytes"
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

// post sends a JSON body.
func (c client) post(ctx context.Context, path string, in, out any) error {
	b, err := json.Marshal(in)
	if err != nil {
		return err
	}
	return c.send(ctx, http.MethodPost, path, nil, http.Header{"Content-Type": {"application/json"}}, b, out)
}

// call sends a request without a body.
func (c client) call(ctx context.Context, method, path string, query url.Values, header http.Header, out any) error {
	return c.send(ctx, method, path, query, header, nil, out)
}

// send sends a request and decodes the JSON answer into out, unless that is nil; an io.Writer gets it as it is. A refusal is a *problem; a
// server that does not answer is event.ErrUnavailable, with the setting to change.
func (c client) send(ctx context.Context, method, path string, query url.Values, header http.Header, body []byte, out any) error {
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second) // the longest wait that the API knows is 60 s
	defer cancel()
	u := strings.TrimRight(c.base, "/") + path
	if len(query) > 0 {
		u += "?" + query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, method, u, bytes.NewReader(body))
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
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("%w: %s %s: %w", event.ErrUnavailable, method, path, err)
	}
	if resp.StatusCode >= 400 {
		p := &problem{}
		if json.Unmarshal(answer, p) != nil || p.Code == "" {
			return fmt.Errorf("%s %s answers %s", method, u, resp.Status)
		}
		return p
	}
	if out == nil {
		return nil
	}
	if raw, ok := out.(io.Writer); ok { // it is no one JSON value
		_, err := raw.Write(answer)
		return err
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("%s %s: the answer is no such JSON: %w", method, u, err)
	}
	return nil
}
