-- +goose Up

-- One row an e-mail address that was ever claimed, by its HMAC. user_id is null where it is free.
CREATE TABLE claims (
    id           text COLLATE "C" PRIMARY KEY,
    version      bigint  NOT NULL,
    user_id      text COLLATE "C",
    confirmed    boolean NOT NULL,
    lapses_at    timestamptz
);
CREATE INDEX claims_user ON claims (user_id);
