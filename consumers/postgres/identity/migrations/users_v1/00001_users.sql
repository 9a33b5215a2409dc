-- +goose Up

-- One row a user. email and name are ciphertexts, which only a service with the user's key can read.
CREATE TABLE users (
    id            text COLLATE "C" PRIMARY KEY,
    version       bigint      NOT NULL,
    status        text COLLATE "C" NOT NULL,
    reason        text COLLATE "C" NOT NULL,
    roles         text[]      NOT NULL,
    email         bytea,
    name          bytea,
    email_claim   text COLLATE "C",
    totp          boolean     NOT NULL,
    registered_at timestamptz NOT NULL,
    confirmed_at  timestamptz,
    last_login_at timestamptz,
    erased_at     timestamptz
);
CREATE INDEX users_registered ON users (registered_at, id);
