-- +goose Up

-- One row a customer who bought something. spent_cents is in the currency of the first purchase,
-- spent_other what was spent in others: [{"currency", "cents"}].
CREATE TABLE customers (
    id             text COLLATE "C" PRIMARY KEY,
    version        bigint  NOT NULL,
    orders         bigint  NOT NULL,
    units          bigint  NOT NULL,
    spent_cents    bigint  NOT NULL,
    currency       text COLLATE "C" NOT NULL,
    spent_other    jsonb   NOT NULL,
    first_purchase date    NOT NULL,
    last_purchase  date    NOT NULL
);
CREATE INDEX customers_spent ON customers (spent_cents, id);
