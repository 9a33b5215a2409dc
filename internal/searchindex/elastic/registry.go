package elastic

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
)

// registryID is the one document of the registry's index.
const registryID = "versions"

// noShard is why a document cannot be read of an index that another process has just made, and starting how
// long that may take.
const (
	noShard  = "no_shard_available_action_exception"
	starting = 5 * time.Second
)

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for Elasticsearch: %w", context.Cause(ctx))
	}
}

// StoredRegistry is a registry and which write of it this is.
type StoredRegistry struct {
	searchindex.Registry
	seqNo, primaryTerm int64
}

// ReadRegistry reads the registry as the last write left it, and makes it where there is none: what
// readers see is the active version then, else version 1 will be.
func (c *Client) ReadRegistry(ctx context.Context) (StoredRegistry, error) {
	for began := time.Now(); ; {
		r, found, err := c.registry(ctx)
		if IsType(err, noShard) && time.Since(began) < starting {
			if err := sleep(ctx, starting/100); err != nil {
				return r, err
			}
			continue
		}
		if err != nil || found {
			return r, err
		}
		first, err := c.first(ctx)
		if err != nil {
			return r, err
		}
		if err := c.create(ctx, c.RegistryIndex, progress()); err != nil {
			return r, err
		}
		if _, err := c.putRegistry(ctx, first, "_create", ""); err != nil {
			return r, err
		} // by this process or another one
	}
}

// first is the registry of indexes of which nothing is recorded.
func (c *Client) first(ctx context.Context) (searchindex.Registry, error) {
	now := time.Now().UTC()
	holder, err := c.holder(ctx, c.Read)
	if err != nil || holder == "" {
		return searchindex.NewRegistry(1, searchindex.Shape, now), err
	}
	// Before there were registries there was one shape.
	_, digits, _ := strings.Cut(strings.TrimPrefix(holder, c.Read), "-v")
	version, err := strconv.Atoi(digits)
	if err != nil {
		return searchindex.Registry{}, fmt.Errorf("%w: alias %s is of index %s, which is none of cqrsflow's", event.ErrConfig, c.Read, holder)
	}
	return searchindex.NewRegistry(version, 1, now), nil
}

func (c *Client) registry(ctx context.Context) (r StoredRegistry, found bool, err error) {
	var answer struct {
		SeqNo       int64           `json:"_seq_no"`
		PrimaryTerm int64           `json:"_primary_term"`
		Source      json.RawMessage `json:"_source"`
	}
	err = c.Do(ctx, http.MethodGet, "/"+c.RegistryIndex+"/_doc/"+registryID, JSON, nil, &answer)
	switch {
	case IsStatus(err, http.StatusNotFound):
		return r, false, nil
	case err != nil:
		return r, false, fmt.Errorf("read the versions of search: %w", err)
	}
	r.seqNo, r.primaryTerm = answer.SeqNo, answer.PrimaryTerm
	if err := json.Unmarshal(answer.Source, &r.Registry); err != nil {
		return r, false, fmt.Errorf("%w: the versions in %s: %w", event.ErrCorrupt, c.RegistryIndex, err)
	}
	return r, true, nil
}

// ChangeRegistry changes the registry as it is now, and tries again where somebody else changes it
// meanwhile. Where change reports false, nothing is written; its error is returned.
func (c *Client) ChangeRegistry(ctx context.Context, change func(*searchindex.Registry) (bool, error)) (searchindex.Registry, error) {
	for {
		was, err := c.ReadRegistry(ctx)
		if err != nil {
			return was.Registry, err
		}
		next := was.Registry
		if changed, err := change(&next); err != nil || !changed {
			return was.Registry, err
		}
		query := "?if_seq_no=" + strconv.FormatInt(was.seqNo, 10) + "&if_primary_term=" + strconv.FormatInt(was.primaryTerm, 10)
		if ok, err := c.putRegistry(ctx, next, "_doc", query); err != nil || ok {
			return next, err
		}
	}
}

func (c *Client) putRegistry(ctx context.Context, r searchindex.Registry, operation, query string) (bool, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return false, fmt.Errorf("encode the versions of search: %w", err)
	}
	err = c.Do(ctx, http.MethodPut, "/"+c.RegistryIndex+"/"+operation+"/"+registryID+query, JSON, body, nil)
	switch {
	case IsStatus(err, http.StatusConflict):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("store the versions of search: %w", err)
	}
	return true, nil
}
