package api

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/event/principal"
	"github.com/cqrsflow/cqrsflow/query"
)

var statuses = []string{"placed", "paid", "shipped", "delivered", "cancelled"}

// caughtUp waits until a read model has applied the positions that the request brings along, and says
// in Cqrs-Position how far it is. What is read afterwards is at least that new. The context bounds the
// reading, too.
func (a *API) caughtUp(c *call, m query.Model) (context.Context, context.CancelFunc, error) {
	after, err := a.positions(c.r.Header)
	if err != nil {
		return nil, nil, err
	}
	prefer, err := preferred(c.r.Header)
	if err != nil {
		return nil, nil, err
	}
	progress := a.cfg.Progress[m.Name]
	if progress == nil {
		return nil, nil, fmt.Errorf("no progress of read model %s is configured", m.Name)
	}
	wait, stop := context.WithTimeout(c.r.Context(), prefer.patience())
	defer stop()
	through, err := progress.Wait(wait, after)
	if err != nil {
		return nil, nil, err
	}
	through = slices.DeleteFunc(slices.Clone(through), func(p event.Position) bool {
		return len(m.Aggregates) > 0 && !slices.Contains(m.Aggregates, p.Aggregate)
	})
	if len(through) > 0 {
		c.w.Header().Set("Cqrs-Position", event.FormatPositions(through))
	}
	ctx, cancel := context.WithTimeout(c.r.Context(), a.cfg.QueryTimeout)
	return ctx, cancel, nil
}

// stale marks an answer that holds something of a stream that its projection has set aside.
func (c *call) stale(parked bool) {
	if parked {
		c.w.Header().Set("Cqrs-Stale", "parked")
	}
}

// staleStream is stale for a read model whose rows do not tell.
func (a *API) staleStream(ctx context.Context, c *call, model, aggregate string) error {
	parked, err := a.cfg.Parked.ParkedStream(ctx, model, aggregate, c.stream)
	c.stale(parked)
	return err
}

func (a *API) getOrder(c *call) error {
	owner, err := a.owner(c, "orders.read")
	if err != nil {
		return err
	}
	ctx, cancel, err := a.caughtUp(c, query.OrdersModel)
	if err != nil {
		return err
	}
	defer cancel()
	o, err := a.cfg.Orders.Get(ctx, c.stream, owner)
	if err != nil && owner != "" { // whether it is somebody else's, or parked, is not theirs to know
		return err
	}
	if err != nil {
		return a.absent(ctx, c, query.OrdersModel.Name, "order", err)
	}
	c.stale(o.Parked)
	return c.writeTagged(versionTag(o.Version), orderOfRow(o))
}

// absent tells what is not there from what is not there because its stream is parked.
func (a *API) absent(ctx context.Context, c *call, model, aggregate string, err error) error {
	if problemOf(err).Code == codeNotFound {
		if perr := a.staleStream(ctx, c, model, aggregate); perr != nil {
			return perr
		}
	}
	return err
}

func (a *API) listOrders(c *call) error {
	p := c.params
	f := query.OrderFilter{Customer: p.stream("customer"), Status: p.oneOf("status", statuses...), MinCents: p.cents("minTotal"),
		Sort: p.text("sort"), Limit: p.limit(), Cursor: p.text("cursor")}
	f.PlacedFrom, _ = p.span("placedFrom")
	_, f.PlacedBefore = p.span("placedTo")
	if f.Sort == "" {
		f.Sort = "-placedAt"
	}
	if err := p.err(); err != nil {
		return err
	}
	owner, err := a.owner(c, "orders.read")
	if err != nil {
		return err
	}
	ctx, cancel, err := a.caughtUp(c, query.OrdersModel)
	if err != nil {
		return err
	}
	defer cancel()
	if owner != "" && f.Customer != "" && f.Customer != owner {
		return c.writeTagged("", OrderList{Items: []Order{}})
	}
	if owner != "" {
		f.Customer = owner
	}
	rows, err := a.cfg.Orders.List(ctx, f)
	if err != nil {
		return err
	}
	list := OrderList{Items: make([]Order, 0, len(rows.Items)), Cursor: rows.Cursor}
	for _, r := range rows.Items {
		list.Items = append(list.Items, orderOfRow(r))
		c.stale(r.Parked)
	}
	return c.writeTagged("", list)
}

func (a *API) getCustomer(c *call) error {
	owner, err := a.owner(c, "customers.read")
	if err != nil {
		return err
	}
	if owner != "" && owner != string(c.stream) {
		return event.ErrNotFound
	}
	ctx, cancel, err := a.caughtUp(c, query.CustomersModel)
	if err != nil {
		return err
	}
	defer cancel()
	r, err := a.cfg.Customers.Get(ctx, c.stream)
	if err != nil {
		return a.absent(ctx, c, query.CustomersModel.Name, "customer", err)
	}
	c.stale(r.Parked)
	return c.writeTagged(versionTag(r.Version), customerOfRow(r))
}

func (a *API) listCustomers(c *call) error {
	f := query.CustomerFilter{Sort: c.params.text("sort"), Limit: c.params.limit(), Cursor: c.params.text("cursor")}
	if f.Sort == "" {
		f.Sort = "-spent"
	}
	if err := c.params.err(); err != nil {
		return err
	}
	owner, err := a.owner(c, "customers.read")
	if err != nil {
		return err
	}
	f.ID = owner
	ctx, cancel, err := a.caughtUp(c, query.CustomersModel)
	if err != nil {
		return err
	}
	defer cancel()
	rows, err := a.cfg.Customers.List(ctx, f)
	if err != nil {
		return err
	}
	list := CustomerList{Items: make([]Customer, 0, len(rows.Items)), Cursor: rows.Cursor}
	for _, r := range rows.Items {
		list.Items = append(list.Items, customerOfRow(r))
		c.stale(r.Parked)
	}
	return c.writeTagged("", list)
}

// historyOf is the history read model as far as a request about one aggregate type reads it.
func historyOf(aggregate string) query.Model {
	return query.Model{Name: query.HistoryModel.Name, Aggregates: []string{aggregate}}
}

// mayLookBack is caughtUp for the history of a stream that the caller may see.
func (a *API) mayLookBack(c *call) (context.Context, context.CancelFunc, error) {
	owner, err := a.owner(c, c.aggregate.Plural+".history")
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel, err := a.caughtUp(c, historyOf(c.aggregate.Name))
	if err != nil {
		return nil, nil, err
	}
	owns, err := a.ownsStream(ctx, c, owner)
	if err == nil && !owns {
		err = event.ErrNotFound
	}
	if err != nil {
		cancel()
		return nil, nil, err
	}
	return ctx, cancel, nil
}

func (a *API) listEvents(c *call) error {
	p := c.params
	after, limit := p.version("after", 0), p.limit()
	if p.has("cursor") {
		if p.has("after") {
			p.fail("cursor", "it cannot be given together with after")
		}
		after = p.version("cursor", 0)
	}
	if err := p.err(); err != nil {
		return err
	}
	ctx, cancel, err := a.mayLookBack(c)
	if err != nil {
		return err
	}
	defer cancel()
	events, more, err := a.cfg.History.Events(ctx, c.aggregate.Name, c.stream, after, limit)
	if err != nil {
		return a.absent(ctx, c, query.HistoryModel.Name, c.aggregate.Name, err)
	}
	if err := a.staleStream(ctx, c, query.HistoryModel.Name, c.aggregate.Name); err != nil {
		return err
	}
	list := EventList{Items: make([]Event, 0, len(events))}
	for i := range events {
		item, err := eventOf(c.aggregate, &events[i])
		if err != nil {
			return err
		}
		list.Items = append(list.Items, item)
	}
	if more {
		list.Cursor = fmt.Sprint(events[len(events)-1].Version)
	}
	return c.writeTagged("", list)
}

func (a *API) getState(c *call) error {
	at, err := pointInTime(c.params)
	if err != nil {
		return err
	}
	ctx, cancel, err := a.mayLookBack(c)
	if err != nil {
		return err
	}
	defer cancel()
	snapshot, err := a.cfg.History.State(ctx, c.aggregate.Name, c.stream, at)
	if err != nil {
		return a.absent(ctx, c, query.HistoryModel.Name, c.aggregate.Name, err)
	}
	if err := a.staleStream(ctx, c, query.HistoryModel.Name, c.aggregate.Name); err != nil {
		return err
	}
	state, err := stateJSON(c.aggregate, c.stream, snapshot.Version, snapshot.State)
	if err != nil {
		return err
	}
	return c.writeTagged("", StateAt{Version: int64(snapshot.Version), RecordedAt: stamp(snapshot.RecordedTime), State: state})
}

func pointInTime(p *params) (query.At, error) {
	at := query.At{Version: p.version("version", 1), RecordedAt: p.instant("recordedAt"), EffectiveAt: p.instant("effectiveAt")}
	if err := p.err(); err != nil {
		return at, err
	}
	n := 0
	for _, name := range []string{"version", "recordedAt", "effectiveAt"} {
		if p.has(name) {
			if n++; n > 1 {
				return at, malformed(name, "only one of version, recordedAt and effectiveAt can be given")
			}
		}
	}
	return at, nil
}

// getCommand is GET /v1/{aggregates}/{id}/commands/{commandId}: the answer that the command got, or would
// have got if somebody had waited for it.
func (a *API) getCommand(c *call) error {
	id := c.vars["commandId"]
	if event.CheckCommandID(id) != nil {
		return malformed("commandId", "it must be 1 to 64 printable ASCII characters")
	}
	owner, err := a.owner(c, c.aggregate.Plural+".read")
	if err != nil {
		return err
	}
	ctx, cancel, err := a.caughtUp(c, historyOf(c.aggregate.Name))
	if err != nil {
		return err
	}
	defer cancel()
	o, err := a.cfg.History.Outcome(ctx, c.aggregate.Name, c.stream, id)
	if err != nil {
		if problemOf(err).Code == codeNotFound {
			return problem(codeCommandNotFound, "There is no outcome of that command, or none yet.")
		}
		return err
	}
	// What somebody asked for themselves they may hear of, though it may not have become theirs.
	if owner != "" && o.Principal != (principal.Principal{Kind: principal.User, ID: owner}).String() {
		owns, err := a.ownsStream(ctx, c, owner)
		if err != nil {
			return err
		}
		if !owns {
			return problem(codeCommandNotFound, "There is no outcome of that command, or none yet.")
		}
	}
	state, err := a.stateAfter(ctx, c, o)
	if err != nil {
		return err
	}
	ans := answerOf(o, state)
	if ans.accepted != nil {
		if !o.Position.IsZero() {
			c.w.Header().Set("Cqrs-Position", o.Position.String())
		}
		return c.writeJSON(200, ans.accepted)
	}
	ans.problem.TraceID, ans.problem.Instance = c.trace.TraceID, c.r.URL.EscapedPath()
	return c.writeJSON(200, ans.problem)
}

// stateAfter folds the state that the outcome was decided to, or by. Outcomes and events are projected
// apart, so the events may have to be waited for. Of a parked stream the state is not known.
func (a *API) stateAfter(ctx context.Context, c *call, o event.Outcome) ([]byte, error) {
	if o.Version == 0 || o.Kind != event.Accepted && o.Kind != event.Rejected && o.Kind != event.Conflict {
		return null, nil
	}
	parked, err := a.cfg.Parked.ParkedStream(ctx, query.HistoryModel.Name, o.Aggregate, o.Stream)
	if err != nil {
		return nil, err
	}
	if parked {
		c.stale(true)
		return null, nil
	}
	prefer, err := preferred(c.r.Header)
	if err != nil {
		return nil, err
	}
	wait, stop := context.WithTimeout(ctx, prefer.patience())
	defer stop()
	if _, err := a.cfg.Progress[query.HistoryModel.Name].Wait(wait, []event.Position{o.Position}); err != nil {
		return nil, err
	}
	snapshot, err := a.cfg.History.State(ctx, o.Aggregate, o.Stream, query.At{Version: o.Version})
	if err != nil {
		return nil, err
	}
	return stateJSON(c.aggregate, o.Stream, snapshot.Version, snapshot.State)
}

// defaultQueryTimeout bounds the reading of a query, besides the waiting.
const defaultQueryTimeout = 15 * time.Second
