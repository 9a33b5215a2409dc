package postgres_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cqrsflow/cqrsflow/consumers/internal/pgtest"
	"github.com/cqrsflow/cqrsflow/consumers/postgres"
	"github.com/cqrsflow/cqrsflow/consumers/rebuild"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
)

func versions(t *testing.T, store *postgres.Store, m words) *postgres.Versions {
	t.Helper()
	v, err := store.Versions(m)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// states are those of the versions, oldest first, such as "1 retired, 2 active".
func states(t *testing.T, v *postgres.Versions) string {
	t.Helper()
	all, err := v.Versions(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, x := range all {
		out = append(out, string(rune('0'+x.Number))+" "+string(x.State))
	}
	return strings.Join(out, ", ")
}

// upTo says that the log of the partition ends there.
func upTo(end int64) rebuild.Ends {
	return func(context.Context) ([]runner.End, error) {
		return []runner.End{{Partition: partition, End: end}}, nil
	}
}

// begin asks for a version and opens the partition in it.
func begin(t *testing.T, v *postgres.Versions) (int, runner.Session) {
	t.Helper()
	b, began, err := v.Begin(t.Context())
	if err != nil || !began {
		t.Fatalf("began %v: %v", began, err)
	}
	sink, err := v.Prepare(t.Context(), b.Number)
	if err != nil {
		t.Fatal(err)
	}
	s, err := sink.Open(t.Context(), partition)
	if err != nil {
		t.Fatal(err)
	}
	return b.Number, s
}

func apply(t *testing.T, s runner.Session, b *runner.Batch) {
	t.Helper()
	if err := s.Apply(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

func switchTo(t *testing.T, v *postgres.Versions, version int, end int64) bool {
	t.Helper()
	ok, err := v.Switch(t.Context(), version, upTo(end))
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func TestVersionIsFilledBesideAndSwitchedToWhenItHasCaughtUp(t *testing.T) {
	store, sink := open(t, words{})
	v := versions(t, store, words{})
	old := session(t, sink)
	apply(t, old, batch(0, 2000, ev("a", 1, "one")))
	n, s := begin(t, v)
	if again, began, err := v.Begin(t.Context()); err != nil || began || again.Number != n {
		t.Errorf("asking twice: %+v, %v, %v", again, began, err)
	}
	apply(t, s, batch(0, 500, ev("a", 1, "one"), ev("b", 1, "more")))
	if switchTo(t, v, n, 2000) {
		t.Error("switched long before it has caught up")
	}
	apply(t, s, batch(500, 1999))
	if switchTo(t, v, n, 2500) {
		t.Error("switched one record before it has caught up")
	}
	if got := count(t, store, "SELECT count(*) FROM words"); got != 1 {
		t.Errorf("readers see %d rows of the old version, want 1", got)
	}
	apply(t, s, batch(1999, 2000))
	if !switchTo(t, v, n, 2500) {
		t.Fatal("not switched where it is as far as the old one")
	}
	if !switchTo(t, v, n, 2500) {
		t.Error("switching again does not say that it is active")
	}
	if got := count(t, store, "SELECT count(*) FROM words"); got != 2 {
		t.Errorf("readers see %d rows of the new version, want 2", got)
	}
	if got := states(t, v); got != "1 retired, 2 active" {
		t.Error(got)
	}
	if err := old.Apply(t.Context(), batch(2000, 2001, ev("c", 1, "late"))); !errors.Is(err, event.ErrFenced) {
		t.Errorf("the retired version was written: %v", err)
	}
	if _, err := sink.Open(t.Context(), partition); !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("the retired version was opened: %v", err)
	}
}

// A stopped version proves nothing: its checkpoint is beyond the log's end, or of another topic.
func TestVersionWhoseLogWasLostIsReplacedAtTheLogsEnd(t *testing.T) {
	for name, lost := range map[string]func(*runner.Batch){
		"beyond the end": func(*runner.Batch) {},
		"another topic":  func(b *runner.Batch) { b.To.TopicID = [16]byte{1} },
	} {
		t.Run(name, func(t *testing.T) {
			store, sink := open(t, words{})
			v := versions(t, store, words{})
			b := batch(0, 900, ev("a", 1, "one"))
			lost(b)
			apply(t, session(t, sink), b)
			n, s := begin(t, v)
			apply(t, s, batch(0, 9))
			if switchTo(t, v, n, 10) {
				t.Error("switched before the log's end")
			}
			apply(t, s, batch(9, 10))
			if !switchTo(t, v, n, 10) {
				t.Error("not switched at the log's end")
			}
		})
	}
}

func TestSeveralSwitchOnce(t *testing.T) {
	store, _ := open(t, words{})
	v := versions(t, store, words{})
	n, s := begin(t, v)
	apply(t, s, batch(0, 5, ev("a", 1, "one")))
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			for {
				ok, err := v.Switch(t.Context(), n, upTo(5))
				if err != nil {
					t.Error(err)
				}
				if ok || err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	if got := states(t, v); got != "1 retired, 2 active" {
		t.Error(got)
	}
}

func TestOldVersionWaitsWhileItIsCompared(t *testing.T) {
	store, sink := open(t, words{})
	v := versions(t, store, words{})
	old := session(t, sink)
	apply(t, old, batch(0, 5, ev("a", 1, "one")))
	n, s := begin(t, v)
	// The new version is one batch behind. It gets there while the old one is held still.
	apply(t, s, batch(0, 4))
	held := make(chan struct{})
	var once sync.Once
	ends := func(ctx context.Context) ([]runner.End, error) {
		if count(t, store, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND granted AND objid = 1`) > 0 {
			once.Do(func() { close(held) })
		}
		return upTo(100)(ctx)
	}
	done := make(chan error, 1)
	go func() {
		<-held
		done <- old.Apply(context.Background(), batch(5, 6, ev("a", 2, "two")))
	}()
	go func() {
		<-held
		if err := s.Apply(context.Background(), batch(4, 5, ev("a", 1, "one"))); err != nil {
			t.Error(err)
		}
	}()
	ok, err := v.Switch(t.Context(), n, ends)
	if err != nil || !ok {
		t.Fatalf("switched %v: %v", ok, err)
	}
	if err := <-done; !errors.Is(err, event.ErrFenced) {
		t.Errorf("the old version went on while it was compared: %v", err)
	}
}

// The old version's batches wait, but not on the connections that the new one needs.
func TestBatchesThatWaitLeaveConnections(t *testing.T) {
	url := pgtest.URL(t)
	if err := postgres.Migrate(t.Context(), url, words{}); err != nil {
		t.Fatal(err)
	}
	store, err := postgres.Open(t.Context(), postgres.Config{URL: url, MaxConns: 3})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	v := versions(t, store, words{})
	n, s := begin(t, v)
	old, err := store.Sink(words{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	held := make(chan struct{})
	var once sync.Once
	ends := func(ctx context.Context) ([]runner.End, error) {
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			return nil, err
		}
		defer func() { _ = conn.Close(ctx) }()
		var locks int
		if err := conn.QueryRow(ctx, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode = 'ExclusiveLock' AND granted AND objid = 1
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`).Scan(&locks); err != nil {
			return nil, err
		}
		if locks > 0 {
			once.Do(func() { close(held) })
		}
		return upTo(1)(ctx)
	}
	var waiting sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for number := range int32(8) {
		waiting.Go(func() {
			<-held
			p := partition
			p.Number = number + 10
			session, err := old.Open(ctx, p)
			if err != nil {
				return // the switch was faster
			}
			b := batch(0, 1, ev("a", 1, "one"))
			b.Partition = p
			_ = session.Apply(ctx, b) // until the switch, or the end of the test
		})
	}
	waiting.Go(func() {
		<-held
		if err := s.Apply(ctx, batch(0, 1, ev("b", 1, "new"))); err != nil {
			t.Error(err)
		}
	})
	ok, err := v.Switch(t.Context(), n, ends)
	if err != nil || !ok {
		t.Errorf("switched %v: %v", ok, err)
	}
	cancel()
	waiting.Wait()
}

// Readers go on, on one connection with its prepared statements, and never see anything in between.
func TestReadersGoOnThroughSwitches(t *testing.T) {
	store, sink := open(t, words{})
	v := versions(t, store, words{})
	var all []event.Recorded
	for i := range 20 {
		all = append(all, ev(string(rune('a'+i)), 1, "word"))
	}
	apply(t, session(t, sink), batch(0, 5, all...))
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	reads := make([]int, 4)
	for i := range reads {
		wg.Go(func() {
			for ctx.Err() == nil {
				var n int
				// Twice in one query: both must be of the same version.
				err := store.Pool().QueryRow(t.Context(), `SELECT count(*) FROM words w JOIN words x USING (stream, version)`).Scan(&n)
				if err != nil || n != len(all) {
					t.Errorf("a reader sees %d rows: %v", n, err)
					return
				}
				reads[i]++
			}
		})
	}
	for range 5 {
		n, s := begin(t, v)
		apply(t, s, batch(0, 5, all...))
		for !switchTo(t, v, n, 5) {
			t.Log("a reader was in the way")
		}
	}
	cancel()
	wg.Wait()
	if slices.Min(reads) == 0 {
		t.Errorf("reads: %v", reads)
	}
	if got := states(t, v); got != "5 retired, 6 active" {
		t.Errorf("%s: the next rebuild drops what is retired", got)
	}
	if n := count(t, store, `SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'words\_v%'`); n != 2 {
		t.Errorf("%d schemas", n)
	}
}

// What others were given of the views, and have built on them, outlives a switch.
func TestGrantsOnViewsStay(t *testing.T) {
	store, _ := open(t, words{})
	v := versions(t, store, words{})
	if _, err := store.Pool().Exec(t.Context(), `DO $$ BEGIN CREATE ROLE words_reader; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
		GRANT SELECT ON words TO words_reader; CREATE VIEW mine AS SELECT word FROM words`); err != nil {
		t.Fatal(err)
	}
	n, s := begin(t, v)
	apply(t, s, batch(0, 5, ev("a", 1, "one")))
	if !switchTo(t, v, n, 5) {
		t.Fatal("not switched")
	}
	if n := count(t, store, `SELECT count(*) FROM mine WHERE has_table_privilege('words_reader', 'words', 'SELECT')`); n != 1 {
		t.Error("the grant, or the view, is gone")
	}
}

func TestCancelAndDrop(t *testing.T) {
	store, sink := open(t, words{})
	v := versions(t, store, words{})
	if _, err := v.Cancel(t.Context()); !errors.Is(err, event.ErrNotFound) {
		t.Errorf("cancel where nothing is built: %v", err)
	}
	n, s := begin(t, v)
	apply(t, s, batch(0, 5, ev("a", 1, "one")))
	for version, word := range map[int]string{1: "active", n: "cancel"} {
		if err := v.Drop(t.Context(), version); !errors.Is(err, event.ErrInvalid) || !strings.Contains(err.Error(), word) {
			t.Errorf("drop version %d: %v", version, err)
		}
	}
	if err := v.Drop(t.Context(), 7); !errors.Is(err, event.ErrNotFound) {
		t.Errorf("drop what is not there: %v", err)
	}
	if got, err := v.Cancel(t.Context()); err != nil || got != n {
		t.Fatalf("cancelled %d: %v", got, err)
	}
	if err := s.Apply(t.Context(), batch(5, 6)); !errors.Is(err, event.ErrFenced) {
		t.Errorf("a cancelled version was written: %v", err)
	}
	if _, err := v.Prepare(t.Context(), n); !errors.Is(err, event.ErrNotFound) {
		t.Errorf("a cancelled version was made again: %v", err)
	}
	if got := count(t, store, `SELECT (SELECT count(*) FROM cqrsflow.checkpoints) + (SELECT count(*) FROM pg_namespace WHERE nspname = 'words_v2')`); got != 0 {
		t.Error("something of the cancelled version is left")
	}
	apply(t, session(t, sink), batch(0, 5, ev("a", 1, "one")))
	n, s = begin(t, v)
	if n != 3 {
		t.Errorf("the number %d was given out again", n)
	}
	apply(t, s, batch(0, 5, ev("a", 1, "one")))
	if !switchTo(t, v, n, 5) {
		t.Fatal("not switched")
	}
	if err := v.Drop(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if got := states(t, v); got != "3 active" {
		t.Error(got)
	}
	if got := count(t, store, "SELECT count(*) FROM words"); got != 1 {
		t.Errorf("%d rows are left of the active version", got)
	}
}

// reshaped is words with another column: its views cannot be replaced in place.
type reshaped struct{ words }

func (reshaped) Shape() int { return 2 }

func (reshaped) Views() map[string]string { return map[string]string{"words": "shorter"} }

func (r reshaped) Apply(ctx context.Context, tx pgx.Tx, b *runner.Batch) error {
	if _, err := tx.Exec(ctx, `CREATE OR REPLACE VIEW shorter AS SELECT word FROM words`); err != nil {
		return err
	}
	return r.words.Apply(ctx, tx, b)
}

// A program with a later shape asks for a version of its own; readers see the old one until that is complete, and the
// program of before, which may still run, or be started again, leaves it alone.
func TestNewShapeIsBuiltBeforeReadersSeeIt(t *testing.T) {
	store, sink := open(t, words{})
	url := store.Pool().Config().ConnString()
	apply(t, session(t, sink), batch(0, 5, ev("a", 1, "one")))
	v := versions(t, store, words{})
	if _, _, err := v.Begin(t.Context()); err != nil { // of the old shape, which nobody will complete
		t.Fatal(err)
	}
	for range 2 {
		if err := postgres.Migrate(t.Context(), url, reshaped{}); err != nil {
			t.Fatal(err)
		}
	}
	all, err := v.Versions(t.Context())
	if err != nil || len(all) != 2 || all[1].Number != 3 || all[1].Shape != 2 || all[1].State != rebuild.Building {
		t.Fatalf("%+v, %v", all, err)
	}
	if err := postgres.Migrate(t.Context(), url, words{}); err != nil {
		t.Fatal(err)
	}
	if got := states(t, v); got != "1 active, 3 building" {
		t.Errorf("after the old program has started again: %s", got)
	}
	apply(t, session(t, sink), batch(5, 6, ev("a", 2, "two")))
	if n := count(t, store, "SELECT count(version) FROM words"); n != 2 {
		t.Errorf("readers see %d rows of the old shape", n)
	}
	next, err := store.Versions(reshaped{})
	if err != nil {
		t.Fatal(err)
	}
	s2, err := next.Prepare(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	s, err := s2.Open(t.Context(), partition)
	if err != nil {
		t.Fatal(err)
	}
	apply(t, s, batch(0, 6, ev("a", 1, "one"), ev("a", 2, "two"), ev("b", 1, "three")))
	if ok, err := next.Switch(t.Context(), 3, upTo(6)); err != nil || !ok {
		t.Fatalf("%v, %v", ok, err)
	}
	if n := count(t, store, "SELECT count(*) FROM words"); n != 3 {
		t.Errorf("readers see %d rows of the new shape", n)
	}
	if n := count(t, store, `SELECT count(*) FROM information_schema.columns WHERE table_schema = 'public' AND table_name = 'words'`); n != 1 {
		t.Errorf("the view has %d columns", n)
	}
	if err := postgres.Migrate(t.Context(), url, words{}); err != nil {
		t.Fatal(err)
	}
	if got := states(t, v); got != "1 retired, 3 active" {
		t.Errorf("the old program, started after the switch: %s", got)
	}
}

// A database of a program that had no versions yet.
func TestMigrateFromBeforeVersions(t *testing.T) {
	url := pgtest.URL(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := postgres.Migrate(t.Context(), url, words{}); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `DROP TABLE cqrsflow.versions, cqrsflow.healing; ALTER TABLE cqrsflow.projections DROP COLUMN last_version;
		DELETE FROM cqrsflow.migrations WHERE version_id = 2`); err != nil {
		t.Fatal(err)
	}
	if err := postgres.Migrate(t.Context(), url, words{}); err != nil {
		t.Fatal(err)
	}
	store, _ := connect(t, url, words{})
	if got := states(t, versions(t, store, words{})); got != "1 active" {
		t.Error(got)
	}
}

func TestStreamsAreMadeAnew(t *testing.T) {
	store, sink := open(t, words{})
	v := versions(t, store, words{})
	s := session(t, sink)
	apply(t, s, batch(0, 5, ev("a", 1, "one"), ev("b", 1, "uno"), ev("c", 1, "un")))
	if _, err := store.Pool().Exec(t.Context(), `UPDATE words SET word = 'wrong' WHERE stream <> 'c'; INSERT INTO words VALUES ('extra', 1, 'x')`); err != nil {
		t.Fatal(err)
	}
	healer := s.(runner.Healer)
	if err := v.Heal(t.Context(), "order", 1, []event.StreamID{"a", "b", "extra"}); err != nil {
		t.Fatal(err)
	}
	all, err := v.Versions(t.Context())
	if err != nil || all[0].Healing != 3 {
		t.Errorf("%+v, %v", all, err)
	}
	if got, err := healer.ToHeal(t.Context(), 10); err != nil || len(got) != 0 {
		t.Errorf("marks of another partition: %v, %v", got, err)
	}
	b := batch(5, 5, ev("a", 1, "one"))
	b.Heal = []runner.Healing{{Stream: "a"}, {Stream: "b", Failed: "not \x00 to be read"}, {Stream: "extra"}}
	apply(t, s, b)
	if n := count(t, store, `SELECT count(*) FROM words WHERE (stream, word) IN (('a', 'one'), ('b', 'wrong'), ('c', 'un'))`); n != 3 {
		t.Errorf("%d rows are as they should be", n)
	}
	if n := count(t, store, `SELECT count(*) FROM words`); n != 3 {
		t.Errorf("%d rows", n)
	}
	left, err := v.Healing(t.Context())
	if err != nil || len(left) != 1 || left[0].Stream != "b" || left[0].Failed != "not \uFFFD to be read" {
		t.Errorf("marks that are left: %+v, %v", left, err)
	}
	if err := v.Heal(t.Context(), "order", 1, []event.StreamID{"c"}); err != nil {
		t.Fatal(err)
	}
	if left, err := v.Healing(t.Context()); err != nil || len(left) != 1 || left[0].Stream != "c" || left[0].Failed != "" {
		t.Errorf("what failed before was not forgotten: %+v, %v", left, err)
	}
	deadline, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	bad := batch(5, 5, ev("a", 1, "bad"))
	bad.Heal = []runner.Healing{{Stream: "a"}}
	var p *runner.Poison
	if err := s.Apply(deadline, bad); !errors.As(err, &p) || p.Stream != "a" {
		t.Errorf("an event that the tables refuse: %v", err)
	}
}
