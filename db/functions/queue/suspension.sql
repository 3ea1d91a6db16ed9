-- Rows of suspended customers: they are parked, and go on when the customer is resumed.

-- Parks a row that was given back while its customer is suspended, until csrq.resume().
CREATE OR REPLACE FUNCTION csrq.park_if_suspended(p_request bigint) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE csrq.job j
       SET status = 'parked', parked_because = 'suspended'
      FROM csrq.customer c
     WHERE j.request_id = p_request AND j.status = 'ready'
       AND c.name = j.customer AND c.status = 'suspended';
END
$$;

-- Parks rows that csrq.suspend() could not reach, and lets go on those that csrq.resume() could
-- not: rows that somebody had locked then, or inserted in a transaction that did not see it yet,
-- or that a worker has given back since. Returns how many.
CREATE OR REPLACE FUNCTION csrq.follow_suspensions() RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    parked bigint;
    resumed bigint;
BEGIN
    -- FOR SHARE OF c: so that no csrq.suspend() or csrq.resume() overlooks what is changed here.
    WITH pick AS MATERIALIZED (
        SELECT j.request_id
          FROM csrq.customer c
          JOIN csrq.job j ON j.customer = c.name
         WHERE c.status = 'suspended'
           AND j.status = 'ready'
         LIMIT 10000
           FOR NO KEY UPDATE OF j SKIP LOCKED FOR SHARE OF c SKIP LOCKED)
    UPDATE csrq.job j
       SET status = 'parked', parked_because = 'suspended'
      FROM pick
     WHERE j.request_id = pick.request_id;
    GET DIAGNOSTICS parked = ROW_COUNT;

    WITH pick AS MATERIALIZED (
        SELECT j.request_id
          FROM csrq.customer c
          JOIN csrq.job j ON j.customer = c.name
         WHERE c.resumed_at > now() - interval '7 days'  -- no transaction stays open for so long
           AND c.status = 'active'
           AND j.status = 'parked' AND j.parked_because = 'suspended'
         LIMIT 10000
           FOR NO KEY UPDATE OF j SKIP LOCKED FOR SHARE OF c SKIP LOCKED)
    UPDATE csrq.job j
       SET status = 'ready', parked_because = NULL
      FROM pick
     WHERE j.request_id = pick.request_id;
    GET DIAGNOSTICS resumed = ROW_COUNT;

    RETURN parked + resumed;
END
$$;
