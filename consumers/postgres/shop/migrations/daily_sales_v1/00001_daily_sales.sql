-- +goose Up

-- What was paid on a day (UTC, effective time), kept by partition: a day's row that all partitions
-- share would make their transactions wait for each other.
CREATE TABLE partition_sales (
    day           date    NOT NULL,
    currency      text COLLATE "C" NOT NULL,
    partition     integer NOT NULL,
    orders        bigint  NOT NULL,
    units         bigint  NOT NULL,
    revenue_cents bigint  NOT NULL,
    PRIMARY KEY (day, currency, partition)
);

CREATE VIEW daily_sales AS
SELECT day, currency, sum(orders)::bigint AS orders, sum(units)::bigint AS units, sum(revenue_cents)::bigint AS revenue_cents
FROM partition_sales
GROUP BY day, currency;
