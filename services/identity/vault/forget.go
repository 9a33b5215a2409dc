package vault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cqrsflow/cqrsflow/event"
)

// Receipt proves that a user was forgotten.
type Receipt struct {
	User string
	// At is when the key was deleted, by the database's clock.
	At time.Time
	// Again says that it had been deleted before; At is the first time.
	Again bool
	// HadKey says that there was a key, which this call deleted.
	HadKey bool
}

// Forget deletes a user's key for good: here at once, in every other process within TTL. Encrypt fails from then on, and
// Decrypt redacts. A user without a key gets none any more. It can be called again, and must be where
// it failed with event.ErrUnavailable. The database keeps what it overwrote until it is vacuumed, in its log and in backups for
// as long as these are kept: wrapped by a key-encryption key that is not there.
func (v *Vault) Forget(ctx context.Context, user string) (Receipt, error) {
	if err := event.CheckStreamID(user); err != nil {
		return Receipt{}, fmt.Errorf("forget a user: %w", err)
	}
	r := Receipt{User: user}
	err := pgx.BeginFunc(ctx, v.pool, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `INSERT INTO keys.user_keys (user_id, forgotten_at) VALUES ($1, clock_timestamp())
			ON CONFLICT (user_id) DO NOTHING RETURNING forgotten_at`, user).Scan(&r.At)
		if !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		var before *time.Time // there is a row, and there will be: only those of nobody are deleted
		if err := tx.QueryRow(ctx, `SELECT forgotten_at FROM keys.user_keys WHERE user_id = $1 FOR UPDATE`, user).Scan(&before); err != nil {
			return err
		}
		if before != nil {
			r.Again, r.At = true, *before
			return nil
		}
		r.HadKey = true
		return tx.QueryRow(ctx, `UPDATE keys.user_keys SET kek = NULL, wrapped = NULL, forgotten_at = clock_timestamp()
			WHERE user_id = $1 RETURNING forgotten_at`, user).Scan(&r.At)
	})
	if err != nil {
		return Receipt{}, failed(fmt.Sprintf("forget user %s", user), err)
	}
	v.cache.drop(user)
	r.At = r.At.UTC()
	return r, nil
}

// rewrapBatch is how many keys are wrapped anew in one round.
const rewrapBatch = 500

// Rewrap wraps all keys by the current key-encryption key that are wrapped by another one, and returns how many. It may run
// beside everything else, be stopped and run again; afterwards the older key-encryption keys can be removed.
func (v *Vault) Rewrap(ctx context.Context) (int, error) {
	current, _ := v.keks.Current()
	total, after := 0, ""
	for {
		rows, err := v.pool.Query(ctx, `SELECT user_id, kek, wrapped FROM keys.user_keys WHERE kek <> $1 AND user_id > $2 ORDER BY user_id LIMIT $3`, current, after, rewrapBatch)
		if err != nil {
			return total, failed("read keys to be wrapped anew", err)
		}
		type row struct {
			user, kek string
			wrapped   []byte
		}
		var batch []row
		for rows.Next() {
			var r row
			if err := rows.Scan(&r.user, &r.kek, &r.wrapped); err != nil {
				rows.Close()
				return total, failed("read keys to be wrapped anew", err)
			}
			batch = append(batch, r)
		}
		if err := rows.Err(); err != nil {
			return total, failed("read keys to be wrapped anew", err)
		}
		for _, r := range batch {
			key, err := v.unwrap(r.user, r.kek, r.wrapped)
			if err != nil {
				return total, fmt.Errorf("wrap the key of user %s anew: %w", r.user, err)
			}
			id, wrapped := v.wrap(r.user, key)
			// A user who was forgotten meanwhile has another kek: none.
			tag, err := v.pool.Exec(ctx, `UPDATE keys.user_keys SET kek = $1, wrapped = $2 WHERE user_id = $3 AND kek = $4`, id, wrapped, r.user, r.kek)
			if err != nil {
				return total, failed("store a key that was wrapped anew", err)
			}
			total += int(tag.RowsAffected())
			after = r.user
		}
		if len(batch) < rewrapBatch {
			return total, nil
		}
	}
}

// Discard deletes the key of an ID that never became a user's, and leaves nothing behind. Nothing may have been published that was
// encrypted with it: of a user, Forget keeps that there was one. Without a key there is nothing to do. Errors: event.ErrUnavailable;
// event.ErrInvalid for an ID that is none.
func (v *Vault) Discard(ctx context.Context, user string) error {
	if err := event.CheckStreamID(user); err != nil {
		return fmt.Errorf("discard a key: %w", err)
	}
	if _, err := v.pool.Exec(ctx, `DELETE FROM keys.user_keys WHERE user_id = $1 AND forgotten_at IS NULL`, user); err != nil {
		return failed(fmt.Sprintf("discard the key of %s", user), err)
	}
	v.cache.drop(user)
	return nil
}
