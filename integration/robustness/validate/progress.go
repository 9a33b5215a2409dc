package validate

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/cqrsflow/cqrsflow/integration/harness"
	"github.com/cqrsflow/cqrsflow/internal/searchindex/elastic"
)

// Progress tells how far the parts of a system on real servers are, whether they run or not: it asks the servers. Where
// it counts offsets, they are at least as many as records, because transactions leave markers, and aborted ones their
// records: what has done fewer offsets than there are records has not done them all.
type Progress struct {
	target harness.Target
	admin  *kadm.Client
	sql    *pgxpool.Pool
	search *elastic.Client
}

// NewProgress connects; Close closes.
func NewProgress(ctx context.Context, s *harness.System, admin *kadm.Client) (*Progress, error) {
	sql, err := pgxpool.New(ctx, s.Postgres)
	if err != nil {
		return nil, err
	}
	search, err := elastic.Connect(elastic.Config{URLs: []string{s.Servers.Elasticsearch}, Prefix: s.Prefix})
	if err != nil {
		return nil, err
	}
	return &Progress{target: s.Target, admin: admin, sql: sql, search: search}, nil
}

// Close closes the connections.
func (p *Progress) Close() {
	p.sql.Close()
	p.search.Close()
}

// Ends are the ends of the topics.
func (p *Progress) Ends(ctx context.Context, topics ...string) (int64, error) {
	return Ends(ctx, p.admin, p.target, topics...)
}

// Orders is how many events the SQL read model of orders has applied, exactly.
func (p *Progress) Orders(ctx context.Context) (n int64, err error) {
	err = p.sql.QueryRow(ctx, `SELECT coalesce(sum(version), 0)::bigint FROM orders`).Scan(&n)
	return n, err
}

// History is how many events the history has, exactly.
func (p *Progress) History(ctx context.Context) (n int64, err error) {
	err = p.sql.QueryRow(ctx, `SELECT count(*) FROM history_events WHERE aggregate IN ('order', 'customer')`).Scan(&n)
	return n, err
}

// Search is the checkpoint of search, of the version that readers see.
func (p *Progress) Search(ctx context.Context) (n int64, err error) {
	all, err := p.search.ReadersProgress(ctx)
	if err != nil {
		return 0, err
	}
	for _, one := range all {
		if one.Processed && one.Source == "events" {
			n += one.Next
		}
	}
	return n, nil
}

// Group is what a consumer group has committed; -1, which stands for nothing, counts as nothing.
func (p *Progress) Group(ctx context.Context, group string) (n int64, err error) {
	offsets, err := p.admin.FetchOffsets(ctx, p.target.Prefix+"."+group)
	if err != nil {
		return 0, err
	}
	offsets.Each(func(o kadm.OffsetResponse) { n += max(0, o.At) })
	return n, nil
}
