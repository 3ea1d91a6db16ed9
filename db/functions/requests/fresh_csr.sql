-- A certificate is not renewed for ever from one CSR: after a time that its customer sets, the
-- renewal waits for a CSR with a new key.

-- When a certificate is due for renewal where no worker with its configuration says so: with a
-- third of its lifetime left, half of a short one.
CREATE OR REPLACE FUNCTION csrq.renewal_rule(p_not_before timestamptz, p_not_after timestamptz)
RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT p_not_after - (p_not_after - p_not_before)
        / CASE WHEN p_not_after - p_not_before < interval '10 days' THEN 2 ELSE 3 END
$$;

-- When the key of a request that is issued now was first issued for: now, or when another request
-- for the same certificate was. Of one issued before csrq kept this: when it was inserted.
CREATE OR REPLACE FUNCTION csrq.key_first_used(p_request bigint) RETURNS timestamptz
LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (
        SELECT least(
                   CASE r.status WHEN 'issued' THEN r.created_at ELSE now() END,
                   (SELECT min(coalesce(s.key_since,
                                        CASE s.status WHEN 'issued' THEN s.created_at END))
                      FROM csrq.request s
                     WHERE s.customer = r.customer AND s.demand_sha256 = r.demand_sha256))
          FROM csrq.request r
         WHERE r.id = p_request);
END $$;

-- A renewal whose CSR is older than its customer allows (csrq.customer.fresh_csr_after) waits for a
-- new CSR, unless somebody asked for it by hand, or an incident is about its certificate. Returns
-- the sentence that says so; null: the renewal goes on.
CREATE OR REPLACE FUNCTION csrq.want_fresh_csr(p_request bigint) RETURNS text
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its record;
    sentence text;
    why jsonb;
BEGIN
    SELECT r.customer, coalesce(r.key_since, r.created_at) AS key_since, c.fresh_csr_after,
           j.worker_id, j.lease_number
      INTO its
      FROM csrq.request r
      JOIN csrq.job j ON j.request_id = r.id
      JOIN csrq.customer c ON c.name = r.customer
     WHERE r.id = p_request
       AND j.kind = 'renew'
       AND j.retried_at IS NULL
       AND coalesce(r.key_since, r.created_at) <= now() - c.fresh_csr_after
       AND NOT EXISTS (SELECT FROM csrq.incident_request k
                        WHERE k.request_id = r.id AND k.done_at IS NULL);
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;

    sentence := format(
        'its key has been in use since %s, longer than %s: make a new key, and insert its CSR with '
        'replaces_id %s (csrq.renew(%s) renews from the old CSR once more)',
        to_char(its.key_since AT TIME ZONE 'UTC', 'YYYY-MM-DD'), its.fresh_csr_after,
        p_request, p_request);
    why := jsonb_build_object('class', 'permanent', 'code', 'fresh_csr_wanted', 'detail', sentence);

    UPDATE csrq.job j
       SET status = 'parked', parked_because = 'failed', rescues = 0,
           worker_id = NULL, lease_number = NULL, lease_until = NULL
     WHERE j.request_id = p_request;
    UPDATE csrq.request r SET error = why WHERE r.id = p_request;
    INSERT INTO csrq.event (request_id, customer, what, worker_id, lease_number, detail)
    VALUES (p_request, its.customer, 'fresh_csr_wanted', its.worker_id, its.lease_number,
            jsonb_build_object('error', why, 'key_since', csrq.rfc3339(its.key_since)));
    RETURN sentence;
END $$;
