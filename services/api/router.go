package api

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/tracing"
	"github.com/cqrsflow/cqrsflow/services/trace"
)

// route is an operation: where it is, what it takes and who handles it. http.ServeMux would do the
// matching, but answers in plain text, and redirects paths that it would rather see written differently.
type route struct {
	method string
	// path has segments in braces for variables. {aggregates} is the plural of a registered aggregate
	// type and {id} a stream ID: both are checked before the handler is called.
	path     string
	segments []string
	query    []param
	// open operations need no token.
	open   bool
	handle func(*call) error
	// describe adds the operation to the OpenAPI document; nil leaves it out.
	describe func(*document, *route)
}

// call is a request on its way through a handler.
type call struct {
	w http.ResponseWriter
	// conn is what the server gave: reading too large a body tells it to close the connection.
	conn  http.ResponseWriter
	r     *http.Request
	trace trace.Context
	span  tracing.Span
	// pattern is the route's path; empty where there is none.
	pattern string
	vars    map[string]string
	params  *params
	// aggregate is set where the path has {aggregates}, stream where it has {id}.
	aggregate *decider.Type
	stream    event.StreamID
}

func (rt *route) match(segments []string) bool {
	if len(segments) != len(rt.segments) {
		return false
	}
	for i, want := range rt.segments {
		if want[0] != '{' && want != segments[i] {
			return false
		}
	}
	return true
}

// find returns the first route, in order of registration, that takes path and method.
func (a *API) find(method, escaped string) (*route, []string, error) {
	segments := strings.Split(strings.TrimPrefix(escaped, "/"), "/")
	for i, s := range segments {
		plain, err := url.PathUnescape(s)
		if err != nil {
			return nil, nil, problem(codeMalformed, "The path has a broken percent-encoding.")
		}
		segments[i] = plain
	}
	if method == http.MethodHead {
		method = http.MethodGet
	}
	var allowed []string
	for i := range a.routes {
		rt := &a.routes[i]
		if !rt.match(segments) {
			continue
		}
		if rt.method == method {
			return rt, segments, nil
		}
		allowed = append(allowed, rt.method)
		if rt.method == http.MethodGet {
			allowed = append(allowed, http.MethodHead)
		}
	}
	if len(allowed) > 0 {
		slices.Sort(allowed)
		allow := strings.Join(slices.Compact(allowed), ", ")
		return nil, nil, problem(codeMethod, "The path takes "+allow+".").with("Allow", allow)
	}
	if len(segments) > 1 && segments[0] == "v1" && !a.collections[segments[1]] {
		return nil, nil, problem(codeUnknownAggregate, "There is no aggregate type "+clip(segments[1])+"; there are "+strings.Join(a.plurals(), ", ")+".")
	}
	return nil, nil, problem(codeNotFound, "There is no such path; see /docs.")
}

// bind fills in what the path says and refuses what cannot be.
func (a *API) bind(c *call, rt *route, segments []string) error {
	c.vars = map[string]string{}
	for i, name := range rt.segments {
		if name[0] != '{' {
			continue
		}
		name = strings.Trim(name, "{}")
		c.vars[name] = segments[i]
		switch name {
		case "aggregates":
			if c.aggregate = a.plural(segments[i]); c.aggregate == nil {
				return problem(codeUnknownAggregate, "There is no aggregate type "+clip(segments[i])+"; there are "+strings.Join(a.plurals(), ", ")+".")
			}
		case "id":
			id, err := event.ParseStreamID(segments[i])
			if err != nil {
				return malformed("id", streamMessage(err))
			}
			c.stream = id
		}
	}
	known := make([]string, len(rt.query))
	for i, p := range rt.query {
		known[i] = p.name
	}
	var err error
	c.params, err = parseParams(c.r.URL.RawQuery, known)
	return err
}

func (a *API) plural(name string) *decider.Type {
	for _, t := range a.cfg.Aggregates {
		if t.Plural == name {
			return t
		}
	}
	return nil
}

func (a *API) plurals() []string {
	names := make([]string, len(a.cfg.Aggregates))
	for i, t := range a.cfg.Aggregates {
		names[i] = t.Plural
	}
	return names
}
