package elasticsearch

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fake is as much of an Elasticsearch as the sink talks to, with failures on request.
type fake struct {
	t   *testing.T
	url string

	mu struct {
		sync.Mutex
		generation string
		docs       map[string]stored // by index/id
		bulks      [][]string        // IDs of each bulk request that was looked at
	}
	// bulk, if set, says what becomes of a document: 0 is indexed, else a status and an error's type.
	bulk func(id string) (status int, typ string)
	// intercept, if set, may answer a request before or after it was carried out.
	intercept func(w http.ResponseWriter, r *http.Request, carryOut func()) (answered bool)
}

type stored struct {
	source  json.RawMessage
	version int64
	seqNo   int64
}

func newFake(t *testing.T) *fake {
	f := &fake{t: t}
	f.mu.docs = map[string]stored{}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	f.url = server.URL
	return f
}

// sink makes a sink on the fake, with two attempts.
func (f *fake) sink(change ...func(*Config)) *Sink {
	f.t.Helper()
	client, err := Connect(ClientConfig{URLs: []string{f.url}, Timeout: 5 * time.Second})
	require.NoError(f.t, err)
	f.t.Cleanup(client.Close)
	cfg := Config{Client: client, Attempts: 3, RetryMin: time.Microsecond, Logger: slog.New(slog.DiscardHandler)}
	for _, c := range change {
		c(&cfg)
	}
	s, err := New(cfg)
	require.NoError(f.t, err)
	return s
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Elastic-Product", "Elasticsearch")
	w.Header().Set("Content-Type", "application/json")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	answer := func(w http.ResponseWriter) {
		f.mu.Lock()
		defer f.mu.Unlock()
		status, out := f.serve(r, body)
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(out)
	}
	if f.intercept != nil && f.intercept(w, r, func() { answer(httptest.NewRecorder()) }) {
		return
	}
	answer(w)
}

type object = map[string]any

func failure(status int, typ string) (int, any) {
	return status, object{"status": status, "error": object{"type": typ, "reason": "as asked for"}}
}

func (f *fake) serve(r *http.Request, body []byte) (int, any) {
	path := strings.Trim(r.URL.Path, "/")
	index, rest, _ := strings.Cut(path, "/")
	switch {
	case rest == "" && r.Method == http.MethodPut:
		if strings.HasSuffix(index, "-progress") || strings.HasSuffix(index, "-versions") {
			return 200, object{}
		}
		if f.mu.generation != "" {
			return failure(400, "resource_already_exists_exception")
		}
		var in struct {
			Mappings struct {
				Meta struct {
					Generation string `json:"generation"`
				} `json:"_meta"`
			} `json:"mappings"`
		}
		require.NoError(f.t, json.Unmarshal(body, &in))
		f.mu.generation = in.Mappings.Meta.Generation
		return 200, object{}
	case rest == "_mapping":
		return 200, object{index: object{"mappings": object{"_meta": object{"definition": 1, "generation": f.mu.generation}}}}
	case index == "_alias", index == "_aliases":
		return 200, object{}
	case rest == "_search": // of progress, of which the tests that list it have none
		return 200, object{}
	case rest == "_mget":
		return f.mget(body)
	case rest == "_bulk":
		require.Equal(f.t, "true", r.URL.Query().Get("require_alias"))
		return f.serveBulk(body)
	case strings.HasPrefix(rest, "_doc/"), strings.HasPrefix(rest, "_create/"):
		return f.document(r, index, rest, body)
	}
	f.t.Errorf("unexpected request %s %s", r.Method, r.URL)
	return failure(500, "unexpected")
}

func (f *fake) mget(body []byte) (int, any) {
	var in struct {
		IDs []string `json:"ids"`
	}
	require.NoError(f.t, json.Unmarshal(body, &in))
	var docs []object
	for _, id := range in.IDs {
		d, found := f.mu.docs["orders/"+id]
		if !found {
			docs = append(docs, object{"found": false})
			continue
		}
		docs = append(docs, object{"found": true, "_source": d.source})
	}
	return 200, object{"docs": docs}
}

func (f *fake) serveBulk(body []byte) (int, any) {
	lines := bytes.Split(bytes.TrimSpace(body), []byte("\n"))
	var ids []string
	var items []object
	failed := false
	for i := 0; i < len(lines); i += 2 {
		var action struct {
			Index struct {
				ID      string `json:"_id"`
				Version int64  `json:"version"`
				Type    string `json:"version_type"`
			} `json:"index"`
		}
		require.NoError(f.t, json.Unmarshal(lines[i], &action))
		require.Equal(f.t, "external", action.Index.Type)
		id := action.Index.ID
		ids = append(ids, id)
		status, typ := 0, ""
		if f.bulk != nil {
			status, typ = f.bulk(id)
		}
		if status == 0 && f.mu.docs["orders/"+id].version >= action.Index.Version {
			status, typ = 409, "version_conflict_engine_exception"
		}
		if status != 0 {
			failed = true
			items = append(items, object{"index": object{"status": status, "error": object{"type": typ, "reason": "as asked for"}}})
			continue
		}
		made := 201
		if _, ok := f.mu.docs["orders/"+id]; ok {
			made = 200
		}
		f.mu.docs["orders/"+id] = stored{source: bytes.Clone(lines[i+1]), version: action.Index.Version}
		items = append(items, object{"index": object{"status": made}})
	}
	f.mu.bulks = append(f.mu.bulks, ids)
	return 200, object{"errors": failed, "items": items}
}

func (f *fake) document(r *http.Request, index, rest string, body []byte) (int, any) {
	op, id, _ := strings.Cut(rest, "/")
	key := index + "/" + id
	was, found := f.mu.docs[key]
	if r.Method == http.MethodGet {
		if !found {
			return 404, object{"found": false}
		}
		return 200, object{"found": true, "_seq_no": was.seqNo, "_primary_term": 1, "_source": was.source}
	}
	if op == "_create" && found {
		return failure(409, "version_conflict_engine_exception")
	}
	if op == "_doc" && (!found || r.URL.Query().Get("if_seq_no") != strconv.FormatInt(was.seqNo, 10)) {
		return failure(409, "version_conflict_engine_exception")
	}
	f.mu.docs[key] = stored{source: body, seqNo: was.seqNo + 1}
	return 200, object{"_seq_no": was.seqNo + 1, "_primary_term": 1}
}

// version of an order's document; 0 where there is none.
func (f *fake) version(id string) int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.docs["orders/"+id].version
}

func (f *fake) bulks() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return fmt.Sprint(f.mu.bulks)
}
