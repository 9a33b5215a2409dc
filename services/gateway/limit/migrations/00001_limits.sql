-- +goose Up
-- What was taken of a key in a slot of time. Not logged: after a crash of the server all limits begin anew.
CREATE UNLOGGED TABLE taken (
    key     text        NOT NULL,
    slot    bigint      NOT NULL,
    n       integer     NOT NULL,
    expires timestamptz NOT NULL,
    PRIMARY KEY (key, slot)
);
CREATE INDEX taken_expires ON taken (expires);

-- lease gives back what was not used of a slot, and takes up to block tokens for the slot that is now, so that no window has more
-- than most. A window of slots slots touches one more. The clock is the server's.
-- +goose StatementBegin
CREATE FUNCTION lease(the_key text, most integer, width_ms bigint, slots integer, block integer, unused integer, unused_slot bigint)
RETURNS TABLE (tokens integer, valid_ms bigint, slot bigint, remaining integer, reset_ms bigint)
LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    now_ms bigint;
    cur    bigint;
    used   integer;
    oldest bigint;
    given  integer;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(the_key, 7));
    now_ms := (extract(epoch FROM clock_timestamp()) * 1000)::bigint;
    cur := now_ms / width_ms;
    IF unused > 0 THEN
        UPDATE taken t SET n = greatest(0, t.n - unused) WHERE t.key = the_key AND t.slot = unused_slot;
    END IF;
    DELETE FROM taken t WHERE t.key = the_key AND (t.slot < cur - slots OR t.n = 0);
    SELECT coalesce(sum(t.n), 0), min(t.slot) INTO used, oldest FROM taken t WHERE t.key = the_key;
    given := greatest(0, least(block, most - used));
    IF given > 0 THEN
        INSERT INTO taken AS t VALUES (the_key, cur, given, to_timestamp((cur + slots + 1) * width_ms / 1000.0))
        ON CONFLICT ON CONSTRAINT taken_pkey DO UPDATE SET n = t.n + excluded.n;
        oldest := coalesce(oldest, cur);
    END IF;
    RETURN QUERY SELECT given, (cur + 1) * width_ms - now_ms, cur, most - used - given,
        CASE WHEN oldest IS NULL THEN 0 ELSE (oldest + slots + 1) * width_ms - now_ms END;
END $$;
-- +goose StatementEnd

-- +goose Down
DROP FUNCTION lease;
DROP TABLE taken;
