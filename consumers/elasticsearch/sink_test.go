package elasticsearch

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
	orderv2 "github.com/cqrsflow/cqrsflow/schemas/order/v2"
)

var part = runner.Partition{Aggregate: "order", Source: runner.Events, Topic: "t", TopicID: [16]byte{1}}

// placed is a batch that places orders, from the start of the log.
func placed(ids ...string) *runner.Batch {
	b := &runner.Batch{Partition: part, From: runner.Checkpoint{TopicID: part.TopicID, CommandOffset: -1}}
	for i, id := range ids {
		b.Events = append(b.Events, event.Recorded{Envelope: event.Envelope{Aggregate: "order", Stream: event.StreamID(id), Version: 1,
			Type: "order.v1.OrderPlaced", Time: time.Unix(0, 0), RecordedTime: time.Unix(0, 0), Offset: int64(i)}, Body: &orderv1.OrderPlaced{Customer: "c"}})
	}
	b.To = runner.Checkpoint{TopicID: part.TopicID, Next: int64(len(ids)), CommandOffset: int64(len(ids)) - 1}
	return b
}

func open(t *testing.T, s *Sink) runner.Session {
	t.Helper()
	session, err := s.Open(t.Context(), part)
	require.NoError(t, err)
	return session
}

func requireAt(t *testing.T, s *Sink, want int64) {
	t.Helper()
	at, _ := open(t, s).Checkpoint()
	require.Equal(t, want, at.Next)
}

func TestOverloadedDocumentsAreSentAgain(t *testing.T) {
	f := newFake(t)
	refusals := map[string]int{"b": 2, "c": 1}
	f.bulk = func(id string) (int, string) {
		if refusals[id] > 0 {
			refusals[id]--
			return 429, "es_rejected_execution_exception"
		}
		return 0, ""
	}
	s := f.sink()
	require.NoError(t, open(t, s).Apply(t.Context(), placed("a", "b", "c")))
	require.Equal(t, "[[a b c] [b c] [b]]", f.bulks())
	for _, id := range []string{"a", "b", "c"} {
		require.EqualValues(t, 1, f.version(id), id)
	}
	requireAt(t, s, 3)
}

func TestOverloadEndsInUnavailable(t *testing.T) {
	f := newFake(t)
	f.bulk = func(id string) (int, string) {
		if id == "b" {
			return 503, "unavailable_shards_exception"
		}
		return 0, ""
	}
	s := f.sink()
	session := open(t, s)
	err := session.Apply(t.Context(), placed("a", "b"))
	require.ErrorIs(t, err, event.ErrUnavailable)
	require.ErrorContains(t, err, "unavailable_shards_exception")
	require.Equal(t, "[[a b] [b] [b]]", f.bulks(), "three attempts")

	f.bulk = nil
	require.NoError(t, session.Apply(t.Context(), placed("a", "b")), "the same batch again")
	requireAt(t, s, 2)
}

func TestPoisonIsBlamedOnItsStream(t *testing.T) {
	f := newFake(t)
	f.bulk = func(id string) (int, string) {
		if id == "bad" || id == "worse" {
			return 400, "document_parsing_exception"
		}
		return 0, ""
	}
	s := f.sink()
	session := open(t, s)
	err := session.Apply(t.Context(), placed("a", "bad", "worse", "z"))
	var p *runner.Poison
	require.ErrorAs(t, err, &p)
	require.Equal(t, event.StreamID("bad"), p.Stream)
	require.EqualValues(t, 1, p.Offset)
	require.ErrorContains(t, err, "document_parsing_exception")
	require.NotErrorIs(t, err, event.ErrUnavailable)
	at, found := session.Checkpoint()
	require.False(t, found, "%+v", at)
}

func TestNoDocumentIsBlamedForTheIndex(t *testing.T) {
	for status, typ := range map[int]string{404: "index_not_found_exception", 403: "cluster_block_exception"} {
		f := newFake(t)
		f.bulk = func(string) (int, string) { return status, typ }
		err := open(t, f.sink()).Apply(t.Context(), placed("a"))
		require.ErrorIs(t, err, event.ErrUnavailable, typ)
		var p *runner.Poison
		require.NotErrorAs(t, err, &p, typ)
	}
}

// A server that takes no more than two documents a request: the batch goes in parts, and a document that
// is too large by itself is poison.
func TestTooLargeRequestsAreHalved(t *testing.T) {
	f := newFake(t)
	limit := int64(700)
	f.intercept = func(w http.ResponseWriter, r *http.Request, _ func()) bool {
		if strings.HasSuffix(r.URL.Path, "/_bulk") && r.ContentLength > limit {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			_, _ = w.Write([]byte("{}"))
			return true
		}
		return false
	}
	s := f.sink()
	session := open(t, s)
	require.NoError(t, session.Apply(t.Context(), placed("a", "b", "c", "d", "e")))
	for _, id := range []string{"a", "b", "c", "d", "e"} {
		require.EqualValues(t, 1, f.version(id), id)
	}
	limit = 10
	b := placed("x", "y")
	b.From, b.To = placed("a", "b", "c", "d", "e").To, runner.Checkpoint{TopicID: part.TopicID, Next: 7, CommandOffset: 6}
	var p *runner.Poison
	require.ErrorAs(t, session.Apply(t.Context(), b), &p)
	require.Equal(t, event.StreamID("x"), p.Stream)
}

// The answer to the checkpoint's write is lost: the same batch again finds that it was done.
func TestLostAnswer(t *testing.T) {
	f := newFake(t)
	s := f.sink()
	session := open(t, s)
	var lose atomic.Bool
	lose.Store(true)
	f.intercept = func(_ http.ResponseWriter, r *http.Request, carryOut func()) bool {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "-progress/_doc/") && lose.Swap(false) {
			carryOut()
			panic(http.ErrAbortHandler)
		}
		return false
	}
	require.ErrorIs(t, session.Apply(t.Context(), placed("a")), event.ErrUnavailable)
	require.NoError(t, session.Apply(t.Context(), placed("a")))
	at, found := session.Checkpoint()
	require.True(t, found)
	require.EqualValues(t, 1, at.Next)
	require.Equal(t, "[[a]]", f.bulks(), "nothing is written twice")

	// Where the write was lost itself, the batch is applied.
	lose.Store(true)
	f.intercept = func(_ http.ResponseWriter, r *http.Request, _ func()) bool {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "-progress/_doc/") && lose.Swap(false) {
			panic(http.ErrAbortHandler)
		}
		return false
	}
	b := placed("a", "b")
	b.Events, b.From = b.Events[1:], placed("a").To
	require.ErrorIs(t, session.Apply(t.Context(), b), event.ErrUnavailable)
	require.NoError(t, session.Apply(t.Context(), b))
	requireAt(t, s, 2)
}

// The checkpoint's write comes so late that it overtakes the one that was to repeat it.
func TestLateRequest(t *testing.T) {
	f := newFake(t)
	s := f.sink()
	session := open(t, s)
	var late atomic.Pointer[func()]
	f.intercept = func(_ http.ResponseWriter, r *http.Request, carryOut func()) bool {
		if r.Method != http.MethodPut || !strings.Contains(r.URL.Path, "-progress/_doc/") {
			return false
		}
		if late.CompareAndSwap(nil, &carryOut) {
			panic(http.ErrAbortHandler)
		}
		(*late.Load())()
		return false
	}
	require.ErrorIs(t, session.Apply(t.Context(), placed("a")), event.ErrUnavailable)
	require.NoError(t, session.Apply(t.Context(), placed("a")))
	at, _ := session.Checkpoint()
	require.EqualValues(t, 1, at.Next)
}

// A worker that lost the partition while it wrote documents does not move the checkpoint.
func TestFencedBetweenDocumentsAndCheckpoint(t *testing.T) {
	f := newFake(t)
	s := f.sink()
	session := open(t, s)
	var owner runner.Session
	f.intercept = func(_ http.ResponseWriter, r *http.Request, _ func()) bool {
		if strings.HasSuffix(r.URL.Path, "/_bulk") && owner == nil {
			owner = open(t, s)
		}
		return false
	}
	require.ErrorIs(t, session.Apply(t.Context(), placed("a")), event.ErrFenced)
	_, found := owner.Checkpoint()
	require.False(t, found)
	require.NoError(t, owner.Apply(t.Context(), placed("a")), "the document is there already, which changes nothing")
}

// Where somebody deleted the index, the checkpoints in the other one mean nothing.
func TestIndexMadeAnew(t *testing.T) {
	f := newFake(t)
	s := f.sink()
	require.NoError(t, open(t, s).Apply(t.Context(), placed("a")))
	f.mu.Lock()
	f.mu.generation = ""
	delete(f.mu.docs, "orders/a")
	f.mu.Unlock()
	session := open(t, s)
	_, found := session.Checkpoint()
	require.False(t, found, "it is read from the start")
	require.NoError(t, session.Apply(t.Context(), placed("a")))
	require.EqualValues(t, 1, f.version("a"))
}

// Documents that are stored are read, unless the batch has their streams from the first event on, or the
// session wrote them itself.
func TestFoldsOntoStoredDocuments(t *testing.T) {
	f := newFake(t)
	s := f.sink()
	session := open(t, s)
	first := placed("a", "b")
	require.NoError(t, session.Apply(t.Context(), first))
	var reads atomic.Int64
	f.intercept = func(_ http.ResponseWriter, r *http.Request, _ func()) bool {
		if strings.HasSuffix(r.URL.Path, "/_mget") {
			reads.Add(1)
		}
		return false
	}
	second := placed("a", "b", "c")
	second.From, second.To.Next = first.To, 9
	require.NoError(t, session.Apply(t.Context(), second), "a and b are delivered again")
	require.Zero(t, reads.Load())
	third := noted("a", 2, second.To)
	require.NoError(t, session.Apply(t.Context(), third))
	require.Zero(t, reads.Load(), "it was written by this session")
	require.EqualValues(t, 2, f.version("a"))
	require.Contains(t, string(f.mu.docs["orders/a"].source), `"customer":"c"`, "folded onto what was written")

	require.NoError(t, open(t, s).Apply(t.Context(), noted("a", 3, third.To)))
	require.EqualValues(t, 1, reads.Load(), "another session reads it")
	require.Contains(t, string(f.mu.docs["orders/a"].source), `"customer":"c"`, "folded onto what was stored")
	require.Equal(t, 2, strings.Count(string(f.mu.docs["orders/a"].source), `"text":"noted `))
}

// noted is a batch with one note.
func noted(id string, version event.Version, from runner.Checkpoint) *runner.Batch {
	b := &runner.Batch{Partition: part, From: from, To: from, Events: []event.Recorded{{
		Envelope: event.Envelope{Aggregate: "order", Stream: event.StreamID(id), Version: version, Type: "order.v2.OrderAnnotated",
			Time: time.Unix(0, 0), RecordedTime: time.Unix(0, 0), Offset: from.Next},
		Body: &orderv2.OrderAnnotated{Note: &orderv2.Note{Text: fmt.Sprintf("noted %d", version)}}}}}
	b.To.Next++
	return b
}

// What could not be written must not be taken for stored.
func TestWhatWasNotWrittenIsRead(t *testing.T) {
	f := newFake(t)
	s := f.sink()
	session := open(t, s)
	first := placed("a")
	require.NoError(t, session.Apply(t.Context(), first))
	f.bulk = func(string) (int, string) { return 503, "unavailable_shards_exception" }
	second := noted("a", 2, first.To)
	require.ErrorIs(t, session.Apply(t.Context(), second), event.ErrUnavailable)
	f.bulk = nil
	require.NoError(t, session.Apply(t.Context(), second))
	require.EqualValues(t, 2, f.version("a"))
	require.NoError(t, session.Apply(t.Context(), noted("a", 3, second.To)))
	require.EqualValues(t, 3, f.version("a"))
	require.Equal(t, 2, strings.Count(string(f.mu.docs["orders/a"].source), `"text":"noted `))
}

// Somebody deletes the index, and another process makes it anew, while a session goes on: it must not fill
// it with what it remembers.
func TestIndexMadeAnewUnderASession(t *testing.T) {
	f := newFake(t)
	s := f.sink()
	session := open(t, s)
	first := placed("a")
	require.NoError(t, session.Apply(t.Context(), first))
	f.mu.Lock()
	f.mu.generation = ""
	delete(f.mu.docs, "orders/a")
	f.mu.Unlock()
	require.ErrorIs(t, session.Apply(t.Context(), noted("a", 2, first.To)), event.ErrFenced)
	_, found := open(t, s).Checkpoint()
	require.False(t, found, "it is read from the start")
}

func TestWrittenIsBounded(t *testing.T) {
	w := newWritten(20 << 10)
	doc := func(i int) searchindex.Document {
		return searchindex.Document{ID: event.StreamID(fmt.Sprint("o-", i)), Version: event.Version(i), Lines: make([]searchindex.Line, 4)}
	}
	for i := range 1000 {
		w.put(doc(i))
		for _, back := range []int{0, 5} {
			if d, ok := w.get(doc(i - back).ID); i >= back && (!ok || d.Version != event.Version(i-back)) {
				t.Fatalf("after %d documents, the one %d before is %v, %v", i, back, d.Version, ok)
			}
		}
		if n := len(w.young) + len(w.old); n > 27 {
			t.Fatalf("%d documents are kept", n)
		}
	}
	_, ok := w.get("o-900")
	require.False(t, ok)
	large := doc(999)
	large.Version, large.Lines = 1000, make([]searchindex.Line, 1000)
	w.put(large)
	_, ok = w.get("o-999")
	require.False(t, ok, "an older version of what is too large to be kept")
	w.put(doc(999))
	w.put(searchindex.Document{ID: "o-999", Version: 1001})
	d, ok := w.get("o-999")
	require.True(t, ok)
	require.EqualValues(t, 1001, d.Version)
}

func TestTooMuchParked(t *testing.T) {
	f := newFake(t)
	s := f.sink(func(c *Config) { c.MaxParked = 2 })
	session := open(t, s)
	b := placed("a")
	for i := range 3 {
		b.Park = append(b.Park, runner.Pointer{Stream: "p", Offset: int64(100 + i)})
	}
	require.ErrorIs(t, session.Apply(t.Context(), b), event.ErrUnavailable)
	b.Park = b.Park[:2]
	require.NoError(t, session.Apply(t.Context(), b))
}

func TestUnreachable(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	client, err := Connect(ClientConfig{URLs: []string{strings.Replace(gone.URL, "http://", "http://elastic:secret@", 1)}})
	require.NoError(t, err)
	defer client.Close()
	s, err := New(Config{Client: client})
	require.NoError(t, err)
	_, err = s.Open(t.Context(), part)
	require.ErrorIs(t, err, event.ErrUnavailable)
	require.ErrorContains(t, err, gone.URL)
	require.ErrorContains(t, err, "CQRSFLOW_ELASTICSEARCH_URL")
	require.NotContains(t, err.Error(), "secret")
}

func TestSilentServer(t *testing.T) {
	stuck := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-stuck }))
	defer server.Close()
	defer close(stuck)
	client, err := Connect(ClientConfig{URLs: []string{server.URL}, Timeout: 50 * time.Millisecond})
	require.NoError(t, err)
	defer client.Close()
	s, err := New(Config{Client: client})
	require.NoError(t, err)
	_, err = s.Open(t.Context(), part)
	require.ErrorIs(t, err, event.ErrUnavailable)
	require.ErrorContains(t, err, "does not answer within 50ms")
}

func TestRefusedCredentials(t *testing.T) {
	f := newFake(t)
	f.intercept = func(w http.ResponseWriter, _ *http.Request, _ func()) bool {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = fmt.Fprint(w, `{"error":{"type":"security_exception","reason":"missing authentication credentials"},"status":401}`)
		return true
	}
	_, err := f.sink().Open(t.Context(), part)
	require.ErrorIs(t, err, event.ErrUnavailable)
	require.ErrorContains(t, err, "missing authentication credentials")
}

func TestConfig(t *testing.T) {
	client, err := Connect(ClientConfig{URLs: []string{"http://localhost:9200"}})
	require.NoError(t, err)
	for field, cfg := range map[string]Config{
		"Client":    {},
		"BulkBytes": {Client: client, BulkBytes: 1},
		"Attempts":  {Client: client, Attempts: -1},
		"RetryMin":  {Client: client, RetryMin: -1},
		"MaxParked": {Client: client, MaxParked: -1},
	} {
		_, err := New(cfg)
		require.ErrorIs(t, err, event.ErrConfig)
		require.ErrorContains(t, err, field)
	}
	for field, cfg := range map[string]ClientConfig{
		"URLs":    {},
		"URLs is": {URLs: []string{"localhost:9200"}},
		"Prefix":  {URLs: []string{"http://x"}, Prefix: "Upper"},
		"Shards":  {URLs: []string{"http://x"}, Shards: -1},
		"Timeout": {URLs: []string{"http://x"}, Timeout: -1},
	} {
		_, err := Connect(cfg)
		require.ErrorIs(t, err, event.ErrConfig)
		require.ErrorContains(t, err, field)
	}
}
