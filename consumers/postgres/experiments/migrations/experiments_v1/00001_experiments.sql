-- +goose Up

-- One row an experiment: its state, as it is folded on (state), and as readers get it (document).
CREATE TABLE experiments (
    id         text COLLATE "C" PRIMARY KEY,
    version    bigint      NOT NULL,
    state      bytea       NOT NULL,
    document   json        NOT NULL,
    status     text COLLATE "C" NOT NULL,
    defined_at timestamptz NOT NULL -- the first plan
);
CREATE INDEX experiments_defined ON experiments (defined_at, id);

-- One row a plan that has been started: the state as of its last event.
CREATE TABLE experiment_plans (
    experiment text COLLATE "C" NOT NULL,
    plan       integer     NOT NULL,
    document   json        NOT NULL,
    PRIMARY KEY (experiment, plan)
);

-- Which variants units were seen in. Kept by partition, so that no two transactions wait for each other.
CREATE TABLE experiment_units (
    experiment text COLLATE "C" NOT NULL,
    plan       integer     NOT NULL,
    unit       text COLLATE "C" NOT NULL,
    variant    text COLLATE "C" NOT NULL,
    aggregate  text COLLATE "C" NOT NULL,
    partition  integer     NOT NULL,
    events     bigint      NOT NULL,
    first_seen timestamptz NOT NULL,
    last_seen  timestamptz NOT NULL,
    PRIMARY KEY (experiment, plan, unit, variant, aggregate, partition)
);

-- Sums of what was measured of a unit, by where: source is an event's type and field a number in it, or empty for how many
-- events; or source is posted, posted.per, before or before.per, and field the metric.
CREATE TABLE experiment_measures (
    experiment text COLLATE "C" NOT NULL,
    plan       integer NOT NULL,
    source     text COLLATE "C" NOT NULL,
    field      text COLLATE "C" NOT NULL,
    unit       text COLLATE "C" NOT NULL,
    aggregate  text COLLATE "C" NOT NULL,
    partition  integer NOT NULL,
    total      numeric NOT NULL,
    PRIMARY KEY (experiment, plan, source, field, unit, aggregate, partition)
);
