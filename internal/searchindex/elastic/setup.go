package elastic

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/google/uuid"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
)

// definition numbers the mapping below; it changes with searchindex.Shape or when the mapping does.
const definition = 1

type object = map[string]any

// settings and mappings of the index of documents. generation tells an index from another one that was
// made later under the same name.
func documents(shards int, write, generation string) object {
	exact := object{"type": "keyword"}
	kept := object{"type": "keyword", "index": false, "doc_values": false}
	date := object{"type": "date"}
	long := object{"type": "long"}
	words := object{"type": "text", "analyzer": "whitespace", "index_prefixes": object{"min_chars": 1, "max_chars": 5}}
	return object{
		"settings": object{"number_of_shards": shards, "auto_expand_replicas": "0-1"},
		"aliases":  object{write: object{}},
		"mappings": object{
			"_meta": object{"definition": definition, "generation": generation},
			// Fields that a newer program writes are kept, not refused.
			"dynamic": false,
			"_source": object{"excludes": []string{"search"}},
			"properties": object{
				"id": exact, "version": long, "status": exact, "customer": exact,
				"currency": exact, "totalCents": long,
				"placedAt": date, "paidAt": date, "shippedAt": date, "deliveredAt": date, "cancelledAt": date, "updatedAt": date,
				"lines": object{"properties": object{
					"sku": object{"type": "keyword", "ignore_above": 1024}, "name": kept, "quantity": long, "totalCents": long,
				}},
				"search": object{"properties": object{
					"key":   object{"type": "keyword", "doc_values": false},
					"name":  words,
					"notes": words,
					// What lists are sorted by: exact, where dates are of milliseconds.
					"placed": object{"type": "long", "index": false},
				}},
			},
		},
	}
}

func progress() object {
	return object{
		"settings": object{"number_of_shards": 1, "auto_expand_replicas": "0-1"},
		"mappings": object{"_meta": object{"definition": definition}, "dynamic": false},
	}
}

// Setup makes what is missing of the indexes and aliases of the client's version, and returns the
// generation of the index of documents. It may be called at any time, by several processes at once. Readers
// get the version where the registry says that it is the active one, and they have none. A version that
// was dropped or retired is event.ErrUnavailable: whoever feeds it has yet to hear of that.
func (c *Client) Setup(ctx context.Context) (generation string, err error) {
	r, err := c.ReadRegistry(ctx)
	if err != nil {
		return "", err
	}
	v, ok := r.Get(c.Version)
	if !ok || v.State == searchindex.Retired {
		return "", fmt.Errorf("%w: version %d of %s has been dropped or retired", event.ErrUnavailable, c.Version, searchindex.Name)
	}
	if err := c.create(ctx, c.Index, documents(c.cfg.Shards, c.Write, uuid.NewString())); err != nil {
		return "", err
	}
	if err := c.create(ctx, c.ProgressIndex, progress()); err != nil {
		return "", err
	}
	var found map[string]struct {
		Mappings struct {
			Meta struct {
				Definition int    `json:"definition"`
				Generation string `json:"generation"`
			} `json:"_meta"`
		} `json:"mappings"`
	}
	if err := c.Do(ctx, http.MethodGet, "/"+c.Index+"/_mapping?filter_path=*.mappings._meta", JSON, nil, &found); err != nil {
		return "", fmt.Errorf("look at search index %s: %w", c.Index, err)
	}
	meta := found[c.Index].Mappings.Meta
	if meta.Definition != definition || meta.Generation == "" {
		return "", fmt.Errorf("%w: search index %s has definition %d and not %d: another version of the program made it; "+
			"delete it, and it is built anew", event.ErrConfig, c.Index, meta.Definition, definition)
	}
	add := []object{addAlias(c.Index, c.Write)}
	if v.State == searchindex.Active {
		for alias, index := range map[string]string{c.Read: c.Index, c.ProgressAlias: c.ProgressIndex} {
			holder, err := c.holder(ctx, alias)
			if err != nil {
				return "", err
			}
			if holder == "" {
				add = append(add, addAlias(index, alias))
			}
		}
	}
	if err := c.alias(ctx, add); err != nil {
		return "", err
	}
	return meta.Generation, nil
}

// Publish lets readers see this version in place of an old one, documents and progress from one moment to
// the next. Where readers see neither of them, nothing changes, and the error is event.ErrFenced.
func (c *Client) Publish(ctx context.Context, old *Client) error {
	holder, err := c.holder(ctx, c.Read)
	if err != nil || holder == c.Index {
		return err
	}
	actions := []object{addAlias(c.Index, c.Read), addAlias(c.ProgressIndex, c.ProgressAlias)}
	if holder != "" { // else somebody deleted the index
		remove := func(index, alias string) object {
			return object{"remove": object{"index": index, "alias": alias, "must_exist": true}}
		}
		actions = append(actions, remove(old.Index, c.Read), remove(old.ProgressIndex, c.ProgressAlias))
	}
	err = c.alias(ctx, actions)
	if IsStatus(err, http.StatusNotFound) {
		if holder, herr := c.holder(ctx, c.Read); herr != nil || holder == c.Index {
			return herr // another process has done the same
		}
		return fmt.Errorf("%w: readers of search see another version than %d and %d: %w", event.ErrFenced, old.Version, c.Version, err)
	}
	return err
}

// holder is the index that an alias stands for; empty where there is none.
func (c *Client) holder(ctx context.Context, alias string) (string, error) {
	var holders map[string]json.RawMessage
	err := c.Do(ctx, http.MethodGet, "/_alias/"+alias, JSON, nil, &holders)
	if err != nil && !IsStatus(err, http.StatusNotFound) {
		return "", fmt.Errorf("look at alias %s: %w", alias, err)
	}
	for name := range holders {
		return name, nil
	}
	return "", nil
}

// Remove deletes the indexes of the client's version.
func (c *Client) Remove(ctx context.Context) error {
	for _, index := range []string{c.Index, c.ProgressIndex} {
		if err := c.Do(ctx, http.MethodDelete, "/"+index+"?ignore_unavailable=true", JSON, nil, nil); err != nil {
			return fmt.Errorf("delete search index %s: %w", index, err)
		}
	}
	return nil
}

func addAlias(index, alias string) object {
	return object{"add": object{"index": index, "alias": alias}}
}

func (c *Client) alias(ctx context.Context, actions []object) error {
	body, err := json.Marshal(object{"actions": actions})
	if err != nil {
		return err
	}
	if err := c.Do(ctx, http.MethodPost, "/_aliases", JSON, body, nil); err != nil {
		return fmt.Errorf("set the aliases of search index %s: %w", c.Index, err)
	}
	return nil
}

func (c *Client) create(ctx context.Context, index string, definition object) error {
	body, err := json.Marshal(definition)
	if err != nil {
		return err
	}
	err = c.Do(ctx, http.MethodPut, "/"+index, JSON, body, nil)
	if err != nil && !IsType(err, "resource_already_exists_exception") {
		return fmt.Errorf("make search index %s: %w", index, err)
	}
	return nil
}
