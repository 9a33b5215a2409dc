package app

import (
	"context"
	"net"

	"github.com/cqrsflow/cqrsflow/internal/lifecycle"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
	"github.com/cqrsflow/cqrsflow/query"
	"github.com/cqrsflow/cqrsflow/services/api"
)

// startAPI is the role query: the public HTTP API, for commands and queries.
func (p *process) startAPI(_ context.Context, l net.Listener) error {
	pool := p.store.Pool()
	waiter, err := query.NewWaiter(query.WaiterConfig{Pool: pool, Logger: p.log})
	if err != nil {
		return err
	}
	p.group.Go(lifecycle.Last, "checkpoint waiter", waiter.Run)
	c := api.Config{Aggregates: p.types, Commands: p.publisher, MaxBody: int64(p.cfg.Roles.MaxBody), Logger: p.log}
	c.MaxBatchBody = max(16<<20, c.MaxBody)
	c.ReadPostgres(pool, waiter)
	c.Search = p.search.reader
	c.Progress[searchindex.Name] = p.search.reader
	handler, err := api.New(c)
	if err != nil {
		return err
	}
	p.group.Go(lifecycle.Intake, "HTTP API", func(ctx context.Context) error { return serveHTTP(ctx, l, handler, p.log) })
	return nil
}
