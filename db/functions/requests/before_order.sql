-- What the database decides of a row whose CSR a worker has read, before anything is asked of a CA.

-- What csrq.before_order() goes by. is_new: the row has not been let through to its CA for this
-- certificate. may_share: it may get the chain of another row. begins_renewal: it is to be renewed,
-- and has no order yet. has_waited: it was put off for another row before. open_directory: where
-- its open order is.
CREATE OR REPLACE FUNCTION csrq.row_to_decide(p_request bigint, p_demand bytea)
RETURNS TABLE (customer text, is_new boolean, may_share boolean, begins_renewal boolean,
               has_waited boolean, open_directory text)
LANGUAGE sql STABLE
AS $$
    SELECT r.customer,
           r.demand_sha256 IS DISTINCT FROM p_demand
               OR r.error_code IS NOT DISTINCT FROM 'same_request_under_way',
           o.id IS NULL
               AND j.kind = 'issue'
               AND r.split_of IS NULL
               AND coalesce(r.reuse_chain, c.reuse_chain),
           o.id IS NULL AND j.kind = 'renew',
           r.error_code IS NOT DISTINCT FROM 'same_request_under_way',
           a.directory
      FROM csrq.request r
      JOIN csrq.job j ON j.request_id = r.id
      JOIN csrq.customer c ON c.name = r.customer
      LEFT JOIN csrq.acme_order o ON o.request_id = r.id AND o.closed_at IS NULL
      LEFT JOIN csrq.acme_account a ON a.id = o.account_id
     WHERE r.id = p_request
$$;

-- Whether this transaction may decide on rows for this certificate. False: another one does so now.
CREATE OR REPLACE FUNCTION csrq.may_go_first(p_customer text, p_demand bytea) RETURNS boolean
LANGUAGE plpgsql
AS $$
BEGIN
    RETURN pg_try_advisory_xact_lock(
        hashtextextended(p_customer || encode(p_demand, 'hex'), csrq.lock_seed()));
END $$;

-- Puts a row off while another one for the same certificate is under way (null: it is not known
-- which). Returns the sentence that says so.
CREATE OR REPLACE FUNCTION csrq.wait_for_other(p_worker bigint, p_request bigint, p_lease bigint,
    p_other bigint)
RETURNS text
LANGUAGE plpgsql
AS $$
DECLARE
    sentence CONSTANT text := format(
        '%s for the same names and key is under way: this one waits for its chain '
        '(csrq.retry starts it at once)',
        coalesce('request ' || p_other, 'another request'));
BEGIN
    PERFORM csrq.put_off(p_worker, p_request, p_lease, interval '1 minute', jsonb_build_object(
        'class', 'limited',
        'code', 'same_request_under_way',
        'detail', sentence,
        'other_request', p_other));
    RETURN sentence;
END $$;

-- Whether there are other rows of the customer for the same certificate, and so few that each may
-- look at all the others. Where hundreds are the same, the limits of the CA are the better guard.
CREATE OR REPLACE FUNCTION csrq.has_few_sharers(p_request bigint, p_customer text, p_demand bytea)
RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
DECLARE
    most CONSTANT int := 200;
BEGIN
    RETURN (
        SELECT count(*) BETWEEN 1 AND most
          FROM (SELECT FROM csrq.request s
                 WHERE s.customer = p_customer
                   AND s.demand_sha256 = p_demand
                   AND s.id <> p_request
                 LIMIT most + 1) others);
END $$;

-- A leased row looks for the chain of another one for the same certificate. The verdict is issued:
-- the row has got it; wait: the row was put off (detail says why); order: there is none to be had.
CREATE OR REPLACE FUNCTION csrq.share_chain(p_worker bigint, p_request bigint, p_lease bigint,
    p_is_new boolean, OUT verdict text, OUT detail text)
LANGUAGE plpgsql
AS $$
DECLARE
    takes_chain CONSTANT boolean := csrq.take_chain(p_request);
    other bigint;
BEGIN
    IF takes_chain THEN
        verdict := 'issued';
        RETURN;
    END IF;

    -- Null: somebody has the other row locked.
    IF takes_chain IS NOT NULL THEN
        IF p_is_new THEN
            other := csrq.other_under_way(p_request);
        END IF;
        IF other IS NULL THEN
            verdict := 'order';
            RETURN;
        END IF;
    END IF;

    verdict := 'wait';
    detail := csrq.wait_for_other(p_worker, p_request, p_lease, other);
END $$;

-- Writes down what a worker has read from the CSR (its names, and a digest of which certificate is
-- wanted), and says how the row goes on.
--
-- leased: false or null if the row is not the worker's any more (null: somebody has it locked);
-- then nothing was done. The verdict is order: the row goes to its CA (falls_back: to the fallback
-- of that CA; open_directory: where its open order is); issued: it has got the chain of another
-- row; wait: it was put off while another row for the same certificate is under way;
-- fresh_csr_wanted: it was parked; not_granted: the worker is to fail it. detail: the sentence that
-- says why.
CREATE OR REPLACE FUNCTION csrq.before_order(p_worker bigint, p_request bigint, p_lease bigint,
    p_names text[], p_demand bytea, p_may_fall_back boolean, OUT leased boolean, OUT verdict text,
    OUT detail text, OUT falls_back boolean, OUT open_directory text)
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its record;
BEGIN
    verdict := 'order';
    leased := csrq.still_leased(p_worker, p_request, p_lease);
    IF leased IS NOT TRUE THEN
        RETURN;
    END IF;
    SELECT * INTO its FROM csrq.row_to_decide(p_request, p_demand);

    detail := csrq.why_not_granted(p_request, p_names);
    IF detail IS NOT NULL THEN
        UPDATE csrq.request r SET names = p_names WHERE r.id = p_request AND r.names <> p_names;
        verdict := 'not_granted';
        RETURN;
    END IF;

    -- Of several that come at once, one after the other: who has waited once waits no more.
    IF its.may_share AND its.is_new
       AND NOT csrq.may_go_first(its.customer, p_demand) AND NOT its.has_waited THEN
        detail := csrq.wait_for_other(p_worker, p_request, p_lease, NULL);
        verdict := 'wait';
        RETURN;
    END IF;

    UPDATE csrq.request r SET names = p_names, demand_sha256 = p_demand
     WHERE r.id = p_request AND (r.names, r.demand_sha256) IS DISTINCT FROM (p_names, p_demand);

    IF its.begins_renewal THEN
        detail := csrq.want_fresh_csr(p_request);
        verdict := CASE WHEN detail IS NULL THEN 'order' ELSE 'fresh_csr_wanted' END;
    ELSIF its.may_share AND csrq.has_few_sharers(p_request, its.customer, p_demand) THEN
        SELECT * INTO verdict, detail
          FROM csrq.share_chain(p_worker, p_request, p_lease, its.is_new);
    END IF;

    IF verdict = 'order' THEN
        open_directory := its.open_directory;
        falls_back := p_may_fall_back AND csrq.falls_back(p_request);
    END IF;
END $$;
