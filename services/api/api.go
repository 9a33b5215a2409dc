package api

import (
	"net/http"
	"strings"
)

// API is the http.Handler of commands and queries. It is safe for concurrent use.
type API struct {
	cfg    Config
	routes []route
	// collections are the words that can follow /v1/.
	collections map[string]bool
	openapi     []byte
	asyncapi    []byte
	docs        []byte
}

// New makes an API. Its error wraps event.ErrConfig.
func New(cfg Config) (*API, error) {
	a, err := undocumented(cfg)
	if err != nil {
		return nil, err
	}
	return a, a.document()
}

func undocumented(cfg Config) (*API, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	a := &API{cfg: cfg, collections: map[string]bool{}}
	a.route()
	for i := range a.routes {
		rt := &a.routes[i]
		rt.segments = strings.Split(strings.TrimPrefix(rt.path, "/"), "/")
		if len(rt.segments) > 1 && rt.segments[0] == "v1" && rt.segments[1][0] != '{' {
			a.collections[rt.segments[1]] = true
		}
	}
	for _, t := range cfg.Aggregates {
		a.collections[t.Plural] = true
	}
	return a, nil
}

// route registers the operations of what is configured. Where two take the same path, the first wins.
func (a *API) route() {
	add := func(rt route) { a.routes = append(a.routes, rt) }
	get := func(path string, handle func(*call) error, describe func(*document, *route), query ...param) {
		add(route{method: http.MethodGet, path: path, handle: handle, describe: describe, query: query})
	}
	if a.cfg.Commands != nil {
		add(route{method: http.MethodPost, path: "/v1/{aggregates}/{id}/{command}", handle: a.post, describe: describeCommands})
	}
	if a.cfg.Search != nil {
		get("/v1/orders/search", a.searchOrders, describeSearch, searchParams...)
	}
	if a.cfg.Orders != nil {
		get("/v1/orders", a.listOrders, describeOrders, orderParams...)
		get("/v1/orders/{id}", a.getOrder, describeOrder)
	}
	if a.cfg.Customers != nil {
		get("/v1/customers", a.listCustomers, describeCustomers, customerParams...)
		get("/v1/customers/{id}", a.getCustomer, describeCustomer)
	}
	if a.cfg.Sales != nil {
		get("/v1/sales/daily", a.dailySales, describeSales, salesParams...)
	}
	if a.cfg.Experiments != nil {
		get("/v1/experiments", a.listExperiments, describeExperiments, experimentParams...)
		get("/v1/experiments/{id}", a.getExperiment, describeExperiment)
		get("/v1/experiments/{id}/results", a.getResults, describeResults, resultParams...)
	}
	if a.cfg.Assigner != nil {
		get("/v1/experiments/{id}/assignment", a.getAssignment, describeAssignment, assignmentParams...)
	}
	if a.cfg.History != nil {
		get("/v1/{aggregates}/{id}/events", a.listEvents, describeEvents, eventParams...)
		get("/v1/{aggregates}/{id}/state", a.getState, describeState, stateParams...)
		get("/v1/{aggregates}/{id}/commands/{commandId}", a.getCommand, describeOutcome)
	}
	if a.cfg.Commands != nil {
		add(route{method: http.MethodPost, path: "/v1/commands", handle: a.postBatch, describe: describeBatch})
	}
	open := func(path string, handle func(*call) error) {
		add(route{method: http.MethodGet, path: path, handle: handle, open: true})
	}
	open("/openapi.json", a.serveOpenAPI)
	if len(a.cfg.Topics) > 0 {
		get("/asyncapi.json", a.serveAsyncAPI, nil)
	}
	open("/docs", a.serveDocs)
}

func (a *API) serveOpenAPI(c *call) error { return c.writeStatic("application/json", a.openapi) }

// pagePolicy: everything is in the page: nothing may be fetched from anywhere, and nothing runs.
const pagePolicy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"

func (a *API) serveAsyncAPI(c *call) error { return c.writeStatic("application/json", a.asyncapi) }

func (a *API) serveDocs(c *call) error {
	c.w.Header().Set("Content-Security-Policy", pagePolicy)
	return c.writeStatic("text/html; charset=utf-8", a.docs)
}
