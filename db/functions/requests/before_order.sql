-- Writes down what a worker has read from the CSR (names, and what certificate is wanted), and
-- says how the row goes on: order (falls_back: at the fallback of its CA; open_directory: where
-- it has an open order); issued (it has got another row's chain); wait (put off while another row
-- for the same certificate is under way); fresh_csr_wanted (parked); not_granted (for the worker
-- to fail). Not leased: the lease was lost.
CREATE OR REPLACE FUNCTION csrq.before_order(p_worker bigint, p_request bigint, p_lease bigint, p_names text[], p_demand bytea,
    p_may_fall_back boolean)
RETURNS TABLE (leased boolean, verdict text, detail text, falls_back boolean, open_directory text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its record;
    other bigint;
    takes_chain boolean;
BEGIN
    leased := csrq.still_leased(p_worker, p_request, p_lease);
    verdict := 'order';
    IF leased IS NOT TRUE THEN
        RETURN NEXT;
        RETURN;
    END IF;
    SELECT r.demand_sha256 IS DISTINCT FROM p_demand OR r.error_code IS NOT DISTINCT FROM 'same_request_under_way' AS is_new,
           j.kind = 'issue' AND r.split_of IS NULL AND coalesce(r.reuse_chain, c.reuse_chain) AS may_share, j.kind = 'renew' AS is_renewal, r.customer,
           o.id IS NOT NULL AS has_order, a.directory
      INTO its
      FROM csrq.request r JOIN csrq.job j ON j.request_id = r.id JOIN csrq.customer c ON c.name = r.customer
      LEFT JOIN csrq.acme_order o ON o.request_id = r.id AND o.closed_at IS NULL LEFT JOIN csrq.acme_account a ON a.id = o.account_id
     WHERE r.id = p_request;
    detail := csrq.why_not_granted(p_request, p_names);
    IF detail IS NOT NULL THEN
        UPDATE csrq.request r SET names = p_names WHERE r.id = p_request AND r.names <> p_names;
        verdict := 'not_granted';
        RETURN NEXT;
        RETURN;
    END IF;
    -- Of several that come at once, one after the other; whoever keeps the lock keeps nobody for longer than one wait.
    IF its.is_new AND its.may_share AND NOT its.has_order
       AND NOT csrq.may_go_first(its.customer, p_demand)
       AND NOT EXISTS (SELECT FROM csrq.request r WHERE r.id = p_request AND r.error_code = 'same_request_under_way') THEN
        detail := csrq.wait_for_other(p_worker, p_request, p_lease, NULL);
        verdict := 'wait';
        RETURN NEXT;
        RETURN;
    END IF;
    UPDATE csrq.request r SET names = p_names, demand_sha256 = p_demand
     WHERE r.id = p_request AND (r.names <> p_names OR r.demand_sha256 IS DISTINCT FROM p_demand);
    IF its.is_renewal AND NOT its.has_order THEN
        detail := csrq.want_fresh_csr(p_request);
        IF detail IS NOT NULL THEN
            verdict := 'fresh_csr_wanted';
        END IF;
    -- This first, since every row asks, and hardly any finds another one. Where hundreds are the same, the CA's limits are the
    -- better guard: each would look at all the others.
    ELSIF its.may_share AND NOT its.has_order
          AND (SELECT count(*) FROM (SELECT FROM csrq.request s WHERE s.customer = its.customer AND s.demand_sha256 = p_demand AND s.id <> p_request
                                      LIMIT 201) others) BETWEEN 1 AND 200 THEN
        takes_chain := csrq.take_chain(p_request);
        IF takes_chain THEN
            verdict := 'issued';
        ELSIF takes_chain IS NULL THEN
            detail := csrq.wait_for_other(p_worker, p_request, p_lease, NULL);
            verdict := 'wait';
        ELSIF its.is_new THEN
            other := csrq.other_under_way(p_request);
            IF other IS NOT NULL THEN
                detail := csrq.wait_for_other(p_worker, p_request, p_lease, other);
                verdict := 'wait';
            END IF;
        END IF;
    END IF;
    IF verdict = 'order' THEN
        open_directory := its.directory;
        falls_back := p_may_fall_back AND csrq.falls_back(p_request);
    END IF;
    RETURN NEXT;
END $$;
