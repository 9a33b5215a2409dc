package app

import (
	"context"
	"net/http"
	"sync/atomic"

	"github.com/cqrsflow/cqrsflow/internal/config"
	"github.com/cqrsflow/cqrsflow/internal/lifecycle"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
	"github.com/cqrsflow/cqrsflow/query"
	"github.com/cqrsflow/cqrsflow/services/api"
	"github.com/cqrsflow/cqrsflow/services/httpserver"
)

// publicPort is the public HTTP port, taken before there is anything to serve: a taken port is found before
// anything else has begun.
type publicPort struct {
	*httpserver.Server
	handler atomic.Pointer[http.Handler]
}

func listenPublic(ctx context.Context, cfg *config.Settings) (*publicPort, error) {
	p := &publicPort{}
	var err error
	p.Server, err = httpserver.Listen(ctx, httpserver.Config{Addr: cfg.Roles.HTTP, Flag: config.Name("http.addr"),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*p.handler.Load()).ServeHTTP(w, r) }),
		Grace:   lifecycle.DefaultStopTimeout * 4 / 5})
	return p, err
}

// startAPI is the role query: the public HTTP API, for commands and queries.
func (p *process) startAPI(_ context.Context, port *publicPort) error {
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
	made, err := api.New(c)
	if err != nil {
		return err
	}
	var handler http.Handler = made
	port.handler.Store(&handler)
	p.group.Go(lifecycle.Intake, "HTTP API", port.Run)
	return nil
}
