package gateway

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// document reads the file: limits first, whatever their place, because routes name them.
func (f *file) document(root *yaml.Node) {
	var backends, routes *yaml.Node
	f.fields(root, "the file", map[string]func(*yaml.Node){
		"limits":   func(n *yaml.Node) { f.each(n, "limits", f.limit) },
		"backends": func(n *yaml.Node) { backends = n },
		"routes":   func(n *yaml.Node) { routes = n },
		"builtin":  func(n *yaml.Node) { value(f, &f.table.Alone, "builtin", no)(n) },
	})
	if backends != nil {
		f.each(backends, "backends", f.backend)
	}
	if routes != nil {
		f.list(routes, "routes", f.route)
	}
}

func no(s string) (bool, error) {
	b, err := yes(s)
	return !b && err == nil, err
}

func (f *file) limit(key, n *yaml.Node) {
	l := RouteLimit{Limit: Limit{Name: key.Value}, By: ByPrincipal}
	f.fields(n, "the limit "+key.Value, map[string]func(*yaml.Node){
		"requests": value(f, &l.Requests, "requests", count(1, 1_000_000)),
		"window":   value(f, &l.Window, "window", duration),
		"by": value(f, &l.By, "by", func(s string) (string, error) {
			if whom := []string{ByPrincipal, ByAddress, ByRoute}; !slices.Contains(whom, s) {
				return "", fmt.Errorf("must be one of %s", strings.Join(whom, ", "))
			}
			return s, nil
		}),
	})
	switch {
	case !isName(key.Value):
		f.bad(key, "the limit %q needs a name of a-z 0-9 _ -", key.Value)
	case l.Requests == 0 || l.Window == 0:
		f.bad(key, "the limit %s needs requests and window", key.Value)
	}
	f.limits[key.Value] = l
}

func isName(s string) bool {
	return s != "" && len(s) <= 64 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789_-") == ""
}

func (f *file) backend(key, n *yaml.Node) {
	b := Backend{Name: key.Value}
	f.fields(n, "the backend "+key.Value, map[string]func(*yaml.Node){
		"addresses": func(n *yaml.Node) {
			f.list(n, "addresses", func(n *yaml.Node) {
				var u string
				value(f, &u, "an address", baseURL)(n)
				b.URLs = append(b.URLs, u)
			})
		},
		"max_in_flight": value(f, &b.MaxInFlight, "max_in_flight", count(1, 100_000)),
		"breaker": func(n *yaml.Node) {
			f.fields(n, "breaker", map[string]func(*yaml.Node){
				"failures": value(f, &b.Breaker.Failures, "failures", count(1, 1000)),
				"rest":     value(f, &b.Breaker.Rest, "rest", duration),
			})
		},
		"health": func(n *yaml.Node) {
			f.fields(n, "health", map[string]func(*yaml.Node){
				"port":    value(f, &b.Health.Port, "port", count(1, 65535)),
				"path":    value(f, &b.Health.Path, "path", words),
				"every":   value(f, &b.Health.Every, "every", duration),
				"timeout": value(f, &b.Health.Timeout, "timeout", duration),
			})
		},
	})
	if !isName(b.Name) {
		f.bad(key, "the backend %q needs a name of a-z 0-9 _ -", b.Name)
	}
	if len(b.URLs) == 0 {
		f.bad(key, "the backend %s needs addresses, such as [http://10.0.0.7:8080]", b.Name)
	}
	f.table.Backends = append(f.table.Backends, b)
}

func (f *file) route(n *yaml.Node) {
	rt := Route{where: fmt.Sprintf("%s:%d", f.name, n.Line)}
	known := map[string]func(*yaml.Node){
		"methods": func(n *yaml.Node) {
			f.list(n, "methods", func(n *yaml.Node) {
				var m string
				value(f, &m, "a method", method)(n)
				rt.Methods = append(rt.Methods, m)
			})
		},
		"path":          value(f, &rt.Path, "path", words),
		"backend":       value(f, &rt.Backend, "backend", words),
		"auth":          func(n *yaml.Node) { f.auth(n, &rt) },
		"timeout":       value(f, &rt.Timeout, "timeout", duration),
		"waits":         value(f, &rt.Waits, "waits", yes),
		"retries":       value(f, &rt.Retries, "retries", count(0, maxRetries)),
		"max_body":      value(f, &rt.MaxBody, "max_body", size),
		"audit":         value(f, &rt.Audit, "audit", yes),
		"command":       value(f, &rt.Command, "command", yes),
		"encoded_slash": value(f, &rt.EncodedSlash, "encoded_slash", yes),
		"limits": func(n *yaml.Node) {
			f.list(n, "limits", func(n *yaml.Node) {
				l, ok := f.limits[n.Value]
				if !ok {
					f.bad(n, "there is no limit %q in this file", n.Value)
				}
				rt.Limits = append(rt.Limits, l)
			})
		},
		"parts": func(n *yaml.Node) {
			rt.Parts = map[string]Part{}
			f.each(n, "parts", func(key, n *yaml.Node) { rt.Parts[key.Value] = f.part(key, n) })
		},
	}
	for _, m := range methods {
		known[strings.ToLower(m)] = func(n *yaml.Node) {
			rt.Methods = append(rt.Methods, m)
			value(f, &rt.Path, strings.ToLower(m), words)(n)
		}
	}
	before := len(f.errs)
	f.fields(n, "a route", known)
	if len(f.errs) == before {
		if err := rt.check(); err != nil {
			f.bad(n, "%v", err)
		}
	}
	f.table.Routes = append(f.table.Routes, rt)
}

// auth is open, token, or a list of roles.
func (f *file) auth(n *yaml.Node, rt *Route) {
	switch {
	case n.Kind == yaml.SequenceNode && len(n.Content) > 0:
		f.list(n, "auth", func(n *yaml.Node) {
			var role string
			value(f, &role, "a role", words)(n)
			rt.Roles = append(rt.Roles, role)
		})
	case n.Value == "open":
		rt.Open = true
	case n.Value != "token":
		f.bad(n, "auth must be open, token, or a list of roles")
	}
}

func (f *file) part(key, n *yaml.Node) Part {
	p := Part{}
	f.fields(n, "the part "+key.Value, map[string]func(*yaml.Node){
		"get":      value(f, &p.Target, "get", words),
		"required": value(f, &p.Required, "required", yes),
		"timeout":  value(f, &p.Timeout, "timeout", duration),
		"pick":     value(f, &p.Pick, "pick", words),
		"without": func(n *yaml.Node) {
			p.Without = map[string]string{}
			f.each(n, "without", func(key, n *yaml.Node) { p.Without[key.Value] = n.Value })
		},
	})
	return p
}

// check reports what contradicts itself in a route, whoever has written it.
func (rt *Route) check() error {
	switch {
	case rt.Path == "":
		return fmt.Errorf("a route needs a path, such as get: /v1/orders")
	case len(rt.Methods) == 0:
		return fmt.Errorf("the route %s needs methods", rt.Path)
	case rt.Backend == "" && len(rt.Parts) == 0:
		return fmt.Errorf("the route %s needs a backend, or parts", rt.Path)
	case rt.Backend != "" && len(rt.Parts) > 0:
		return fmt.Errorf("the route %s has a backend and parts; one of them answers", rt.Path)
	case rt.Open && len(rt.Roles) > 0:
		return fmt.Errorf("the route %s is open and has roles", rt.Path)
	case len(rt.Parts) > 0 && !slices.Equal(rt.Methods, []string{"GET"}):
		return fmt.Errorf("the route %s has parts, which can be asked for with GET only", rt.Path)
	case rt.Retries > 0 && !slices.ContainsFunc(rt.Methods, safe):
		return fmt.Errorf("the route %s has retries, but takes no method that is ever sent again", rt.Path)
	case rt.Retries < 0 || rt.Retries > maxRetries:
		return fmt.Errorf("the route %s has %d retries; it must be 0 to %d", rt.Path, rt.Retries, maxRetries)
	case rt.Timeout < 0 || rt.MaxBody < 0:
		return fmt.Errorf("the route %s has a timeout or a max_body below 0", rt.Path)
	}
	return nil
}
