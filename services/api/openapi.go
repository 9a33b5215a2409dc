package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/schemas"
)

// document is the OpenAPI document while it is made, from the routes that there are.
type document struct {
	api        *API
	openapi    *huma.OpenAPI
	registry   huma.Registry
	comments   map[string]string
	operations []*huma.Operation // in the order of registration, for /docs
	kinds      []kind            // of problems: problemKinds, and those of others
}

const about = `Commands change aggregates, queries read what has become of them.

A command is answered with the aggregate's state, whether it was accepted or rejected, and with a position. A query that brings the position along in ` + "`Cqrs-After`" + ` sees what the command did, or says that it could not in time.

Times are UTC in RFC 3339, dates YYYY-MM-DD. Names are camelCase; unknown fields and parameters are errors. Every error is an RFC 9457 problem with a stable ` + "`code`" + `. ` + "`traceparent`" + ` is taken over where it is sent, and so is ` + "`X-Request-Id`" + `, which becomes the correlation ID of a command and of its events.`

func (a *API) document() error {
	texts, err := comments()
	if err != nil {
		return fmt.Errorf("comments of the schemas: %w", err)
	}
	d := &document{api: a, comments: texts, registry: huma.NewMapRegistry(schemaPrefix, huma.DefaultSchemaNamer)}
	d.openapi = &huma.OpenAPI{OpenAPI: "3.1.0", Info: &huma.Info{Title: "cqrsflow", Version: "v1", Description: about},
		Components: &huma.Components{Schemas: d.registry, SecuritySchemes: map[string]*huma.SecurityScheme{bearer: {Type: "http", Scheme: "bearer",
			Description: "An access token, as POST /v1/auth/login gives it, or the operator's."}}}}
	d.kinds = slices.Clone(problemKinds)
	for _, p := range a.cfg.Problems {
		if !slices.ContainsFunc(d.kinds, func(k kind) bool { return k.Code == p.Code }) {
			d.kinds = append(d.kinds, kind{p.Code, p.Status, p.Title, p.Text})
		}
	}
	for i := range a.routes {
		if rt := &a.routes[i]; rt.describe != nil {
			rt.describe(d, rt)
		}
	}
	for i := range a.cfg.Described {
		if err := d.others(&a.cfg.Described[i]); err != nil {
			return err
		}
	}
	if a.cfg.Gateway && a.cfg.Orders != nil {
		d.overview()
	}
	for _, s := range d.registry.Map() {
		s.AdditionalProperties = dropFalse(s.AdditionalProperties)
		for _, p := range s.Properties {
			neverNull(p)
		}
	}
	if a.openapi, err = json.MarshalIndent(d.openapi, "", "  "); err != nil {
		return fmt.Errorf("OpenAPI document: %w", err)
	}
	if a.asyncapi, err = asyncAPI(a.cfg.Topics); err != nil {
		return err
	}
	a.docs, err = d.page()
	return err
}

// dropFalse keeps what has been said of maps; answers may gain fields, so that nothing forbids them.
func dropFalse(additional any) any {
	if forbidden, ok := additional.(bool); ok && !forbidden {
		return nil
	}
	return additional
}

// neverNull takes back what is assumed of Go's slices: an empty list is [] or absent.
func neverNull(s *huma.Schema) {
	if s.Type == huma.TypeArray {
		s.Nullable = false
	}
	if of, ok := s.AdditionalProperties.(*huma.Schema); ok {
		neverNull(of)
	}
}

// param is a query parameter: it is both what a route takes and what the document says of it.
type param struct {
	name, text string
	schema     huma.Schema
}

func text(name, about string) param {
	return param{name, about, huma.Schema{Type: huma.TypeString}}
}

func formatted(name, about, format string) param {
	return param{name, about, huma.Schema{Type: huma.TypeString, Format: format}}
}

func choice(name, about string, values ...string) param {
	s := huma.Schema{Type: huma.TypeString}
	for _, v := range values {
		s.Enum = append(s.Enum, v)
	}
	return param{name, about, s}
}

func number(name, about string, least, most, preset int) param {
	s := huma.Schema{Type: huma.TypeInteger}
	low := float64(least)
	s.Minimum = &low
	if most > 0 {
		high := float64(most)
		s.Maximum = &high
	}
	if preset > 0 {
		s.Default = preset
	}
	return param{name, about, s}
}

func withDefault(p param, preset string) param {
	p.schema.Default = preset
	return p
}

var (
	limitParam  = number("limit", "How many to return at most.", 1, MaxLimit, DefaultLimit)
	cursorParam = text("cursor", "The cursor of the page before, with the same other parameters.")

	orderParams = []param{text("customer", "Orders of this customer."), choice("status", "Orders of this status.", statuses...),
		text("placedFrom", "Placed on this date or at this time, or later."), text("placedTo", "Placed on this date or at this time, or earlier; the day is included."),
		text("minTotal", "Orders of at least this amount, such as 11.77."),
		withDefault(choice("sort", "Order of the list; - is descending.", "placedAt", "-placedAt", "total", "-total", "id", "-id"), "-placedAt"), limitParam, cursorParam}
	customerParams = []param{withDefault(choice("sort", "Order of the list; - is descending.", "spent", "-spent", "orders", "-orders", "units", "-units",
		"firstPurchase", "-firstPurchase", "lastPurchase", "-lastPurchase", "id", "-id"), "-spent"), limitParam, cursorParam}
	salesParams  = []param{formatted("from", "First day; none is the first there is.", "date"), formatted("to", "Last day, included; none is the last there is.", "date")}
	searchParams = []param{text("q", `Words that must all be found in notes, names and skus of lines, or the customer; "in quotes" as a phrase, with * at the end as a prefix. Empty finds everything.`),
		choice("status", "Orders of this status.", statuses...), text("customer", "Orders of this customer."),
		text("facets", "Which values to count over all that match: status, customer, or both with a comma."), limitParam, cursorParam}
	eventParams = []param{number("after", "Events after this sequence.", 0, 0, 0), limitParam, text("cursor", "The cursor of the page before, instead of after.")}
	stateParams = []param{number("version", "The state after that many events.", 1, 0, 0),
		formatted("recordedAt", "The state as it was known then: of the events recorded by then.", "date-time"),
		formatted("effectiveAt", "The state as it was then, as it is known now: of the events that happened by then, in the order of the stream.", "date-time")}
)

func header(name, about string) *huma.Param {
	return &huma.Param{Name: name, In: "header", Description: about, Schema: &huma.Schema{Type: huma.TypeString}}
}

func pathParam(name, about string) *huma.Param {
	return &huma.Param{Name: name, In: "path", Required: true, Description: about, Schema: &huma.Schema{Type: huma.TypeString}}
}

var (
	idParam   = pathParam("id", "The stream ID: 1 to 128 of the characters A-Z a-z 0-9 . _ : -")
	preferTxt = "`wait=N`: seconds to wait, at most 60; 10 where it is absent."

	queryHeaders = []*huma.Param{header("Cqrs-After", "Positions, separated by commas, that the answer must include; 503 `projection_behind` where it cannot in time."),
		header("Prefer", preferTxt), header("If-None-Match", "Entity tags; 304 where one is the answer's.")}
	waitForHeader  = header("Cqrs-Wait-For", "`sql`, `search`, `history`, separated by commas: answer once these have acknowledged. Late ones are named in `behind`.")
	commandHeaders = []*huma.Param{header("Idempotency-Key", "The command ID, 1 to 64 printable ASCII characters. A repeat is answered as the first time was. Made and returned where it is absent."),
		header("If-Match", "The version that the aggregate must have, in quotes."), header("If-None-Match", "`*`: the aggregate must not exist."),
		header("Prefer", preferTxt+" `respond-async`: answer 202 at once, or after the wait where both are given."), waitForHeader, unitParam}
	unitParam = header(unitHeader, "The customer that the command is for, where its body does not say; for experiments whose unit is the customer.")
)

// operation adds an operation; problems are the codes that it can answer with, besides those that all can.
func (d *document) operation(op *huma.Operation, problems ...string) {
	if op.Security == nil { // not even none
		op.Security = []map[string][]string{{bearer: {}}}
	}
	always := []string{codeMalformed, codeInternal, codeUnavailable}
	if len(op.Security) > 0 {
		always = append(always, codeUnauthenticated, codeDenied)
	}
	byStatus := map[int][]string{}
	if d.api.cfg.Gateway {
		problems = slices.Concat(problems, gatewayCodes)
	}
	for _, k := range d.kinds {
		if slices.Contains(problems, k.Code) || slices.Contains(always, k.Code) {
			byStatus[k.Status] = append(byStatus[k.Status], "`"+k.Code+"`: "+k.Text)
		}
	}
	for status, lines := range byStatus {
		op.Responses[strconv.Itoa(status)] = &huma.Response{Description: strings.Join(lines, "\n\n"),
			Content: map[string]*huma.MediaType{"application/problem+json": {Schema: dtoOf[Problem](d)}}}
	}
	d.examples(op)
	d.openapi.AddOperation(op)
	d.operations = append(d.operations, op)
	if !slices.ContainsFunc(d.openapi.Tags, func(t *huma.Tag) bool { return t.Name == op.Tags[0] }) {
		d.openapi.Tags = append(d.openapi.Tags, &huma.Tag{Name: op.Tags[0]})
	}
}

// exampleOf is the example that a command was registered with; nil where there is none.
func exampleOf(ct decider.CommandType) any {
	if ct.Example == "" {
		return nil
	}
	return json.RawMessage(ct.Example)
}

// examples gives each body that an operation takes, and each answer that is no problem, an example, where it has none.
func (d *document) examples(op *huma.Operation) {
	contents := []map[string]*huma.MediaType{}
	if op.RequestBody != nil {
		contents = append(contents, op.RequestBody.Content)
	}
	for status, r := range op.Responses {
		if strings.HasPrefix(status, "2") {
			contents = append(contents, r.Content)
		}
	}
	for _, content := range contents {
		for _, m := range content {
			if m.Schema != nil && m.Example == nil && len(m.Examples) == 0 {
				m.Example = d.example(m.Schema, "", 0)
			}
		}
	}
}

func responseHeaders(names ...string) map[string]*huma.Param {
	all := map[string]string{
		"ETag":                "The version, or a hash of the answer.",
		"Cqrs-Position":       "After a command, what to send as Cqrs-After; after a query, how far the read model is: one position a partition.",
		"Cqrs-Stale":          "`parked`: the projection has set the stream's latest events aside.",
		"Location":            "Where the outcome will be.",
		"Idempotent-Replayed": "`true`: a repeat of a command that had been accepted.",
	}
	out := map[string]*huma.Param{}
	for _, n := range names {
		out[n] = &huma.Param{Description: all[n], Schema: &huma.Schema{Type: huma.TypeString}}
	}
	return out
}

func jsonBody(s *huma.Schema) map[string]*huma.MediaType {
	return map[string]*huma.MediaType{"application/json": {Schema: s}}
}

// queryOp adds a query.
func (d *document) queryOp(rt *route, path, id, tag, summary, about string, body *huma.Schema, vars []*huma.Param, problems ...string) {
	op := &huma.Operation{Method: rt.method, Path: path, OperationID: id, Tags: []string{tag}, Summary: summary, Description: about, Parameters: slices.Clone(vars)}
	for _, p := range rt.query {
		s := p.schema
		op.Parameters = append(op.Parameters, &huma.Param{Name: p.name, In: "query", Description: p.text, Schema: &s})
	}
	op.Parameters = append(op.Parameters, queryHeaders...)
	op.Responses = map[string]*huma.Response{
		"200": {Description: "OK", Content: jsonBody(body), Headers: responseHeaders("ETag", "Cqrs-Position", "Cqrs-Stale")},
		"304": {Description: "Nothing has changed since the entity tag of If-None-Match."},
	}
	d.operation(op, append(problems, codeBehind)...)
}

func describeOrders(d *document, rt *route) {
	d.queryOp(rt, rt.path, "listOrders", "orders", "List orders", "", dtoOf[OrderList](d), nil)
}

func describeOrder(d *document, rt *route) {
	d.queryOp(rt, rt.path, "getOrder", "orders", "Get an order", "Its ETag is its version.", dtoOf[Order](d), []*huma.Param{idParam}, codeNotFound)
}

// overview is composed by the gateway, of answers of this API.
func (d *document) overview() {
	op := &huma.Operation{Method: http.MethodGet, Path: "/v1/orders/{id}/overview", OperationID: "getOverview", Tags: []string{"orders"}, Summary: "Get an order with what belongs to it",
		Description: "The order, its customer, its latest events and similar orders. A part that fails, or is late, is null, and `errors` says why; without the order there is no answer.",
		Parameters:  []*huma.Param{idParam, queryHeaders[0], queryHeaders[1]},
		Responses:   map[string]*huma.Response{"200": {Description: "OK", Content: jsonBody(dtoOf[Overview](d)), Headers: responseHeaders("Cqrs-Position", "Cqrs-Stale")}}}
	d.operation(op, codeNotFound, codeBehind)
}

func describeSearch(d *document, rt *route) {
	d.queryOp(rt, rt.path, "searchOrders", "orders", "Search orders", "An order with the ID `search` can be found here only.", dtoOf[SearchResult](d), nil)
}

func describeCustomers(d *document, rt *route) {
	d.queryOp(rt, rt.path, "listCustomers", "customers", "List customers", "Sorting by `spent` compares amounts in the currency of the first purchase.", dtoOf[CustomerList](d), nil)
}

func describeCustomer(d *document, rt *route) {
	d.queryOp(rt, rt.path, "getCustomer", "customers", "Get a customer", "Its ETag is its version.", dtoOf[Customer](d), []*huma.Param{idParam}, codeNotFound)
}

func describeSales(d *document, rt *route) {
	d.queryOp(rt, rt.path, "dailySales", "sales", "Sales by day", "Paid orders on the day that they were paid.", dtoOf[Sales](d), nil)
}

func describeEvents(d *document, rt *route) {
	for _, t := range d.api.cfg.Aggregates {
		data := &huma.Schema{}
		for _, name := range t.Events {
			if m, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(name)); err == nil {
				data.AnyOf = append(data.AnyOf, d.message(m.Descriptor(), received))
			}
		}
		list := d.extend(t.Name+".Events", dtoOf[EventList](d), "items", &huma.Schema{Type: huma.TypeArray,
			Items: d.extend(t.Name+".Event", dtoOf[Event](d), "data", data)})
		d.queryOp(rt, pathOf(rt, t), "listEventsOf_"+t.Name, t.Plural, "Events of the stream", "Oldest first.", list, []*huma.Param{idParam}, codeNotFound)
	}
}

func describeState(d *document, rt *route) {
	for _, t := range d.api.cfg.Aggregates {
		state := d.extend(t.Name+".StateAt", dtoOf[StateAt](d), "state", d.state(t))
		d.queryOp(rt, pathOf(rt, t), "stateOf_"+t.Name, t.Plural, "State now or in the past", "At most one of the parameters can be given.", state, []*huma.Param{idParam},
			codeNotFound, codeNotYet, codeUndecodable, codeIncomplete)
	}
}

func describeOutcome(d *document, rt *route) {
	for _, t := range d.api.cfg.Aggregates {
		either := &huma.Schema{AnyOf: []*huma.Schema{d.accepted(t), dtoOf[Problem](d)}}
		d.queryOp(rt, pathOf(rt, t), "outcomeOf_"+t.Name, t.Plural, "Outcome of a command", "The direct answer's body, with status 200 whatever the outcome was.", either,
			[]*huma.Param{idParam, pathParam("commandId", "The command's ID.")}, codeCommandNotFound, codeUndecodable, codeIncomplete)
	}
}

func describeCommands(d *document, rt *route) {
	for _, t := range d.api.cfg.Aggregates {
		for _, ct := range t.Commands {
			if ct.Public {
				d.command(t, ct)
			}
		}
	}
}

func (d *document) command(t *decider.Type, ct decider.CommandType) {
	body := &huma.Schema{}
	about := ""
	if empty, err := t.Codec.DecodeCommand(ct.Type, schemas.ContentTypeProtobuf, nil); err == nil {
		if m, ok := empty.(proto.Message); ok {
			body = d.message(m.ProtoReflect().Descriptor(), sent)
			about = d.comments[ct.Type]
		}
	}
	summary := strings.TrimSuffix(ct.Summary, ".")
	if summary == "" {
		summary = ct.Name
	}
	op := &huma.Operation{Method: http.MethodPost, Path: "/v1/" + t.Plural + "/{id}/" + ct.Name, OperationID: strings.ReplaceAll(ct.Name, "-", "_") + "_" + t.Name,
		Tags: []string{t.Plural}, Summary: summary, Description: about, Parameters: append([]*huma.Param{idParam}, commandHeaders...),
		RequestBody: &huma.RequestBody{Content: map[string]*huma.MediaType{"application/json": {Schema: body, Example: exampleOf(ct)}}},
		Responses: map[string]*huma.Response{
			"200": {Description: "Accepted: the events are appended, or there was nothing to do.", Content: jsonBody(d.accepted(t)),
				Headers: responseHeaders("ETag", "Cqrs-Position", "Idempotent-Replayed")},
			"202": {Description: "Taken; the outcome can be asked for later.", Content: jsonBody(dtoOf[Pending](d)), Headers: responseHeaders("Location")},
		}}
	d.operation(op, codeRejected, codeConflict, codeTooLarge, codeMediaType, codeInvalid, codeReused, codeUnknownOutcome)
}

func describeBatch(d *document, rt *route) {
	line := dtoOf[BatchLine](d)
	zero := 0.0
	d.registry.Map()["BatchLine"].Properties["expectedVersion"] = &huma.Schema{Type: huma.TypeInteger, Format: "int64", Minimum: &zero,
		Description: "The version that the aggregate must have; 0 where it must not exist."}
	d.operation(&huma.Operation{Method: rt.method, Path: rt.path, OperationID: "publishCommands", Tags: []string{"batches"}, Summary: "Publish up to 1,000 commands",
		Description: "One command a line. The answer has one line for each, in order: the direct answer's body with `status`. Commands of one aggregate are decided in their order.",
		Parameters:  []*huma.Param{header("Prefer", preferTxt), waitForHeader},
		RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/x-ndjson": {Schema: line}}},
		Responses: map[string]*huma.Response{"200": {Description: "One line for each command.", Content: map[string]*huma.MediaType{
			"application/x-ndjson": {Schema: &huma.Schema{AnyOf: []*huma.Schema{dtoOf[Accepted](d), dtoOf[Problem](d)}}}}}},
	}, codeTooLarge, codeMediaType)
}

// pathOf names the aggregate type in a path.
func pathOf(rt *route, t *decider.Type) string {
	return strings.Replace(rt.path, "{aggregates}", t.Plural, 1)
}

// state is the schema of an aggregate's state.
func (d *document) state(t *decider.Type) *huma.Schema {
	if dto := stateType(t); dto != nil {
		return d.dto(dto)
	}
	m, ok := t.Initial().(proto.Message)
	if !ok {
		return &huma.Schema{}
	}
	return &huma.Schema{AllOf: []*huma.Schema{d.message(m.ProtoReflect().Descriptor(), received), {Type: huma.TypeObject, Properties: map[string]*huma.Schema{
		"id": {Type: huma.TypeString}, "version": {Type: huma.TypeInteger, Format: "int64"}}}}}
}

func (d *document) accepted(t *decider.Type) *huma.Schema {
	return d.extend(t.Name+".Accepted", dtoOf[Accepted](d), "state", d.state(t))
}

// extend is a schema of its own that narrows one property of another.
func (d *document) extend(name string, base *huma.Schema, property string, s *huma.Schema) *huma.Schema {
	from := d.registry.SchemaFromRef(base.Ref)
	narrowed := *from
	narrowed.Properties = maps.Clone(from.Properties)
	if old := from.Properties[property]; old != nil && s.Ref == "" {
		s.Description = old.Description
	}
	narrowed.Properties[property] = s
	d.registry.Map()[name] = &narrowed
	return &huma.Schema{Ref: schemaPrefix + name}
}
