package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cqrsflow/cqrsflow/consumers/rebuild"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
)

// Sink keeps one version of a read model up to date. It is safe for concurrent use.
type Sink struct {
	store   *Store
	model   ReadModel
	version int
}

var _ runner.Sink = (*Sink)(nil)

// Sink makes the sink of a version of a read model. Errors wrap event.ErrConfig.
func (s *Store) Sink(m ReadModel, version int) (*Sink, error) {
	if err := checkModel(m); err != nil {
		return nil, err
	}
	return &Sink{store: s, model: m, version: version}, nil
}

// Open takes over a partition: it reads the checkpoint. A version that was retired or dropped is
// event.ErrUnavailable: whoever runs it has yet to hear of that.
func (s *Sink) Open(ctx context.Context, p runner.Partition) (runner.Session, error) {
	session := &session{sink: s, p: p}
	var state string
	var topic *[16]byte
	var next, command *int64
	err := s.store.pool.QueryRow(ctx, `SELECT v.state, c.topic_id, c.next_offset, c.command_offset
		FROM cqrsflow.versions v LEFT JOIN cqrsflow.checkpoints c ON c.projection = v.projection AND c.version = v.version
			AND c.aggregate = $3 AND c.source = $4 AND c.partition = $5
		WHERE v.projection = $1 AND v.version = $2`, session.key()...).Scan(&state, &topic, &next, &command)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, fmt.Errorf("%w: there is no version %d of %s", event.ErrUnavailable, s.version, s.model.Name())
	case err != nil:
		return nil, s.failed(ctx, "read the checkpoint", err)
	case state == string(rebuild.Retired):
		return nil, fmt.Errorf("%w: version %d of %s is retired", event.ErrUnavailable, s.version, s.model.Name())
	}
	if session.found = topic != nil; session.found {
		session.checkpoint = runner.Checkpoint{TopicID: *topic, Next: *next, CommandOffset: *command}
	}
	return session, nil
}

// failed sorts an error into the categories that the runner knows.
func (s *Sink) failed(ctx context.Context, doing string, err error) error {
	if cause := ctx.Err(); cause != nil {
		return cause
	}
	if c := classify(err); c == unavailable || c == again {
		return fmt.Errorf("%w: PostgreSQL: %s: %w", event.ErrUnavailable, doing, err)
	}
	return fmt.Errorf("PostgreSQL: %s of %s: %w", doing, s.model.Name(), err)
}

// session is one owned partition.
type session struct {
	sink       *Sink
	p          runner.Partition
	checkpoint runner.Checkpoint
	found      bool
}

// key is the primary key of the partition's checkpoint.
func (s *session) key() []any {
	return []any{s.sink.model.Name(), s.sink.version, s.p.Aggregate, string(s.p.Source), s.p.Number}
}

// Checkpoint is where to go on.
func (s *session) Checkpoint() (runner.Checkpoint, bool) { return s.checkpoint, s.found }

// Close has nothing to give back: connections belong to transactions.
func (s *session) Close() error { return nil }

// Parked returns the partition's pointers, those of dropped events included.
func (s *session) Parked(ctx context.Context) ([]runner.Pointer, error) {
	rows, _ := s.sink.store.pool.Query(ctx, `
		SELECT stream, "offset", reason, attempts, parked_at, retry, false FROM cqrsflow.parked
		WHERE projection = $1 AND version = $2 AND aggregate = $3 AND source = $4 AND partition = $5
		UNION ALL
		SELECT stream, "offset", reason, attempts, dropped_at, false, true FROM cqrsflow.dropped
		WHERE projection = $1 AND version = $2 AND aggregate = $3 AND source = $4 AND partition = $5
		ORDER BY 2`, s.key()...)
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (runner.Pointer, error) {
		var p runner.Pointer
		err := row.Scan(&p.Stream, &p.Offset, &p.Reason, &p.Attempts, &p.ParkedAt, &p.Retry, &p.Dropped)
		return p, err
	})
	if err != nil {
		return nil, s.sink.failed(ctx, "read the parked events", err)
	}
	return out, nil
}

// collisions bounds how often a batch that collided with other transactions is run again before the
// runner hears of it.
const collisions = 10

// Apply commits the batch's changes, its pointers and the checkpoint in one transaction.
func (s *session) Apply(ctx context.Context, b *runner.Batch) error {
	for attempt := 0; ; attempt++ {
		err := s.transact(ctx, b)
		var p *runner.Poison
		switch {
		case err == nil:
			s.checkpoint, s.found = b.To, true
			s.sink.store.notify.moved(s.sink.model.Name())
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &p), errors.Is(err, event.ErrFenced), errors.Is(err, event.ErrCorrupt):
			return err
		case errors.Is(err, errHeld):
			if err := sleep(ctx, heldPause); err != nil {
				return err
			}
			attempt--
			continue
		}
		switch classify(err) {
		case again:
			if attempt < collisions {
				if err := sleep(ctx, rand.N(time.Duration(attempt+1)*5*time.Millisecond)); err != nil {
					return err
				}
				continue
			}
		case data:
			return s.blame(ctx, b, err)
		}
		return s.sink.failed(ctx, "apply a batch", err)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// transact runs the batch as one transaction. The checkpoint goes first: its row's lock makes another
// owner's batch wait, and fail whole as soon as it gets there.
func (s *session) transact(ctx context.Context, b *runner.Batch) error {
	return pgx.BeginFunc(ctx, s.sink.store.pool, func(tx pgx.Tx) error {
		if err := s.advance(ctx, tx, b); err != nil {
			return err
		}
		return s.change(ctx, tx, b)
	})
}

// change has the read model apply the batch, if there is anything in it for it.
func (s *session) change(ctx context.Context, tx pgx.Tx, b *runner.Batch) (err error) {
	if len(b.Events)+len(b.Outcomes)+len(b.Heal) == 0 {
		return nil
	}
	defer func() {
		if v := recover(); v != nil {
			s.sink.store.log.Error("the read model panicked", "projection", s.sink.model.Name(), "panic", v, "stack", string(debug.Stack()))
			err = &panicked{v}
		}
	}()
	if len(b.Heal) > 0 {
		if err := s.forgetHealed(ctx, tx, b.Heal); err != nil {
			return err
		}
	}
	return s.sink.model.Apply(ctx, tx, b)
}

// begin has the transaction read by keys, whatever the planner believes, and keeps the version from being
// switched from or dropped until it ends; false where that is going on. The plan of a prepared statement is
// kept by its connection: one made while a table was nearly empty would compare each of a batch's keys with
// every row, and go on doing so for a minute or more while the table fills.
const begin = `SELECT pg_try_advisory_xact_lock_shared(hashtext($1::text), $2::int), set_config('enable_seqscan', 'off', true)`

// errHeld ends a transaction whose version is being compared, for a switch, or dropped. It is tried again
// without waiting inside: connections that wait for the switch may be all that the new version needs.
var errHeld = errors.New("the version is held still")

// heldPause is how long a batch waits before it looks whether its version goes on.
const heldPause = 10 * time.Millisecond

// inside makes the version's schema the one where the read model's names are looked for. It comes last:
// PostgreSQL plans a statement anew where the path has changed since, and the sink's own have the same path
// in every version.
const inside = `SELECT set_config('search_path', $1::text, true)`

// live says that the version is there, and not retired.
const live = `EXISTS (SELECT FROM cqrsflow.versions v WHERE v.projection = $1 AND v.version = $2 AND v.state <> 'retired')`

// advance moves the checkpoint and the pointers, if they are still as the batch says.
func (s *session) advance(ctx context.Context, tx pgx.Tx, b *runner.Batch) error {
	var q pgx.Batch
	q.Queue(begin, s.sink.model.Name(), s.sink.version)
	key := s.key()
	if s.found {
		q.Queue(`UPDATE cqrsflow.checkpoints SET next_offset = $6, command_offset = $7, topic_id = $8, updated_at = now()
			WHERE projection = $1 AND version = $2 AND aggregate = $3 AND source = $4 AND partition = $5
			AND next_offset = $9 AND command_offset = $10 AND `+live,
			append(key, b.To.Next, b.To.CommandOffset, b.To.TopicID, b.From.Next, b.From.CommandOffset)...)
	} else {
		q.Queue(`INSERT INTO cqrsflow.checkpoints (projection, version, aggregate, source, partition, next_offset, command_offset, topic_id)
			SELECT $1, $2, $3, $4, $5, $6, $7, $8 WHERE `+live+` ON CONFLICT DO NOTHING`,
			append(key, b.To.Next, b.To.CommandOffset, b.To.TopicID)...)
	}
	if len(b.Unpark) > 0 {
		q.Queue(`WITH p AS (DELETE FROM cqrsflow.parked
				WHERE projection = $1 AND version = $2 AND aggregate = $3 AND source = $4 AND partition = $5 AND "offset" = ANY($6)
				RETURNING 1),
			d AS (DELETE FROM cqrsflow.dropped
				WHERE projection = $1 AND version = $2 AND aggregate = $3 AND source = $4 AND partition = $5 AND "offset" = ANY($6)
				RETURNING 1)
			SELECT 1 FROM p UNION ALL SELECT 1 FROM d`, append(s.key(), b.Unpark)...)
	}
	if len(b.Park) > 0 {
		queuePark(&q, s.key(), b.Park)
	}
	q.Queue(inside, SchemaOf(s.sink.model.Name(), s.sink.version))
	results := tx.SendBatch(ctx, &q)
	defer func() { _ = results.Close() }()
	if err := began(results.QueryRow()); err != nil {
		return err
	}
	tag, err := results.Exec()
	if err != nil {
		return err
	}
	if tag.RowsAffected() != 1 {
		return fmt.Errorf("%w: the checkpoint of %s in %s is no longer %d", event.ErrFenced, b.Partition, s.sink.model.Name(), b.From.Next)
	}
	if len(b.Unpark) > 0 {
		tag, err := results.Exec()
		if err != nil {
			return err
		}
		if tag.RowsAffected() != int64(len(b.Unpark)) {
			return fmt.Errorf("%w: of %d parked events of %s in %s, %d are left", event.ErrFenced, len(b.Unpark), b.Partition, s.sink.model.Name(), tag.RowsAffected())
		}
	}
	if len(b.Park) > 0 {
		if _, err := results.Exec(); err != nil {
			return err
		}
	}
	return results.Close()
}

// began reads what begin says.
func began(row pgx.Row) error {
	var ok bool
	var setting string
	switch err := row.Scan(&ok, &setting); {
	case err != nil:
		return err
	case !ok:
		return errHeld
	}
	return nil
}

func queuePark(q *pgx.Batch, key []any, pointers []runner.Pointer) {
	n := len(pointers)
	offsets, streams, reasons := make([]int64, n), make([]string, n), make([]string, n)
	attempts, retries, times := make([]int32, n), make([]bool, n), make([]time.Time, n)
	for i, p := range pointers {
		offsets[i], streams[i], reasons[i] = p.Offset, Text(string(p.Stream)), Text(p.Reason)
		attempts[i], retries[i], times[i] = int32(p.Attempts), p.Retry, p.ParkedAt
	}
	q.Queue(`INSERT INTO cqrsflow.parked (projection, version, aggregate, source, partition, "offset", stream, reason, attempts, retry, parked_at)
		SELECT $1, $2, $3, $4, $5, u.* FROM unnest($6::bigint[], $7::text[], $8::text[], $9::int[], $10::bool[], $11::timestamptz[]) AS u
		ON CONFLICT (projection, version, aggregate, source, partition, "offset") DO UPDATE SET
			reason = excluded.reason, attempts = excluded.attempts, retry = excluded.retry, parked_at = excluded.parked_at`,
		append(key, offsets, streams, reasons, attempts, retries, times)...)
}
