package gateway

import (
	"fmt"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"

	"github.com/cqrsflow/cqrsflow/event"
)

// router finds routes by path and method. http.ServeMux would, but answers in plain text, and redirects paths that it would rather
// see written differently. Of two routes that both take a path, the one wins that says more about its first differing segment.
type router struct{ root node }

// node stands for the segments up to here.
type node struct {
	literal  map[string]*node
	variable *node
	// here are the routes that end here, rest those that take all that follows, by method.
	here, rest map[string]*route
}

// route is a Route in use.
type route struct {
	Route
	// names are the variables by the number of their segment; rest is the one that takes all that follows, from restAt on.
	names   map[int]string
	rest    string
	restAt  int
	backend *backend
	proxy   *httputil.ReverseProxy
	parts   []*part
}

func (rt *route) parse() ([]string, error) {
	if !strings.HasPrefix(rt.Path, "/") {
		return nil, fmt.Errorf("the path %q must begin with a slash", rt.Path)
	}
	segments := strings.Split(rt.Path[1:], "/")
	rt.names = map[int]string{}
	for i, s := range segments {
		name, ok := strings.CutPrefix(s, "{")
		switch {
		case s == "" && len(segments) > 1:
			return nil, fmt.Errorf("the path %q has an empty segment", rt.Path)
		case !ok && (strings.ContainsAny(s, "{}%?#") || ambiguous(s)):
			return nil, fmt.Errorf("the segment %q of the path %q must be plain text or a name in braces", s, rt.Path)
		case !ok:
			continue
		}
		name, ok = strings.CutSuffix(name, "}")
		name, rest := strings.CutSuffix(name, "...")
		switch {
		case !ok || name == "" || strings.ContainsAny(name, "{}."):
			return nil, fmt.Errorf("the segment %q of the path %q is no name in braces", s, rt.Path)
		case rest && i != len(segments)-1:
			return nil, fmt.Errorf("%s of the path %q must be its last segment", s, rt.Path)
		case rest:
			rt.rest, rt.restAt = name, i
		default:
			rt.names[i] = name
		}
	}
	return segments, nil
}

// add registers a route. Its error wraps event.ErrConfig.
func (r *router) add(rt *route) error {
	segments, err := rt.parse()
	if err != nil {
		return fmt.Errorf("%w: %s: %w", event.ErrConfig, rt.where, err)
	}
	n := &r.root
	for i, s := range segments {
		_, variable := rt.names[i]
		switch {
		case rt.rest != "" && i == rt.restAt:
			return rt.register(&n.rest)
		case variable:
			if n.variable == nil {
				n.variable = &node{}
			}
			n = n.variable
		default:
			if n.literal == nil {
				n.literal = map[string]*node{}
			}
			if n.literal[s] == nil {
				n.literal[s] = &node{}
			}
			n = n.literal[s]
		}
	}
	return rt.register(&n.here)
}

func (rt *route) register(at *map[string]*route) error {
	if *at == nil {
		*at = map[string]*route{}
	}
	for _, m := range rt.Methods {
		if other := (*at)[m]; other != nil {
			return fmt.Errorf("%w: %s: %s %s takes the same requests as %s of %s", event.ErrConfig, rt.where, m, rt.Path, other.Path, other.where)
		}
		(*at)[m] = rt
	}
	return nil
}

// find returns the route of a request, or a problem that says why there is none.
func (r *router) find(method string, segments []string) (*route, error) {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	var allowed []string
	if rt := r.root.find(method, segments, &allowed); rt != nil {
		return rt, nil
	}
	if len(allowed) == 0 {
		return nil, notFound()
	}
	if slices.Contains(allowed, http.MethodGet) {
		allowed = append(allowed, http.MethodHead)
	}
	slices.Sort(allowed)
	allow := strings.Join(slices.Compact(allowed), ", ")
	return nil, newProblem(http.StatusMethodNotAllowed, "method_not_allowed", "Method not allowed", "The path takes "+allow+".").with("Allow", allow)
}

func (n *node) find(method string, segments []string, allowed *[]string) *route {
	if len(segments) == 0 {
		return choose(n.here, method, allowed)
	}
	if next := n.literal[segments[0]]; next != nil {
		if rt := next.find(method, segments[1:], allowed); rt != nil {
			return rt
		}
	}
	if n.variable != nil && segments[0] != "" {
		if rt := n.variable.find(method, segments[1:], allowed); rt != nil {
			return rt
		}
	}
	if slices.Contains(segments[:len(segments)-1], "") { // the last is empty where a path ends in a slash
		return nil
	}
	return choose(n.rest, method, allowed)
}

func choose(from map[string]*route, method string, allowed *[]string) *route {
	if rt := from[method]; rt != nil {
		return rt
	}
	for m := range from {
		*allowed = append(*allowed, m)
	}
	return nil
}

// each calls f for every method of every route.
func (n *node) each(f func(method string, rt *route)) {
	for _, routes := range []map[string]*route{n.here, n.rest} {
		for m, rt := range routes {
			f(m, rt)
		}
	}
	for _, next := range n.literal {
		next.each(f)
	}
	if n.variable != nil {
		n.variable.each(f)
	}
}

// variables are what stands in the places of names.
func (rt *route) variables(segments []string) map[string]string {
	vars := make(map[string]string, len(rt.names)+1)
	for i, name := range rt.names {
		vars[name] = segments[i]
	}
	if rt.rest != "" {
		vars[rt.rest] = strings.Join(segments[rt.restAt:], "/")
	}
	return vars
}
