package gateway

import (
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/config"
)

// Table is what a file of routes says.
type Table struct {
	Backends []Backend
	Routes   []Route
	// Alone leaves the built-in routes out.
	Alone bool
}

//go:embed defaults/routes.yaml
var defaults []byte

// Defaults are the routes of cqrsflow's own operations. Those of backends that are not there are left out when a gateway is made.
func Defaults() Table {
	t, err := ParseTable("the built-in routes", defaults)
	if err != nil {
		panic(fmt.Sprintf("gateway: %v", err)) // they are compiled in
	}
	for i := range t.Routes {
		t.Routes[i].builtin = true
	}
	return t
}

// ReadTable reads a file of routes. Errors wrap event.ErrConfig, and name all that is wrong by file and line.
func ReadTable(path string) (Table, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Table{}, fmt.Errorf("%w: routes: %w", event.ErrConfig, err)
	}
	return ParseTable(path, text)
}

// ParseTable reads the text of such a file; name is for errors.
func ParseTable(name string, text []byte) (Table, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return Table{}, fmt.Errorf("%w: %s: %s", event.ErrConfig, name, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	f := &file{name: name, limits: map[string]RouteLimit{}}
	if len(doc.Content) > 0 {
		f.document(doc.Content[0])
	}
	return f.table, errors.Join(f.errs...)
}

// Over puts t over what stands below it: backends and routes of t take the place of those with the same name, or the same method
// and path.
func (t Table) Over(below Table) Table {
	out := Table{Backends: slices.Clone(t.Backends), Routes: slices.Clone(t.Routes)}
	if t.Alone {
		return out
	}
	for _, b := range below.Backends {
		if !slices.ContainsFunc(t.Backends, func(o Backend) bool { return o.Name == b.Name }) {
			out.Backends = append(out.Backends, b)
		}
	}
	for _, rt := range below.Routes {
		rt.Methods = slices.DeleteFunc(slices.Clone(rt.Methods), func(m string) bool {
			return slices.ContainsFunc(t.Routes, func(o Route) bool { return o.Path == rt.Path && slices.Contains(o.Methods, m) })
		})
		if len(rt.Methods) > 0 {
			out.Routes = append(out.Routes, rt)
		}
	}
	return out
}

// file is a file while it is read. Everything that is wrong is collected, so that it can be put right in one go.
type file struct {
	name   string
	table  Table
	limits map[string]RouteLimit
	errs   []error
}

func (f *file) bad(n *yaml.Node, format string, args ...any) {
	f.errs = append(f.errs, fmt.Errorf("%w: %s:%d: %s", event.ErrConfig, f.name, n.Line, fmt.Sprintf(format, args...)))
}

// fields reads a map: keys that nobody knows are errors, and so is one that is there twice.
func (f *file) fields(n *yaml.Node, what string, known map[string]func(*yaml.Node)) {
	f.each(n, what, func(key, value *yaml.Node) {
		if read := known[key.Value]; read != nil {
			read(value)
			return
		}
		f.bad(key, "%s has no key %q; there are %s", what, key.Value, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
	})
}

func (f *file) each(n *yaml.Node, what string, read func(key, value *yaml.Node)) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.MappingNode {
		f.bad(n, "%s must be a map", what)
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if seen[key.Value] {
			f.bad(key, "the key %q is there twice", key.Value)
		}
		seen[key.Value] = true
		read(key, n.Content[i+1])
	}
}

func (f *file) list(n *yaml.Node, what string, read func(*yaml.Node)) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.SequenceNode {
		f.bad(n, "%s must be a list", what)
		return
	}
	for _, item := range n.Content {
		read(item)
	}
}

// userinfo is what of a URL errors do not show.
var userinfo = regexp.MustCompile(`://[^/@]*@`)

// value reads a scalar by what parse makes of it.
func value[T any](f *file, into *T, what string, parse func(string) (T, error)) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.ScalarNode {
			f.bad(n, "%s must be a single value", what)
			return
		}
		v, err := parse(n.Value)
		if err != nil {
			f.bad(n, "%s is %q; it %v", what, userinfo.ReplaceAllString(n.Value, "://***@"), err)
			return
		}
		*into = v
	}
}

func words(s string) (string, error) { return s, nil }

func yes(s string) (bool, error) {
	switch s {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, errors.New("must be true or false")
}

func size(s string) (int64, error) {
	n, err := config.ParseSize(s)
	if err == nil && n < 1 {
		err = errors.New("must be at least 1 byte")
	}
	return int64(n), err
}

func duration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, errors.New("must be a duration such as 500ms or 20s")
	}
	return d, nil
}

func count(least, most int) func(string) (int, error) {
	return func(s string) (int, error) {
		n := 0
		if s == "" || len(s) > 9 || strings.Trim(s, "0123456789") != "" {
			n = -1
		}
		for _, c := range s {
			if n >= 0 {
				n = n*10 + int(c-'0')
			}
		}
		if n < least || n > most {
			return 0, fmt.Errorf("must be a whole number from %d to %d", least, most)
		}
		return n, nil
	}
}

func baseURL(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return "", errors.New("must be a base URL such as http://10.0.0.7:8080, without a path")
	}
	return strings.TrimSuffix(s, "/"), nil
}

// methods are the keys by which a route says its method and path in one; several methods stand under methods and path.
var methods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

func method(s string) (string, error) {
	if !slices.Contains(methods, s) {
		return "", fmt.Errorf("must be one of %s", strings.Join(methods, ", "))
	}
	return s, nil
}
