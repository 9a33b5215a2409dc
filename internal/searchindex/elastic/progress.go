package elastic

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
)

// Stored is a progress and which write of it this is.
type Stored struct {
	searchindex.Progress
	// SeqNo and PrimaryTerm identify the write; a PrimaryTerm of 0 means that there is none.
	SeqNo, PrimaryTerm int64
}

// ReadProgress reads a partition's progress, as the last write left it; false where there is none.
func (c *Client) ReadProgress(ctx context.Context, id string) (Stored, bool, error) {
	var answer struct {
		Found       bool            `json:"found"`
		SeqNo       int64           `json:"_seq_no"`
		PrimaryTerm int64           `json:"_primary_term"`
		Source      json.RawMessage `json:"_source"`
	}
	err := c.Do(ctx, http.MethodGet, "/"+c.ProgressIndex+"/_doc/"+id, JSON, nil, &answer)
	switch {
	case IsStatus(err, http.StatusNotFound):
		return Stored{}, false, nil
	case err != nil:
		return Stored{}, false, fmt.Errorf("read the progress of %s: %w", id, err)
	}
	s := Stored{SeqNo: answer.SeqNo, PrimaryTerm: answer.PrimaryTerm}
	if err := json.Unmarshal(answer.Source, &s.Progress); err != nil {
		return Stored{}, false, fmt.Errorf("%w: the progress of %s in %s: %w", event.ErrCorrupt, id, c.ProgressIndex, err)
	}
	return s, true, nil
}

// PutProgress replaces the progress that was read, or makes the first where none was. It reports false
// where somebody else has written it since.
func (c *Client) PutProgress(ctx context.Context, p searchindex.Progress, was Stored) (Stored, bool, error) {
	body, err := json.Marshal(p)
	if err != nil {
		return Stored{}, false, fmt.Errorf("encode the progress of %s: %w", p.ID(), err)
	}
	path := "/" + c.ProgressIndex + "/_create/" + p.ID() + "?refresh=true" // seen by AllProgress at once
	if was.PrimaryTerm > 0 {
		path = "/" + c.ProgressIndex + "/_doc/" + p.ID() + "?if_seq_no=" + strconv.FormatInt(was.SeqNo, 10) +
			"&if_primary_term=" + strconv.FormatInt(was.PrimaryTerm, 10)
	}
	var answer struct {
		SeqNo       int64 `json:"_seq_no"`
		PrimaryTerm int64 `json:"_primary_term"`
	}
	err = c.Do(ctx, http.MethodPut, path, JSON, body, &answer)
	switch {
	case IsStatus(err, http.StatusConflict):
		return Stored{}, false, nil
	case err != nil:
		return Stored{}, false, fmt.Errorf("store the progress of %s: %w", p.ID(), err)
	}
	return Stored{Progress: p, SeqNo: answer.SeqNo, PrimaryTerm: answer.PrimaryTerm}, true, nil
}

// AllProgress returns the progress of every partition, ordered by aggregate and partition, each as the
// last write left it: partitions are looked up where the first write made them visible, and then read
// in real time.
func (c *Client) AllProgress(ctx context.Context) ([]searchindex.Progress, error) {
	return c.progressIn(ctx, c.ProgressIndex)
}

// ReadersProgress is AllProgress of the version that readers see.
func (c *Client) ReadersProgress(ctx context.Context) ([]searchindex.Progress, error) {
	return c.progressIn(ctx, c.ProgressAlias)
}

func (c *Client) progressIn(ctx context.Context, index string) ([]searchindex.Progress, error) {
	var listed struct {
		Hits struct {
			Hits []struct {
				ID string `json:"_id"`
			} `json:"hits"`
		} `json:"hits"`
	}
	const most = 10_000 // what one search returns; partitions are fewer
	query := []byte(`{"_source":false,"size":` + strconv.Itoa(most) + `}`)
	err := c.Do(ctx, http.MethodPost, "/"+index+"/_search?filter_path=hits.hits._id", JSON, query, &listed)
	if err != nil {
		return nil, c.notMade(fmt.Errorf("list the progress of search: %w", err))
	}
	if len(listed.Hits.Hits) == 0 {
		return nil, nil
	}
	ids := make([]string, len(listed.Hits.Hits))
	for i, h := range listed.Hits.Hits {
		ids[i] = h.ID
	}
	out := make([]searchindex.Progress, 0, len(ids))
	err = c.MultiGet(ctx, index, ids, func(_ int, source json.RawMessage) error {
		var p searchindex.Progress
		if err := json.Unmarshal(source, &p); err != nil {
			return fmt.Errorf("%w: the progress in %s: %w", event.ErrCorrupt, index, err)
		}
		out = append(out, p)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the progress of search: %w", err)
	}
	slices.SortFunc(out, searchindex.ByPartition)
	return out, nil
}

// MultiGet reads documents in real time, and calls found for each that exists, with its place in ids.
func (c *Client) MultiGet(ctx context.Context, index string, ids []string, found func(i int, source json.RawMessage) error) error {
	body, err := json.Marshal(object{"ids": ids})
	if err != nil {
		return err
	}
	var answer struct {
		Docs []struct {
			Found  bool            `json:"found"`
			Source json.RawMessage `json:"_source"`
			Error  *ItemError      `json:"error"`
		} `json:"docs"`
	}
	path := "/" + index + "/_mget?filter_path=docs.found,docs._source,docs.error"
	if err := c.Do(ctx, http.MethodPost, path, JSON, body, &answer); err != nil {
		return c.notMade(err)
	}
	if len(answer.Docs) != len(ids) {
		return fmt.Errorf("%w: Elasticsearch at %s answers with %d documents to %d IDs", event.ErrUnavailable, c.server, len(answer.Docs), len(ids))
	}
	for i, d := range answer.Docs {
		switch {
		case d.Error != nil:
			return fmt.Errorf("%w: Elasticsearch at %s: %w", event.ErrUnavailable, c.server, d.Error)
		case d.Found:
			if err := found(i, d.Source); err != nil {
				return err
			}
		}
	}
	return nil
}

// notMade turns the answer that there is no such index into event.ErrUnavailable: the sink has yet to make it.
func (c *Client) notMade(err error) error {
	if IsStatus(err, http.StatusNotFound) {
		return fmt.Errorf("%w: Elasticsearch at %s has no search index yet, or no longer: %w", event.ErrUnavailable, c.server, err)
	}
	return err
}
