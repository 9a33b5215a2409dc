package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
)

// partAnswer is what a part answered, or why there is nothing.
type partAnswer struct {
	header http.Header
	// value is the body, as encoding/json reads it with UseNumber; body is what of it is shown.
	value any
	body  json.RawMessage
	// problem is why there is none, with its status.
	problem json.RawMessage
	status  int
}

// compose answers with several answers in one: each part is asked for as soon as what it refers to is there. Of one that fails, or is
// late, the answer says why; without one that is required there is no answer.
func (g *Gateway) compose(c *call, w http.ResponseWriter) {
	parts := c.route.parts
	ctx, cancel := context.WithCancel(c.r.Context())
	defer cancel()
	vars := c.vars()
	answers := make([]partAnswer, len(parts))
	done := make([]chan struct{}, len(parts))
	for i := range parts {
		done[i] = make(chan struct{})
	}
	var asking sync.WaitGroup
	for i, p := range parts {
		asking.Go(func() {
			defer close(done[i])
			for _, n := range p.needs {
				<-done[n] // it ends: each has its time
			}
			answers[i] = g.ask(ctx, c, p, vars, func(n int) any { return answers[n].value })
			if p.Required && answers[i].problem != nil {
				cancel()
			}
		})
	}
	asking.Wait()
	g.writeParts(c, w, answers)
}

// ask asks for one part.
func (g *Gateway) ask(ctx context.Context, c *call, p *part, vars map[string]string, value func(int) any) partAnswer {
	target, err := p.target(vars, value)
	if err != nil {
		return c.noPart(newProblem(http.StatusNotFound, "not_found", "Not found", "What this is made of is not there."))
	}
	if p.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.Timeout)
		defer cancel()
	}
	a := g.fetch(ctx, c, target)
	if a.problem != nil {
		return a
	}
	d := json.NewDecoder(bytes.NewReader(a.body))
	d.UseNumber()
	if err := d.Decode(&a.value); err != nil {
		return c.noPart(badGateway().because(err))
	}
	if p.Pick == "" {
		return a
	}
	picked, err := p.picked(a.value, vars, value)
	if err == nil {
		a.body, err = encode(picked)
	}
	if err != nil {
		return c.noPart(badGateway().because(err))
	}
	return a
}

// picked is what of a part's answer is shown.
func (p *part) picked(v any, vars map[string]string, value func(int) any) (any, error) {
	v, ok := member(v, []string{p.Pick})
	if !ok {
		return nil, errMissing
	}
	list, ok := v.([]any)
	if !ok || len(p.without) == 0 {
		return v, nil
	}
	kept := make([]any, 0, len(list))
	for _, item := range list {
		out := false
		for name, t := range p.without {
			want, err := t.fill(vars, value, func(s string) string { return s })
			if err != nil {
				return nil, err
			}
			have, err := (&piece{members: strings.Split(name, ".")}).find(item)
			out = out || err == nil && have == want
		}
		if !out {
			kept = append(kept, item)
		}
	}
	return kept, nil
}

func (c *call) noPart(p *problem) partAnswer {
	out := *p
	out.TraceID = c.trace.TraceID
	raw, err := encode(&out)
	if err != nil { // texts and numbers always can be
		raw = json.RawMessage(`{"code":"internal"}`)
	}
	return partAnswer{problem: raw, status: p.Status}
}

func (g *Gateway) writeParts(c *call, w http.ResponseWriter, answers []partAnswer) {
	body, failed := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	h := w.Header()
	for i, p := range c.route.parts {
		a := answers[i]
		switch {
		case a.problem == nil:
			body[p.name] = a.body
			if v := a.header.Get("Cqrs-Position"); p.Required && v != "" {
				h.Set("Cqrs-Position", v)
			}
			if v := a.header.Get("Cqrs-Stale"); v != "" {
				h.Set("Cqrs-Stale", v)
			}
		case p.Required && a.status >= http.StatusInternalServerError:
			g.fail(c, w, badGateway().because(errors.New("the part "+p.name+" failed: "+string(a.problem))))
			return
		case p.Required: // not found, not permitted: so is the whole
			h.Set("Content-Type", problemType)
			h.Set("Cache-Control", "no-store")
			w.WriteHeader(a.status)
			_, _ = w.Write(append(a.problem, '\n')) // a caller who has gone is no news
			return
		default:
			body[p.name], failed[p.name] = json.RawMessage("null"), a.problem
		}
	}
	var err error
	if len(failed) > 0 {
		body["errors"], err = encode(failed)
	}
	out, failure := encode(body)
	if err = errors.Join(err, failure); err != nil {
		g.fail(c, w, internal().because(err))
		return
	}
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(append(out, '\n')) // a caller who has gone is no news
}

func encode(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSpace(b.Bytes()), err
}
