-- +goose Up

-- One row a user: the user's key, wrapped by the key-encryption key kek. A user who was forgotten keeps a row without a key,
-- so that none is made again.
CREATE TABLE user_keys (
    user_id      text        PRIMARY KEY,
    kek          text,
    wrapped      bytea,
    created_at   timestamptz NOT NULL DEFAULT now(),
    forgotten_at timestamptz,
    CHECK ((wrapped IS NULL) = (forgotten_at IS NOT NULL)),
    CHECK ((wrapped IS NULL) = (kek IS NULL))
);
CREATE INDEX user_keys_kek ON user_keys (kek);
