package api

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

//go:embed docs.html
var docsHTML string

// page renders the document for people: one page that needs nothing from anywhere.
func (d *document) page() ([]byte, error) {
	t, err := template.New("docs").Funcs(template.FuncMap{
		"prose": prose, "type": d.typeOf, "anchor": anchor, "curl": d.curl, "statuses": statusesOf, "properties": d.properties,
	}).Parse(docsHTML)
	if err != nil {
		return nil, fmt.Errorf("page of the documentation: %w", err)
	}
	groups := map[string][]*huma.Operation{}
	var tags []string
	for _, op := range d.operations {
		if tag := op.Tags[0]; !slices.Contains(tags, tag) {
			tags = append(tags, tag)
		}
		groups[op.Tags[0]] = append(groups[op.Tags[0]], op)
	}
	names := make([]string, 0, len(d.registry.Map()))
	for name := range d.registry.Map() {
		names = append(names, name)
	}
	slices.Sort(names)
	var b bytes.Buffer
	err = t.Execute(&b, map[string]any{"Info": d.openapi.Info, "Tags": tags, "Groups": groups, "Problems": d.kinds,
		"Schemas": names, "Registry": d.registry.Map()})
	return b.Bytes(), err
}

// prose turns the little Markdown of descriptions, paragraphs and `code`, into HTML.
func prose(s string) template.HTML {
	var b strings.Builder
	for para := range strings.SplitSeq(s, "\n\n") {
		if strings.TrimSpace(para) == "" {
			continue
		}
		b.WriteString("<p>")
		for i, part := range strings.Split(para, "`") {
			if i%2 == 1 {
				b.WriteString("<code>" + template.HTMLEscapeString(part) + "</code>")
			} else {
				b.WriteString(template.HTMLEscapeString(part))
			}
		}
		b.WriteString("</p>")
	}
	return template.HTML(b.String())
}

func anchor(op *huma.Operation) string { return op.OperationID }

// typeOf says in a few words what a schema is, with links to those that have a name.
func (d *document) typeOf(s *huma.Schema) template.HTML {
	switch {
	case s == nil:
		return ""
	case s.Ref != "":
		name := strings.TrimPrefix(s.Ref, schemaPrefix)
		return template.HTML(`<a href="#schema-` + template.HTMLEscapeString(name) + `">` + template.HTMLEscapeString(name) + `</a>`)
	case s.Type == huma.TypeArray:
		return "list of " + d.typeOf(s.Items) + template.HTML(template.HTMLEscapeString(bounds(s.MinItems, s.MaxItems)))
	case len(s.AnyOf) > 0:
		return d.several(s.AnyOf, " or ")
	case len(s.AllOf) > 0:
		return d.several(s.AllOf, " and ")
	}
	text := s.Type
	if text == "" {
		text = "any"
	}
	if s.Format != "" {
		text += ", " + s.Format
	}
	if len(s.Enum) > 0 {
		text = strings.Trim(strings.ReplaceAll(fmt.Sprintf("%v", s.Enum), " ", " | "), "[]")
	}
	if s.Minimum != nil || s.Maximum != nil {
		text += bounds(s.Minimum, s.Maximum)
	}
	text += bounds(s.MinLength, s.MaxLength)
	if s.Default != nil {
		text += fmt.Sprintf("; %v", s.Default)
	}
	if s.Nullable {
		text += " or null"
	}
	return template.HTML(template.HTMLEscapeString(text))
}

func (d *document) several(parts []*huma.Schema, word template.HTML) template.HTML {
	var out template.HTML
	for i, s := range parts {
		if i > 0 {
			out += word
		}
		out += d.typeOf(s)
	}
	return out
}

func bounds[N int | float64](low, high *N) string {
	switch {
	case low != nil && high != nil:
		return fmt.Sprintf(" (%s to %s)", plain(*low), plain(*high))
	case low != nil:
		return fmt.Sprintf(" (at least %s)", plain(*low))
	case high != nil:
		return fmt.Sprintf(" (at most %s)", plain(*high))
	}
	return ""
}

func plain[N int | float64](n N) string { return strconv.FormatFloat(float64(n), 'f', -1, 64) }

type property struct {
	Name     string
	Required bool
	Schema   *huma.Schema
}

func (d *document) properties(s *huma.Schema) []property {
	out := make([]property, 0, len(s.Properties))
	for name, p := range s.Properties {
		out = append(out, property{name, slices.Contains(s.Required, name), p})
	}
	slices.SortFunc(out, func(a, b property) int { return strings.Compare(a.Name, b.Name) })
	return out
}

type status struct {
	Code     string
	Response *huma.Response
	Media    string
	Schema   *huma.Schema
}

func statusesOf(op *huma.Operation) []status {
	var out []status
	for code, r := range op.Responses {
		s := status{Code: code, Response: r}
		for media, m := range r.Content {
			s.Media, s.Schema = media, m.Schema
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b status) int { return strings.Compare(a.Code, b.Code) })
	return out
}

// curl is the request as one would try it.
func (d *document) curl(op *huma.Operation) string {
	path := strings.NewReplacer("{id}", "ID", "{commandId}", "COMMAND_ID").Replace(op.Path)
	if len(op.Security) > 0 {
		path += ` -H "Authorization: Bearer $access"`
	}
	if op.RequestBody == nil {
		if op.Method != http.MethodGet {
			return "curl -X " + op.Method + " localhost:8080" + path
		}
		return "curl localhost:8080" + path
	}
	for media, m := range op.RequestBody.Content {
		if m.Example != nil {
			body, _ := json.Marshal(m.Example) // it is in the document, too
			return "curl localhost:8080" + path + " --json '" + string(body) + "'"
		}
		if media != "application/json" {
			return "curl localhost:8080" + path + " -H 'Content-Type: " + media + "' --data-binary @commands.ndjson"
		}
		body, err := json.Marshal(d.example(m.Schema, "", 0))
		if err != nil || string(body) == "{}" || string(body) == "null" {
			return "curl -X POST localhost:8080" + path
		}
		return "curl localhost:8080" + path + " --json '" + string(body) + "'"
	}
	return ""
}

// example makes a value of a schema: its required parts, and one of what may be left out where nothing is required.
func (d *document) example(s *huma.Schema, name string, depth int) any {
	const deepest = 5
	if s.Ref != "" {
		s = d.registry.SchemaFromRef(s.Ref)
	}
	switch {
	case s == nil || depth > deepest:
		return nil
	case len(s.Examples) > 0:
		return s.Examples[0]
	case len(s.Enum) > 0:
		return s.Enum[0]
	case s.Type == huma.TypeArray:
		return []any{d.example(s.Items, name, depth+1)}
	case s.Type == huma.TypeObject:
		out := map[string]any{}
		for _, p := range d.properties(s) {
			if p.Name != "price" && p.Name != "author" { // beside a total
				out[p.Name] = d.example(p.Schema, p.Name, depth+1)
			}
		}
		return out
	case s.Type == huma.TypeInteger:
		return 1
	case s.Type == huma.TypeNumber:
		return 0.5
	case s.Type == huma.TypeBoolean:
		return true
	case s.Format == "date-time":
		return "2026-01-31T12:00:00Z"
	}
	return exampleText(name)
}

func exampleText(name string) string {
	switch name {
	case "amount":
		return "11.77"
	case "currency":
		return "USD"
	case "customer", "order":
		return name + "-1"
	}
	return "some " + name
}
