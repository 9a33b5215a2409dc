-- +goose Up

-- How far each projection has processed each partition. next_offset is the offset to read next;
-- command_offset that of the last command whose last event is applied, -1 before the first.
CREATE TABLE checkpoints (
    projection     text        NOT NULL,
    version        integer     NOT NULL,
    aggregate      text        NOT NULL,
    source         text        NOT NULL,
    partition      integer     NOT NULL,
    topic_id       uuid        NOT NULL,
    next_offset    bigint      NOT NULL,
    command_offset bigint      NOT NULL,
    updated_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (projection, version, aggregate, source, partition)
) WITH (fillfactor = 50);

-- Pointers to events that were set aside, in order, with everything after them of the same stream.
CREATE TABLE parked (
    projection text        NOT NULL,
    version    integer     NOT NULL,
    aggregate  text        NOT NULL,
    source     text        NOT NULL,
    partition  integer     NOT NULL,
    "offset"   bigint      NOT NULL,
    stream     text        NOT NULL,
    reason     text        NOT NULL,
    attempts   integer     NOT NULL,
    retry      boolean     NOT NULL DEFAULT false,
    parked_at  timestamptz NOT NULL,
    PRIMARY KEY (projection, version, aggregate, source, partition, "offset")
);
CREATE INDEX parked_stream ON parked (projection, aggregate, stream);

-- Events that an operator gave up: each permits its stream one gap, and goes when that is passed.
CREATE TABLE dropped (
    projection text        NOT NULL,
    version    integer     NOT NULL,
    aggregate  text        NOT NULL,
    source     text        NOT NULL,
    partition  integer     NOT NULL,
    "offset"   bigint      NOT NULL,
    stream     text        NOT NULL,
    reason     text        NOT NULL,
    attempts   integer     NOT NULL,
    dropped_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (projection, version, aggregate, source, partition, "offset")
);

-- Which version of each projection the views in the schema public show.
CREATE TABLE projections (
    projection     text    PRIMARY KEY,
    active_version integer NOT NULL
);
