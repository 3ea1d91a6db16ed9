-- Which rows go to the fallback of their CA (cas.NAME.fallback_ca) for a while.

-- Whether an error of a request is its CA's doing, not its names' or csrq's own: no answer, 5xx, a
-- limit, an order that it does not finish with.
CREATE OR REPLACE FUNCTION csrq.is_trouble_of_ca(p_class text, p_code text) RETURNS boolean
LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- What a fallback refuses for good is transient: that is trouble of the fallback, whatever its
    -- code.
    RETURN coalesce(p_class IN ('transient', 'limited'), false)
       AND NOT EXISTS (SELECT FROM csrq.error_code e
                        WHERE e.code = p_code
                          AND e.class IN ('transient', 'limited')
                          AND NOT e.trouble_of_ca);
END $$;

-- What csrq.falls_back() goes by. due: when its renewal fell due; end_at: when its certificate is
-- needed at the latest; is_trouble: the error in its row is its CA's doing; is_news: something has
-- happened since its CA was chosen; has_order: it has an open order at the CA that was chosen.
CREATE OR REPLACE FUNCTION csrq.choice_of_ca(p_request bigint)
RETURNS TABLE (kind text, failures int, at_fallback boolean, ca_trouble_at timestamptz,
               due timestamptz, end_at timestamptz, is_trouble boolean, is_news boolean,
               has_order boolean)
LANGUAGE sql STABLE
AS $$
    SELECT j.kind,
           j.failures,
           j.at_fallback,
           j.ca_trouble_at,
           coalesce(r.renew_at, csrq.renewal_rule(r.not_before, r.not_after)),
           least(r.not_after,
                 (SELECT min(i.deadline)
                    FROM csrq.incident_request k
                    JOIN csrq.incident i ON i.id = k.incident_id
                   WHERE k.request_id = r.id AND k.done_at IS NULL),
                 (SELECT w.window_end
                    FROM csrq.renewal_info w
                   WHERE w.request_id = r.id AND w.window_end > r.renew_at)),
           csrq.is_trouble_of_ca(r.error_class, r.error_code),
           r.updated_at > coalesce(j.ca_chosen_at, '-infinity'),
           EXISTS (SELECT FROM csrq.acme_order o
                    WHERE o.request_id = r.id
                      AND o.closed_at IS NULL
                      AND o.created_at >= j.ca_chosen_at)
      FROM csrq.request r
      JOIN csrq.job j ON j.request_id = r.id
     WHERE r.id = p_request
$$;

-- Whether a row goes to the fallback of its CA this time: after three failures in a row or an hour
-- of waiting, for reasons of the CA; a renewal, when half of the time between its due date and the
-- end is over. By turns with its own CA.
CREATE OR REPLACE FUNCTION csrq.falls_back(p_request bigint) RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    most_failures CONSTANT int := 3;
    longest_wait CONSTANT interval := '1 hour';
    its record;
    since timestamptz;
    is_enough boolean;
    chosen boolean;
BEGIN
    SELECT * INTO its FROM csrq.choice_of_ca(p_request);

    -- A worker that stopped or died is no news of the CA: the row stays where it is. So does one
    -- whose order goes well.
    IF NOT its.is_news OR its.at_fallback AND its.has_order AND NOT its.is_trouble THEN
        RETURN its.at_fallback;
    END IF;

    since := CASE WHEN its.is_trouble THEN coalesce(its.ca_trouble_at, now()) END;
    is_enough := its.is_trouble
        AND CASE its.kind
            WHEN 'renew' THEN now() >= its.due + (its.end_at - its.due) / 2
            ELSE its.failures >= most_failures OR since <= now() - longest_wait END;
    -- If that one is no better, its own CA has its turn again.
    chosen := is_enough AND NOT its.at_fallback;

    UPDATE csrq.job j
       SET at_fallback = chosen,
           ca_trouble_at = since,
           ca_chosen_at = CASE WHEN chosen OR j.at_fallback THEN clock_timestamp() END
     WHERE j.request_id = p_request
       AND (j.at_fallback, j.ca_trouble_at) IS DISTINCT FROM (chosen, since);
    RETURN chosen;
END $$;
