-- +goose Up

-- One row an order. Ids compare bytewise: that is cheap, and cursors need no locale.
CREATE TABLE orders (
    id            text COLLATE "C" PRIMARY KEY,
    version       bigint      NOT NULL,
    status        text COLLATE "C" NOT NULL,
    customer      text COLLATE "C" NOT NULL,
    total_cents   bigint      NOT NULL,
    currency      text COLLATE "C" NOT NULL,
    units         bigint      NOT NULL,
    notes         jsonb       NOT NULL,
    placed_at     timestamptz NOT NULL,
    paid_at       timestamptz,
    shipped_at    timestamptz,
    delivered_at  timestamptz,
    cancelled_at  timestamptz,
    cancel_reason text        NOT NULL,
    updated_at    timestamptz NOT NULL
);
CREATE INDEX orders_placed_at ON orders (placed_at, id);
CREATE INDEX orders_total ON orders (total_cents, id);
CREATE INDEX orders_customer ON orders (customer, placed_at, id);
CREATE INDEX orders_status ON orders (status, placed_at, id);

-- The lines of the orders, in the order in which they were added.
CREATE TABLE order_lines (
    order_id    text COLLATE "C" NOT NULL,
    position    integer NOT NULL,
    sku         text    NOT NULL,
    name        text    NOT NULL,
    quantity    integer NOT NULL,
    total_cents bigint  NOT NULL,
    PRIMARY KEY (order_id, position)
);
