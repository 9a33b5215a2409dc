package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/cqrsflow/cqrsflow/consumers/rebuild"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/topology"
)

var _ runner.Healer = (*session)(nil)

// ToHeal implements runner.Healer.
func (s *session) ToHeal(ctx context.Context, limit int) ([]event.StreamID, error) {
	rows, _ := s.sink.store.pool.Query(ctx, `SELECT stream FROM cqrsflow.healing
		WHERE projection = $1 AND version = $2 AND aggregate = $3 AND partition = $4 AND failed = '' ORDER BY stream LIMIT $5`,
		s.sink.model.Name(), s.sink.version, s.p.Aggregate, s.p.Number, limit)
	out, err := pgx.CollectRows(rows, pgx.RowTo[event.StreamID])
	if err != nil {
		return nil, s.sink.failed(ctx, "read the marks of streams to be healed", err)
	}
	return out, nil
}

// forgetHealed removes what is stored of the streams that are to be made anew, and their marks.
func (s *session) forgetHealed(ctx context.Context, tx pgx.Tx, heal []runner.Healing) error {
	model, ok := s.sink.model.(Healable)
	if !ok {
		return fmt.Errorf("the read model %s cannot heal single streams", s.sink.model.Name())
	}
	var healed, failed, why []string
	for _, h := range heal {
		if h.Failed == "" {
			healed = append(healed, string(h.Stream))
			continue
		}
		failed, why = append(failed, string(h.Stream)), append(why, Text(h.Failed))
	}
	if _, err := tx.Exec(ctx, `DELETE FROM cqrsflow.healing WHERE projection = $1 AND version = $2 AND aggregate = $3 AND stream = ANY($4)`,
		s.sink.model.Name(), s.sink.version, s.p.Aggregate, healed); err != nil {
		return fmt.Errorf("remove the marks of healed streams: %w", err)
	}
	if _, err := tx.Exec(ctx, `UPDATE cqrsflow.healing h SET failed = u.why FROM unnest($4::text[], $5::text[]) AS u (stream, why)
		WHERE h.projection = $1 AND h.version = $2 AND h.aggregate = $3 AND h.stream = u.stream`,
		s.sink.model.Name(), s.sink.version, s.p.Aggregate, failed, why); err != nil {
		return fmt.Errorf("mark streams that cannot be healed: %w", err)
	}
	return model.Forget(ctx, tx, s.p.Aggregate, healed)
}

// Heal implements rebuild.Store.
func (v *Versions) Heal(ctx context.Context, aggregate string, partitions int32, streams []event.StreamID) error {
	if _, ok := v.model.(Healable); !ok {
		return fmt.Errorf("%w: %s cannot be healed stream by stream: its rows sum up several; `cqrsflow projection rebuild %s` puts them right",
			event.ErrInvalid, v.model.Name(), v.model.Name())
	}
	ids, numbers := make([]string, len(streams)), make([]int32, len(streams))
	for i, id := range streams {
		ids[i], numbers[i] = string(id), topology.PartitionOfStream(id, partitions)
	}
	err := pgx.BeginFunc(ctx, v.store.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM cqrsflow.healing WHERE projection = $1 AND failed <> ''`, v.model.Name()); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO cqrsflow.healing (projection, version, aggregate, partition, stream)
			SELECT p.projection, p.active_version, $2, u.partition, u.stream
			FROM cqrsflow.projections p, unnest($3::int[], $4::text[]) AS u (partition, stream) WHERE p.projection = $1
			ON CONFLICT DO NOTHING`, v.model.Name(), aggregate, numbers, ids)
		return err
	})
	if err != nil {
		return v.store.failed("mark streams to be healed", err)
	}
	return nil
}

// Healing implements rebuild.Store.
func (v *Versions) Healing(ctx context.Context) ([]rebuild.Healing, error) {
	rows, _ := v.store.pool.Query(ctx, `SELECT h.aggregate, h.stream, h.failed FROM cqrsflow.healing h
		JOIN cqrsflow.projections p ON p.projection = h.projection AND p.active_version = h.version
		WHERE h.projection = $1 ORDER BY h.aggregate, h.stream`, v.model.Name())
	out, err := pgx.CollectRows(rows, pgx.RowToStructByPos[rebuild.Healing])
	if err != nil {
		return nil, v.store.failed("list the streams to be healed", err)
	}
	return out, nil
}
