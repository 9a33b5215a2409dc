package app

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cqrsflow/cqrsflow/consumers/elasticsearch"
	"github.com/cqrsflow/cqrsflow/consumers/local"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/query/search"
)

// searchStore is where orders are searched: the sink that writes there and the reader.
type searchStore struct {
	sink    runner.Sink
	reader  search.Searcher
	parking searchParking
	parked  func(context.Context) ([]local.ParkedEvent, error)
}

// openSearch opens the embedded index in dev, and Elasticsearch elsewhere.
func (p *process) openSearch(ctx context.Context) error {
	if !p.dev {
		return p.openElasticsearch(ctx)
	}
	x, err := local.Open(local.Config{Dir: filepath.Join(p.cfg.General.Data, searchDir), Logger: p.log})
	if err != nil {
		return err
	}
	p.group.OnClose("search index", x.Close)
	sink := local.New(x)
	p.search = &searchStore{sink: sink, reader: search.NewLocal(x), parking: sink, parked: sink.Parked}
	return nil
}

func (p *process) openElasticsearch(ctx context.Context) error {
	c := &p.cfg.Elasticsearch
	cc := elasticsearch.ClientConfig{URLs: c.URL, APIKey: c.APIKey, Prefix: p.cfg.General.Prefix}
	if c.CA != "" {
		ca, err := os.ReadFile(c.CA)
		if err != nil {
			return fmt.Errorf("%w: elasticsearch.ca_file: %w", event.ErrConfig, err)
		}
		cc.CA = ca
	}
	client, err := elasticsearch.Connect(cc)
	if err != nil {
		return err
	}
	p.group.OnClose("Elasticsearch connections", func() error { client.Close(); return nil })
	if _, err := client.Setup(ctx); err != nil {
		return fmt.Errorf("make the search indexes: %w", err)
	}
	sink, err := elasticsearch.New(elasticsearch.Config{Client: client, Logger: p.log})
	if err != nil {
		return err
	}
	p.search = &searchStore{sink: sink, reader: search.NewElasticsearch(client), parking: sink, parked: sink.Parked}
	return nil
}
