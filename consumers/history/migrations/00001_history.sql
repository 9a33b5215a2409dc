-- +goose Up

-- One row an event, as it stands in the log.
CREATE TABLE events (
    aggregate       text COLLATE "C" NOT NULL,
    stream          text COLLATE "C" NOT NULL,
    version         bigint      NOT NULL,
    type            text COLLATE "C" NOT NULL,
    time            timestamptz NOT NULL,
    recorded_time   timestamptz NOT NULL,
    content_type    text        NOT NULL,
    data            bytea       NOT NULL,
    causation_id    text,
    correlation_id  text,
    traceparent     text,
    principal       text,
    command_offset  bigint      NOT NULL,
    last_of_command boolean     NOT NULL,
    partition       integer     NOT NULL,
    event_offset    bigint      NOT NULL,
    PRIMARY KEY (aggregate, stream, version)
);
CREATE INDEX events_type_time ON events (aggregate, type, time);

-- One row an outcome. kind: 1 accepted, 2 rejected, 3 conflict, 4 denied, 5 invalid. fields is
-- [{"field", "message"}], events [{"type", "sequence"}]; both are null where there are none.
CREATE TABLE outcomes (
    aggregate      text COLLATE "C" NOT NULL,
    stream         text COLLATE "C" NOT NULL,
    command_id     text COLLATE "C" NOT NULL,
    kind           smallint    NOT NULL,
    code           text,
    message        text,
    fields         jsonb,
    version        bigint      NOT NULL,
    events         jsonb,
    position       text,
    replayed       boolean     NOT NULL,
    correlation_id text,
    principal      text,
    recorded_time  timestamptz NOT NULL,
    partition      integer     NOT NULL,
    command_offset bigint      NOT NULL,
    outcome_offset bigint      NOT NULL,
    digest         bytea,
    PRIMARY KEY (aggregate, partition, outcome_offset)
);
CREATE INDEX outcomes_command ON outcomes (aggregate, stream, command_id);
