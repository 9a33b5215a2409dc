-- +goose Up

-- The versions of each projection: how its tables are made (shape) and what becomes of it.
CREATE TABLE versions (
    projection  text        NOT NULL,
    version     integer     NOT NULL,
    shape       integer     NOT NULL,
    state       text        NOT NULL CHECK (state IN ('building', 'active', 'retired')),
    began_at    timestamptz NOT NULL DEFAULT now(),
    switched_at timestamptz,
    PRIMARY KEY (projection, version)
);
CREATE UNIQUE INDEX versions_state ON versions (projection, state) WHERE state <> 'retired';

-- A number is given out once: what may still be at work on a version that was dropped must not meet its own.
ALTER TABLE projections ADD COLUMN last_version integer;
UPDATE projections SET last_version = active_version;
ALTER TABLE projections ALTER COLUMN last_version SET NOT NULL;
INSERT INTO versions (projection, version, shape, state, switched_at)
SELECT projection, active_version, active_version, 'active', now() FROM projections;

-- Streams that an operator marked: their partition's worker makes their rows anew. failed says why it could not.
CREATE TABLE healing (
    projection text    NOT NULL,
    version    integer NOT NULL,
    aggregate  text    NOT NULL,
    partition  integer NOT NULL,
    stream     text    NOT NULL,
    failed     text    NOT NULL DEFAULT '',
    PRIMARY KEY (projection, version, aggregate, stream)
);
