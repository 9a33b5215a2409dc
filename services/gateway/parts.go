package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// part is a Part in use.
type part struct {
	Part
	name string
	// path and query are Target's two halves; needs are the parts, by number, that they refer to.
	path, query template
	needs       []int
	without     map[string]template
}

// template is text with references in it.
type template []piece

// piece is plain text, or a reference: to a variable of the path, or to a member of what another part answers.
type piece struct {
	text string
	// part is the number of a part; -1 for a variable of the path.
	part int
	// members lead to the value; of a variable, its name.
	members []string
	// less is taken away from a number.
	less int64
}

// parseParts reads the parts of a route, in the order of their names.
func parseParts(rt *route) ([]*part, error) {
	names := slices.Sorted(maps.Keys(rt.Parts))
	var out []*part
	required := false
	for _, name := range names {
		p := &part{Part: rt.Parts[name], name: name, without: map[string]template{}}
		bad := func(err error) ([]*part, error) { return nil, fmt.Errorf("the part %s of %s: %w", name, rt.Path, err) }
		if name == "errors" || !isName(strings.ToLower(name)) {
			return bad(errors.New("a part needs a name of letters, digits, _ and -, and errors is taken"))
		}
		if !strings.HasPrefix(p.Target, "/") {
			return bad(errors.New("get must be a path, such as /v1/orders/{id}"))
		}
		required = required || p.Required
		path, query, _ := strings.Cut(p.Target, "?")
		var err error
		if p.path, err = parseTemplate(path, rt, names, name); err != nil {
			return bad(err)
		}
		if p.query, err = parseTemplate(query, rt, names, name); err != nil {
			return bad(err)
		}
		for member, text := range p.Without {
			if p.without[member], err = parseTemplate(text, rt, names, name); err != nil {
				return bad(err)
			}
		}
		for _, t := range append(slices.Collect(maps.Values(p.without)), p.path, p.query) {
			for _, pc := range t {
				if pc.part >= 0 && pc.members != nil && !slices.Contains(p.needs, pc.part) {
					p.needs = append(p.needs, pc.part)
				}
			}
		}
		out = append(out, p)
	}
	if !required {
		return nil, fmt.Errorf("the route %s needs one part that is required", rt.Path)
	}
	return out, circle(out, rt.Path)
}

// circle reports parts that wait for each other.
func circle(parts []*part, path string) error {
	const entered, left = 1, 2
	state := make([]int, len(parts))
	var visit func(int) error
	visit = func(i int) error {
		switch state[i] {
		case entered:
			return fmt.Errorf("the part %s of %s is made of itself", parts[i].name, path)
		case left:
			return nil
		}
		state[i] = entered
		for _, n := range parts[i].needs {
			if err := visit(n); err != nil {
				return err
			}
		}
		state[i] = left
		return nil
	}
	for i := range parts {
		if err := visit(i); err != nil {
			return err
		}
	}
	return nil
}

func parseTemplate(s string, rt *route, parts []string, self string) (template, error) {
	var out template
	for s != "" {
		text, rest, found := strings.Cut(s, "{")
		if text != "" {
			out = append(out, piece{text: text, part: -1})
		}
		if !found {
			break
		}
		ref, rest, closed := strings.Cut(rest, "}")
		if !closed {
			return nil, fmt.Errorf("a brace in %q is not closed", s)
		}
		p, err := parseReference(ref, rt, parts)
		if err != nil {
			return nil, err
		}
		if p.part >= 0 && parts[p.part] == self {
			return nil, fmt.Errorf("{%s} is what the part itself answers", ref)
		}
		out, s = append(out, p), rest
	}
	return out, nil
}

func parseReference(ref string, rt *route, parts []string) (piece, error) {
	name, less, minus := strings.Cut(ref, "-")
	p := piece{part: -1}
	if minus {
		n, err := strconv.ParseUint(less, 10, 31)
		if err != nil {
			return p, fmt.Errorf("{%s}: what stands behind the - must be a whole number", ref)
		}
		p.less = int64(n)
	}
	p.members = strings.Split(name, ".")
	if len(p.members) == 1 {
		for _, v := range rt.names {
			if v == name && !minus {
				return p, nil
			}
		}
		return p, fmt.Errorf("{%s} is no variable of the path %s", ref, rt.Path)
	}
	if p.part = slices.Index(parts, p.members[0]); p.part < 0 {
		return p, fmt.Errorf("{%s}: there is no part %s", ref, p.members[0])
	}
	p.members = p.members[1:]
	return p, nil
}

// errMissing: what a template refers to is not there.
var errMissing = errors.New("what it refers to is not there")

// sample stands for what is not known yet.
func (t template) sample() string {
	var b strings.Builder
	for _, p := range t {
		if p.members == nil {
			b.WriteString(p.text)
		} else {
			b.WriteString("0")
		}
	}
	return b.String()
}

// fill puts in what is referred to; escape makes each value fit its place.
func (t template) fill(vars map[string]string, value func(part int) any, escape func(string) string) (string, error) {
	var b strings.Builder
	for _, p := range t {
		switch {
		case p.members == nil:
			b.WriteString(p.text)
		case p.part < 0:
			b.WriteString(escape(vars[p.members[0]]))
		default:
			s, err := p.find(value(p.part))
			if err != nil {
				return "", err
			}
			b.WriteString(escape(s))
		}
	}
	return b.String(), nil
}

// find follows the members into a value of encoding/json, with numbers as they were written.
func (p *piece) find(v any) (string, error) {
	v, ok := member(v, p.members)
	if !ok {
		return "", errMissing
	}
	switch v := v.(type) {
	case string:
		if p.less == 0 {
			return v, nil
		}
	case json.Number:
		if p.less == 0 {
			return v.String(), nil
		}
		if n, err := v.Int64(); err == nil {
			return strconv.FormatInt(max(0, n-p.less), 10), nil
		}
	}
	return "", errMissing
}

func member(v any, path []string) (any, bool) {
	for _, name := range path {
		switch in := v.(type) {
		case map[string]any:
			next, ok := in[name]
			if !ok {
				return nil, false
			}
			v = next
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(in) {
				return nil, false
			}
			v = in[i]
		default:
			return nil, false
		}
	}
	return v, true
}

// target is the path and query to ask for.
func (p *part) target(vars map[string]string, value func(int) any) (string, error) {
	var odd error
	path, err := p.path.fill(vars, value, func(s string) string {
		if s == "" || ambiguous(s) {
			odd = errMissing
		}
		return url.PathEscape(s)
	})
	if err = errors.Join(err, odd); err != nil {
		return "", err
	}
	query, err := p.query.fill(vars, value, url.QueryEscape)
	if err != nil || query == "" {
		return path, err
	}
	return path + "?" + strings.NewReplacer(`"`, "%22", " ", "%20").Replace(query), nil
}
