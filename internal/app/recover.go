package app

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/consumers/elasticsearch"
	"github.com/cqrsflow/cqrsflow/consumers/postgres"
	"github.com/cqrsflow/cqrsflow/internal/aggregates"
	"github.com/cqrsflow/cqrsflow/internal/config"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
	"github.com/cqrsflow/cqrsflow/topology"
)

// Recovered is what Recover has done.
type Recovered struct {
	// Topics are the logs that count as copies from now on.
	Topics []string `json:"topics"`
	// Emptied are the versions of read models that are made of the log again, such as "orders version 1".
	Emptied []string `json:"emptied"`
}

// Recover has everything that is made of the log be made again, of logs that a mirror has copied: see topology.Recover. Read
// models are emptied first, so that one that fails has changed nothing that a role could start on. Nothing may run. The stores that the
// settings do not name are left alone.
func Recover(ctx context.Context, cfg *config.Settings, client *kgo.Client, log *slog.Logger) (*Recovered, error) {
	out := &Recovered{Topics: []string{}, Emptied: []string{}}
	t := topology.New(client, TopologyConfig(cfg), aggregates.Names())
	if err := t.Idle(ctx); err != nil {
		return nil, err
	}
	if cfg.Postgres.URL != "" {
		if err := out.emptySQL(ctx, cfg, log); err != nil {
			return nil, err
		}
	}
	if len(cfg.Elasticsearch.URL) > 0 {
		if err := out.emptySearch(ctx, cfg); err != nil {
			return nil, err
		}
	}
	copied, err := t.Recover(ctx)
	if err != nil {
		return nil, err
	}
	for _, l := range copied {
		out.Topics = append(out.Topics, l.Topic)
	}
	return out, nil
}

// emptySQL empties every version of every read model in PostgreSQL. Users' keys are none: they are not made of the log.
func (r *Recovered) emptySQL(ctx context.Context, cfg *config.Settings, log *slog.Logger) error {
	if err := postgres.Migrate(ctx, cfg.Postgres.URL, postgres.Models(sqlProjections()...)...); err != nil {
		return err
	}
	store, err := postgres.Open(ctx, postgres.Config{URL: cfg.Postgres.URL, MaxConns: 2, Logger: log})
	if err != nil {
		return err
	}
	defer store.Close()
	for _, p := range sqlProjections() {
		of, err := store.Versions(p.Model)
		if err != nil {
			return err
		}
		versions, err := of.Versions(ctx)
		if err != nil {
			return err
		}
		for _, v := range versions {
			if err := store.Reset(ctx, p.Model, v.Number); err != nil {
				return err
			}
			r.Emptied = append(r.Emptied, fmt.Sprintf("%s version %d", p.Model.Name(), v.Number))
		}
	}
	return nil
}

// emptySearch deletes the search indexes; the role that feeds them makes them again.
func (r *Recovered) emptySearch(ctx context.Context, cfg *config.Settings) error {
	cc, err := searchClient(cfg)
	if err != nil {
		return err
	}
	client, err := elasticsearch.Connect(cc)
	if err != nil {
		return err
	}
	defer client.Close()
	versions, err := client.ReadRegistry(ctx)
	if err != nil {
		return refusedBySearch(fmt.Errorf("list the search indexes: %w", err))
	}
	for _, v := range versions.Versions {
		if err := client.At(v.Number).Remove(ctx); err != nil {
			return err
		}
		r.Emptied = append(r.Emptied, fmt.Sprintf("%s version %d", searchindex.Name, v.Number))
	}
	return nil
}
