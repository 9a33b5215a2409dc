package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/cqrsflow/cqrsflow/consumers/elasticsearch"
	"github.com/cqrsflow/cqrsflow/consumers/local"
	"github.com/cqrsflow/cqrsflow/consumers/rebuild"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/config"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
	"github.com/cqrsflow/cqrsflow/internal/searchindex/elastic"
	"github.com/cqrsflow/cqrsflow/query/search"
)

// searchStore is where orders are searched: its versions, what is parked of each, and the reader.
type searchStore struct {
	versions rebuild.Store
	parking  func(version int) (searchParking, error)
	reader   search.Searcher
}

// searchParking is the parking of a search sink.
type searchParking interface {
	Parked(ctx context.Context) ([]local.ParkedEvent, error)
	Retry(ctx context.Context, stream event.StreamID) (int, error)
	Drop(ctx context.Context, stream event.StreamID) (int, error)
}

// each calls f for the versions that are fed. What f cannot find out of one that is being built is left out:
// it may have no index yet.
func (s *searchStore) each(ctx context.Context, f func(version int, s searchParking) error) error {
	versions, err := s.versions.Versions(ctx)
	if err != nil {
		return err
	}
	for _, v := range versions {
		if v.State == rebuild.Retired {
			continue
		}
		sink, err := s.parking(v.Number)
		if err == nil {
			err = f(v.Number, sink)
		}
		if err != nil && v.State == rebuild.Active {
			return err
		}
	}
	return nil
}

// openSearch opens the embedded indexes in dev, and Elasticsearch elsewhere.
func (p *process) openSearch(ctx context.Context) error {
	open := p.openElasticsearch
	if p.dev {
		open = p.openIndexes
	}
	if err := open(ctx); err != nil {
		return err
	}
	c := p.runnerConfig()
	c.Name, c.Aggregates = searchindex.Name, only(c.Aggregates, searchindex.Aggregate)
	p.projections = append(p.projections, projection{role: config.RoleProjectSearch, shape: searchindex.Shape, store: p.search.versions, runner: c})
	return nil
}

func (p *process) openIndexes(context.Context) error {
	x, err := local.OpenAll(local.Config{Dir: filepath.Join(p.cfg.General.Data, searchDir), Logger: p.log})
	if err != nil {
		return err
	}
	p.group.OnClose("search index", x.Close)
	v := local.NewVersions(x)
	p.search = &searchStore{versions: v, reader: search.NewLocal(x), parking: func(n int) (searchParking, error) { return v.Sink(n) }}
	return nil
}

// searchClient is how Elasticsearch is reached. Its errors wrap event.ErrConfig.
func searchClient(cfg *config.Settings) (elasticsearch.ClientConfig, error) {
	c := &cfg.Elasticsearch
	cc := elasticsearch.ClientConfig{URLs: c.URL, APIKey: c.APIKey, Prefix: cfg.General.Prefix}
	if c.CA != "" {
		ca, err := os.ReadFile(c.CA)
		if err != nil {
			return cc, fmt.Errorf("%w: elasticsearch.ca_file: %w", event.ErrConfig, err)
		}
		cc.CA = ca
	}
	return cc, nil
}

func (p *process) openElasticsearch(ctx context.Context) error {
	cc, err := searchClient(p.cfg)
	if err != nil {
		return err
	}
	client, err := elasticsearch.Connect(cc)
	if err != nil {
		return err
	}
	v, err := elasticsearch.NewVersions(elasticsearch.Config{Client: client, Logger: p.log})
	if err == nil {
		if err = v.Open(ctx); err != nil {
			err = refusedBySearch(fmt.Errorf("make the search indexes: %w", err))
		}
	}
	if err != nil {
		client.Close()
		return err
	}
	p.group.OnClose("Elasticsearch connections", func() error { client.Close(); return nil })
	p.search = &searchStore{versions: v, reader: search.NewElasticsearch(client), parking: func(n int) (searchParking, error) { return v.Sink(n) }}
	return nil
}

// refusedBySearch adds to an error of Elasticsearch which settings it points at, where the address is not what is wrong.
func refusedBySearch(err error) error {
	var unverified *tls.CertificateVerificationError
	switch {
	case errors.As(err, &unverified):
		return fmt.Errorf("%w; its certificate is not trusted: see the setting %s", err, config.Name("elasticsearch.ca_file"))
	case elastic.IsStatus(err, http.StatusUnauthorized), elastic.IsStatus(err, http.StatusForbidden):
		return fmt.Errorf("%w; it does not let us in: see the setting %s", err, config.Name("elasticsearch.api_key"))
	}
	return err
}
