-- A row given back while its customer is suspended waits for csrq.resume().
CREATE OR REPLACE FUNCTION csrq.park_if_suspended(p_request bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE csrq.job j SET status = 'parked', parked_because = 'suspended'
      FROM csrq.customer c WHERE j.request_id = p_request AND j.status = 'ready' AND c.name = j.customer AND c.status = 'suspended';
END $$;

-- As csrq.park_if_suspended(), for every row of a suspended customer that is in the queue:
-- inserted by a transaction that csrq.suspend() did not see, locked by somebody then, or given
-- back since. Returns how many.
CREATE OR REPLACE FUNCTION csrq.park_suspended() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    parked bigint;
BEGIN
    -- FOR SHARE OF c: so that no csrq.resume() overlooks what is parked here.
    WITH pick AS MATERIALIZED (
        SELECT j.request_id FROM csrq.customer c JOIN csrq.job j ON j.customer = c.name
         WHERE c.status = 'suspended' AND j.status = 'ready'
         LIMIT 10000 FOR NO KEY UPDATE OF j SKIP LOCKED FOR SHARE OF c SKIP LOCKED)
    UPDATE csrq.job j SET status = 'parked', parked_because = 'suspended'
      FROM pick WHERE j.request_id = pick.request_id;
    GET DIAGNOSTICS parked = ROW_COUNT;
    RETURN parked;
END $$;

-- What csrq.resume() could not reach goes on: rows that somebody had locked then, or inserted in
-- a transaction that saw the customer suspended. Returns how many.
CREATE OR REPLACE FUNCTION csrq.unpark_resumed() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    unparked bigint;
BEGIN
    WITH pick AS MATERIALIZED (
        SELECT j.request_id FROM csrq.customer c JOIN csrq.job j ON j.customer = c.name
         -- No transaction stays open for so long.
         WHERE c.resumed_at > now() - interval '7 days' AND c.status = 'active'
           AND j.status = 'parked' AND j.parked_because = 'suspended'
         LIMIT 10000 FOR NO KEY UPDATE OF j SKIP LOCKED FOR SHARE OF c SKIP LOCKED)
    UPDATE csrq.job j SET status = 'ready', parked_because = NULL
      FROM pick WHERE j.request_id = pick.request_id;
    GET DIAGNOSTICS unparked = ROW_COUNT;
    RETURN unparked;
END $$;
