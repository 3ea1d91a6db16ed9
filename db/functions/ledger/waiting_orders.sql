-- Rows that were handed another row's order. A CA may hand out one order to several rows for the
-- same names. Those that have to wait are called one at a time: each has the names to itself for as
-- long as its order is open.

-- Puts a row off that was handed another one's order, until that is closed: waits, lost (the lease
-- was), locked (somebody has the row), or over (it is closed already: nothing was written).
CREATE OR REPLACE FUNCTION csrq.wait_for_order(
    p_worker bigint, p_request bigint, p_lease bigint, p_url text, p_error jsonb)
RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM csrq.acme_order o WHERE o.url = p_url AND o.closed_at IS NULL) THEN
        RETURN 'over';
    END IF;
    -- Whoever closes it from here on finds this row waiting. Who is at it already, an app that
    -- cancels perhaps, is not waited for: the row looks again by itself.
    PERFORM
       FROM csrq.acme_order o
      WHERE o.url = p_url AND o.closed_at IS NULL
        FOR SHARE SKIP LOCKED;
    RETURN CASE csrq.put_off(p_worker, p_request, p_lease, interval '2 minutes', p_error)
        WHEN true THEN 'waits'
        WHEN false THEN 'lost'
        ELSE 'locked' END;
END
$$;

-- An order is closed: of the rows for the same names that were handed it, too, the first goes on.
CREATE OR REPLACE FUNCTION csrq.call_next_for(p_order csrq.acme_order) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its_names CONSTANT bytea := (
        SELECT csrq.name_set_sha256(r.names) FROM csrq.request r WHERE r.id = p_order.request_id);
BEGIN
    -- One that is missed here looks again by itself within two minutes.
    UPDATE csrq.job
       SET run_at = now()
     WHERE request_id = (
        SELECT j.request_id
          FROM csrq.acme_order t
          JOIN csrq.request r ON r.id = t.request_id
          JOIN csrq.job j ON j.request_id = r.id
         WHERE t.account_id = p_order.account_id AND t.status = 'lost'
           AND t.names_sha256 IS NOT NULL AND t.names_sha256 = its_names
           AND r.error_code = 'order_taken'
           AND j.status = 'ready' AND j.run_at > now()
         ORDER BY t.id
         LIMIT 1
           FOR NO KEY UPDATE OF j SKIP LOCKED);
END
$$;

-- As csrq.call_next_for(), of the order that a worker has just closed for this request.
CREATE OR REPLACE FUNCTION csrq.call_next_after(p_request bigint) RETURNS void
LANGUAGE sql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT csrq.call_next_for(o)
      FROM csrq.acme_order o
     WHERE o.request_id = p_request AND o.url IS NOT NULL
     ORDER BY o.id DESC
     LIMIT 1
$$;

-- As csrq.call_next_for().
CREATE OR REPLACE FUNCTION csrq.call_next_for_order() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM csrq.call_next_for(NEW);
    RETURN NULL;
END
$$;
-- An order that ends without an error was cancelled, in a transaction of an app that may stay open
-- for long: it must not lock what others wait for.
CREATE OR REPLACE TRIGGER call_next_for_order
    AFTER UPDATE OF closed_at ON csrq.acme_order
    FOR EACH ROW
    WHEN (OLD.closed_at IS NULL AND NEW.closed_at IS NOT NULL AND NEW.url IS NOT NULL
          AND (NEW.status = 'valid' OR NEW.error IS NOT NULL))
    EXECUTE FUNCTION csrq.call_next_for_order();
