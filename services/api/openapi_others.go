package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/services/apidoc"
)

// bearer is the name of the security scheme of operations that need an access token.
const bearer = "accessToken"

var pathVariable = regexp.MustCompile(`\{(\w+)\}`)

// others adds an operation that somebody else serves. Its error wraps event.ErrConfig.
func (d *document) others(o *apidoc.Operation) error {
	op := &huma.Operation{Method: o.Method, Path: o.Path, OperationID: o.ID, Tags: []string{o.Tag}, Summary: o.Summary, Description: o.About}
	if o.Role != "" {
		op.Description += "\n\nThis needs the role `" + o.Role + "`."
	}
	for _, v := range pathVariable.FindAllStringSubmatch(o.Path, -1) {
		op.Parameters = append(op.Parameters, pathParam(v[1], "As it was given out."))
	}
	for _, name := range slices.Sorted(maps.Keys(o.Query)) {
		op.Parameters = append(op.Parameters, &huma.Param{Name: name, In: "query", Description: o.Query[name], Schema: &huma.Schema{Type: huma.TypeString}})
	}
	if !o.Private {
		op.Security = []map[string][]string{}
	}
	if o.Body != nil {
		body, err := d.exemplary(o.Body, "application/json")
		if err != nil {
			return err
		}
		op.RequestBody = &huma.RequestBody{Required: true, Content: body}
	}
	answer := &huma.Response{Description: "OK"}
	if o.Answer != nil {
		media := o.ContentType
		if media == "" {
			media = "application/json"
		}
		var err error
		if answer.Content, err = d.exemplary(o.Answer, media); err != nil {
			return err
		}
	}
	op.Responses = map[string]*huma.Response{strconv.Itoa(o.Status): answer}
	for _, code := range o.Problems {
		if !slices.ContainsFunc(d.kinds, func(k kind) bool { return k.Code == code }) {
			return fmt.Errorf("%w: api: %s %s answers with the problem %s, which nothing describes", event.ErrConfig, o.Method, o.Path, code)
		}
	}
	d.operation(op, o.Problems...)
	return nil
}

// exemplary is a body with its type's schema and itself for an example: as JSON, so that it is there as it is sent.
func (d *document) exemplary(body any, media string) (map[string]*huma.MediaType, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("%w: api: an example: %w", event.ErrConfig, err)
	}
	var example any
	if err := json.Unmarshal(b, &example); err != nil {
		return nil, fmt.Errorf("%w: api: an example: %w", event.ErrConfig, err)
	}
	schema := &huma.Schema{}
	if t := reflect.TypeOf(body); t.Kind() == reflect.Struct {
		schema = d.dto(t)
	}
	return map[string]*huma.MediaType{media: {Schema: schema, Example: example}}, nil
}
