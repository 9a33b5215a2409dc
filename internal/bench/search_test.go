package bench

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cqrsflow/cqrsflow/consumers/elasticsearch"
)

type object = map[string]any

// fake is as much of an Elasticsearch as the benchmark talks to.
type fake struct {
	t  *testing.T
	mu struct {
		sync.Mutex
		indexes map[string]*index
		aliases map[string]string
		removed []*index // of documents, not of progress or versions
	}
}

type index struct {
	meta     json.RawMessage
	docs     map[string]json.RawMessage
	versions map[string]int64
}

func newFake(t *testing.T) (f *fake, url string) {
	f = &fake{t: t}
	f.mu.indexes, f.mu.aliases = map[string]*index{}, map[string]string{}
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return f, s.URL
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	f.mu.Lock()
	status, out := f.serve(r.Method, strings.Trim(r.URL.Path, "/"), body)
	f.mu.Unlock()
	w.Header().Set("X-Elastic-Product", "Elasticsearch")
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(out)
}

func (f *fake) serve(method, path string, body []byte) (int, any) {
	name, rest, _ := strings.Cut(path, "/")
	if real, ok := f.mu.aliases[name]; ok {
		name = real
	}
	x := f.mu.indexes[name]
	refuse := func(status int, typ string) (int, any) {
		return status, object{"status": status, "error": object{"type": typ, "reason": "no"}}
	}
	switch {
	case name == "_alias", name == "_aliases":
		return 200, object{}
	case rest == "" && method == http.MethodPut && x != nil:
		return refuse(400, "resource_already_exists_exception")
	case rest == "" && method == http.MethodPut:
		var in struct {
			Aliases  map[string]any
			Mappings struct {
				Meta json.RawMessage `json:"_meta"`
			}
		}
		f.decode(body, &in)
		for alias := range in.Aliases {
			f.mu.aliases[alias] = name
		}
		f.mu.indexes[name] = &index{meta: in.Mappings.Meta, docs: map[string]json.RawMessage{}, versions: map[string]int64{}}
		return 200, object{}
	case x == nil:
		return refuse(404, "index_not_found_exception")
	case rest == "" && method == http.MethodDelete:
		delete(f.mu.indexes, name)
		if !strings.HasSuffix(name, "-progress") && !strings.HasSuffix(name, "-versions") {
			f.mu.removed = append(f.mu.removed, x)
		}
		return 200, object{}
	case rest == "_mapping":
		return 200, object{name: object{"mappings": object{"_meta": x.meta}}}
	case rest == "_mget":
		var in struct{ IDs []string }
		f.decode(body, &in)
		var docs []object
		for _, id := range in.IDs {
			docs = append(docs, object{"found": x.docs[id] != nil, "_source": x.docs[id]})
		}
		return 200, object{"docs": docs}
	case rest == "_bulk":
		return f.bulk(x, body)
	}
	_, id, _ := strings.Cut(rest, "/")
	if method == http.MethodGet && x.docs[id] == nil {
		return 404, object{"found": false}
	}
	if method == http.MethodPut {
		x.docs[id] = body
		x.versions[id]++
	}
	return 200, object{"found": true, "_seq_no": x.versions[id], "_primary_term": 1, "_source": x.docs[id]}
}

func (f *fake) bulk(x *index, body []byte) (int, any) {
	var items []object
	lines := bytes.Split(bytes.TrimSpace(body), []byte("\n"))
	for i := 0; i < len(lines); i += 2 {
		var action struct {
			Index struct {
				ID      string `json:"_id"`
				Version int64
			}
		}
		f.decode(lines[i], &action)
		status := 201
		if id := action.Index.ID; x.versions[id] < action.Index.Version {
			if x.docs[id] != nil {
				status = 200
			}
			x.docs[id], x.versions[id] = bytes.Clone(lines[i+1]), action.Index.Version
		} else {
			status = 409
		}
		items = append(items, object{"index": object{"status": status}})
	}
	return 200, object{"items": items}
}

func (f *fake) decode(body []byte, out any) {
	if err := json.Unmarshal(body, out); err != nil {
		f.t.Errorf("%v in %.200s", err, body)
	}
}

// TestSearch also checks that both sides leave the same documents: else the ratio would compare different work.
func TestSearch(t *testing.T) {
	f, url := newFake(t)
	var steps atomic.Int64
	r, err := RunSearch(t.Context(), Search{Run: quiet(&steps), Orders: few, Elasticsearch: elasticsearch.ClientConfig{URLs: []string{url}}})
	if err != nil {
		t.Fatal(err)
	}
	checkReport(t, r, "search", map[string]any{"orders": 300.0, "events": 600.0})
	if steps.Load() == 0 {
		t.Error("no progress")
	}
	if left := slices.Collect(maps.Keys(f.mu.indexes)); len(left) > 0 {
		t.Errorf("indexes that are left: %v", left)
	}
	if n := len(f.mu.removed); n != 4 {
		t.Fatalf("%d indexes were filled, want 4", n)
	}
	for _, x := range f.mu.removed {
		if len(x.docs) != 300 {
			t.Errorf("%d documents", len(x.docs))
		}
		if d := cmp.Diff(f.mu.removed[0].docs, x.docs, cmp.Transformer("text", func(m json.RawMessage) string { return string(m) })); d != "" {
			t.Errorf("the sides leave different documents: %s", d)
		}
	}
}

func TestUnreachableElasticsearch(t *testing.T) {
	var steps atomic.Int64
	c := Search{Run: quiet(&steps), Orders: few, Elasticsearch: elasticsearch.ClientConfig{URLs: []string{"http://127.0.0.1:1"}}}
	if r, err := RunSearch(t.Context(), c); err == nil {
		t.Errorf("%+v", r)
	}
}
