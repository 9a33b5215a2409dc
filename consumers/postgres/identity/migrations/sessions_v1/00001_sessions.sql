-- +goose Up

-- One row a session. device_label is a ciphertext; it goes when the session is revoked.
CREATE TABLE sessions (
    id               text COLLATE "C" PRIMARY KEY,
    version          bigint      NOT NULL,
    user_id          text COLLATE "C" NOT NULL,
    methods          text[]      NOT NULL,
    authenticated_at timestamptz NOT NULL,
    started_at       timestamptz NOT NULL,
    seen_at          timestamptz NOT NULL,
    expires_at       timestamptz NOT NULL,
    idle_expires_at  timestamptz NOT NULL,
    idle_seconds     bigint      NOT NULL,
    device_label     bytea,
    revoked_at       timestamptz,
    reason           text COLLATE "C" NOT NULL
);
CREATE INDEX sessions_user ON sessions (user_id, started_at) WHERE revoked_at IS NULL;
