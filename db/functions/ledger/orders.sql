-- The open order of a request, or the written intent of a new one (fresh: of this call; one of an
-- earlier call without a URL may exist at the CA, a fresh one with a URL is adopted; charged: the
-- CA has limits). Not leased: the lease was lost. A wait: the CA asked for it, or csrq waits by
-- itself, be it for a limit of the CA (wait_code: csrq.error_code).
CREATE OR REPLACE FUNCTION csrq.open_order(p_worker bigint, p_request bigint, p_lease bigint, p_account bigint, p_names text[], p_domains text[], p_most_in_flight int)
RETURNS TABLE (leased boolean, order_id bigint, url text, fresh boolean, charged boolean, wait_seconds double precision, wait_code text, wait_error jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    found_order csrq.acme_order;
    is_fresh boolean := false;
    limited record;
    its_holds csrq.rate_hold[];
    is_leased CONSTANT boolean := csrq.still_leased(p_worker, p_request, p_lease);
BEGIN
    IF is_leased IS NOT TRUE THEN
        RETURN QUERY SELECT is_leased, NULL::bigint, NULL::text, false, false, NULL::double precision, NULL::text, NULL::jsonb;
        RETURN;
    END IF;
    UPDATE csrq.request SET names = p_names WHERE id = p_request AND names <> p_names;
    SELECT * INTO found_order FROM csrq.acme_order o WHERE o.request_id = p_request AND o.closed_at IS NULL;
    IF found_order.id IS NOT NULL AND found_order.account_id <> p_account THEN
        PERFORM csrq.close_orders(p_request);
        found_order := NULL;
    END IF;
    IF found_order.id IS NULL THEN
        IF EXISTS (SELECT FROM csrq.request r JOIN csrq.customer c ON c.name = r.customer
                    WHERE r.id = p_request AND c.status = 'suspended') THEN
            RETURN QUERY SELECT true, NULL::bigint, NULL::text, false, false, 60::double precision,
                'suspended', jsonb_build_object('detail', 'the customer is suspended; csrq.resume() lets its rows go on');
            RETURN;
        END IF;
        RETURN QUERY SELECT w.seconds IS NOT NULL, NULL::bigint, NULL::text, false, false, w.seconds, w.code, w.error
          FROM (SELECT * FROM csrq.split_wait(p_request) UNION ALL SELECT * FROM csrq.recent_failure(p_request, p_account, p_names)) w LIMIT 1;
        IF FOUND THEN
            RETURN;
        END IF;
        found_order := csrq.adopt_order(p_worker, p_request, p_lease, p_account, p_names);
        is_fresh := found_order.id IS NOT NULL;
        IF is_fresh THEN
            PERFORM csrq.charge_adopted(found_order.id, p_account, p_names, p_domains);
        END IF;
    END IF;
    IF found_order.id IS NULL OR found_order.url IS NULL THEN
        -- Only a new order is held back; one that the CA has accepted goes on.
        its_holds := array(
            SELECT h FROM csrq.holds_of_order(p_request, p_account, p_names, p_domains) h);
        SELECT * INTO limited FROM csrq.longest_hold(p_request, p_account, p_names, its_holds);
        IF FOUND THEN
            RETURN QUERY SELECT true, NULL::bigint, NULL::text, false, false, extract(epoch FROM limited.until - now())::double precision, limited.code, limited.error;
            RETURN;
        END IF;
    END IF;
    IF found_order.id IS NULL THEN
        -- The janitor, which locks the account against this, leaves alone what this order may be handed; what it has begun already is over soon.
        PERFORM FROM csrq.acme_account a WHERE a.id = p_account FOR KEY SHARE;
        IF EXISTS (SELECT FROM csrq.acme_authorization a
                    WHERE a.account_id = p_account AND a.status IN ('pending', 'valid') AND a.deactivation_error IS NULL
                      AND a.deactivation_at > now() - interval '3 minutes'
                      AND (a.identifier IS NULL OR p_names && ARRAY[a.identifier, '*.' || a.identifier])) THEN
            RETURN QUERY SELECT true, NULL::bigint, NULL::text, false, false, 2::double precision,
                'on_hold', jsonb_build_object('detail', 'an authorization for one of the names is being deactivated at this moment');
            RETURN;
        END IF;
        IF NOT csrq.has_room(p_account, p_most_in_flight) THEN
            -- Claims see to it that hardly any come too many, but for those whose accounts they do not know yet.
            RETURN QUERY SELECT true, NULL::bigint, NULL::text, false, false,
                CASE a.policy WHEN 'per_registered_domain' THEN 60 + 240 * random() ELSE 2 + 3 * random() END,
                'account_busy', jsonb_build_object('detail', format('%s orders are in flight under this account, as many as the workers allow (accounts.in_flight)', p_most_in_flight))
                FROM csrq.acme_account a WHERE a.id = p_account;
            RETURN;
        END IF;
    END IF;
    IF found_order.url IS NULL AND NOT csrq.sets_out(p_request, p_account, its_holds) THEN
        RETURN QUERY SELECT true, NULL::bigint, NULL::text, false, false,
            extract(epoch FROM csrq.wait_for_first())::double precision,
            'on_hold', jsonb_build_object('detail', 'the CA had asked to wait; another order goes first, to see '
                                         'whether it accepts again');
        RETURN;
    END IF;
    IF found_order.id IS NULL THEN
        SELECT * INTO limited FROM csrq.charge_order(p_request, p_account, p_names, p_domains);
        IF limited.until IS NOT NULL THEN
            PERFORM csrq.first_is_answered(p_request, p_account, false);
            RETURN QUERY SELECT true, NULL::bigint, NULL::text, false, false, extract(epoch FROM limited.until - now())::double precision, limited.code, limited.error;
            RETURN;
        END IF;
        is_fresh := true;
        INSERT INTO csrq.acme_order (request_id, account_id, customer, worker_id, lease_number, charged)
            SELECT r.id, p_account, r.customer, p_worker, p_lease, limited.charged FROM csrq.request r WHERE r.id = p_request
            RETURNING * INTO found_order;
    END IF;
    UPDATE csrq.request r SET error = NULL
     WHERE r.id = p_request
       AND csrq.only_waits((SELECT e.is_wait FROM csrq.error_code e WHERE e.code = r.error_code),
                           r.waits_for_account, r.error);
    IF FOUND THEN
        INSERT INTO csrq.event (request_id, customer, what, worker_id, lease_number, detail)
            SELECT j.request_id, j.customer, 'claimed', p_worker, p_lease, jsonb_build_object('attempt', j.attempt, 'kind', j.kind)
              FROM csrq.job j WHERE j.request_id = p_request;
    END IF;
    RETURN QUERY SELECT true, found_order.id, found_order.url, is_fresh, found_order.charged <> '{}', NULL::double precision, NULL::text, NULL::jsonb;
END $$;

-- How long ago the CA was asked to go on with an order: to look at its challenges, or, once that
-- was sent, to finalize it. anew: csrq.retry() wants that asked once more.
CREATE OR REPLACE FUNCTION csrq.asked(p_order bigint) RETURNS TABLE (seconds double precision, anew boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY
    SELECT extract(epoch FROM now() - greatest(w.at, CASE WHEN o.finalize_at IS NULL THEN j.retried_at END))::double precision,
           coalesce(CASE WHEN o.finalize_at IS NULL THEN j.retried_at ELSE o.retried_at END > w.at, false)
      FROM csrq.acme_order o JOIN csrq.job j ON j.request_id = o.request_id
     CROSS JOIN LATERAL (
           SELECT coalesce(o.finalize_at, greatest(o.created_at, max(c.presented_at))) AS at
             FROM csrq.acme_order_authorization oa JOIN csrq.acme_challenge c ON c.authorization_id = oa.authorization_id
            WHERE oa.order_id = o.id) w
     WHERE o.id = p_order;
END $$;

-- Where to write down an order that the CA made for a lease that is lost: it answers the intent,
-- which whoever has the row now goes on with; if something else has answered that, an order that
-- is closed. Null: it is known.
CREATE OR REPLACE FUNCTION csrq.order_of_lost_lease(p_worker bigint, p_lease bigint, p_order bigint, p_url text)
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its_order bigint;
BEGIN
    IF EXISTS (SELECT FROM csrq.acme_order o WHERE o.url = p_url) THEN
        RETURN NULL;
    END IF;
    SELECT o.id INTO its_order FROM csrq.acme_order o
     WHERE o.id = p_order AND o.closed_at IS NULL AND o.url IS NULL FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        INSERT INTO csrq.acme_order (request_id, account_id, customer, worker_id, lease_number, closed_at)
            SELECT o.request_id, o.account_id, o.customer, p_worker, p_lease, now()
              FROM csrq.acme_order o WHERE o.id = p_order RETURNING id INTO its_order;
    END IF;
    RETURN its_order;
END $$;

-- An intent is answered by another order than the one that it has, which a worker wrote down that
-- had lost its lease: that one is kept, closed.
CREATE OR REPLACE FUNCTION csrq.set_answer_aside(p_order bigint, p_url text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    aside bigint;
BEGIN
    INSERT INTO csrq.acme_order (request_id, account_id, customer, worker_id, lease_number, status, url,
                                 finalize_url, expires_at, closed_at)
        SELECT o.request_id, o.account_id, o.customer, o.worker_id, o.lease_number, o.status, o.url,
               o.finalize_url, o.expires_at, now()
          FROM csrq.acme_order o WHERE o.id = p_order AND o.url <> p_url RETURNING id INTO aside;
    UPDATE csrq.acme_order_authorization SET order_id = aside WHERE aside IS NOT NULL AND order_id = p_order;
END $$;

-- Writes down what newOrder answered, authorizations included: recorded, locked (somebody else
-- has the row locked: nothing was written), lost (the lease was; the order is written down all
-- the same), or taken (the CA handed out an order that another request is working on, or has
-- finalized for its own key).
CREATE OR REPLACE FUNCTION csrq.record_order(p_worker bigint, p_request bigint, p_lease bigint, p_order bigint, p_status text,
    p_url text, p_finalize_url text, p_certificate_url text, p_expires_at timestamptz, p_authorizations text[]) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    is_leased boolean := csrq.still_leased(p_worker, p_request, p_lease);
    this_order csrq.acme_order;
BEGIN
    IF is_leased IS NULL THEN
        -- The CA has accepted it; who waits to hear that need not wait for whoever has the row locked.
        PERFORM csrq.first_is_answered(o.request_id, o.account_id, true) FROM csrq.acme_order o WHERE o.id = p_order;
        RETURN 'locked';
    END IF;
    IF NOT is_leased THEN
        p_order := csrq.order_of_lost_lease(p_worker, p_lease, p_order, p_url);
        IF p_order IS NULL THEN
            RETURN 'lost';
        END IF;
    ELSIF EXISTS (SELECT FROM csrq.acme_order o WHERE o.url = p_url AND o.id <> p_order
                     AND (o.closed_at IS NULL
                          -- Its certificate is, or will be, for another row's key.
                          OR o.finalize_at IS NOT NULL AND o.request_id <> p_request
                             AND p_status IN ('processing', 'valid'))) THEN
        UPDATE csrq.acme_order SET status = 'lost', closed_at = now(), updated_at = now(),
               error = jsonb_build_object('class', 'transient', 'code', 'order_taken'),
               names_sha256 = (SELECT csrq.name_set_sha256(r.names) FROM csrq.request r WHERE r.id = p_request)
         WHERE id = p_order;
        RETURN 'taken';
    END IF;
    PERFORM csrq.set_answer_aside(p_order, p_url);
    UPDATE csrq.acme_order SET status = p_status, url = p_url, finalize_url = p_finalize_url,
           certificate_url = coalesce(nullif(p_certificate_url, ''), certificate_url),
           expires_at = coalesce(p_expires_at, expires_at), updated_at = now(),
           closed_at = CASE WHEN p_status = 'invalid' THEN coalesce(closed_at, now()) ELSE closed_at END
     WHERE id = p_order RETURNING * INTO this_order;
    WITH known AS (
        INSERT INTO csrq.acme_authorization AS k (account_id, customer, url, expires_at)
        SELECT DISTINCT this_order.account_id, this_order.customer, a, p_expires_at FROM unnest(p_authorizations) a ORDER BY a
        -- One of another account is no part of this order, whatever the CA says.
        ON CONFLICT (url) DO UPDATE SET updated_at = now(), expires_at = coalesce(k.expires_at, EXCLUDED.expires_at)
            WHERE k.account_id = EXCLUDED.account_id RETURNING id)
    INSERT INTO csrq.acme_order_authorization (order_id, authorization_id) SELECT p_order, id FROM known ON CONFLICT DO NOTHING;
    RETURN CASE WHEN is_leased THEN 'recorded' ELSE 'lost' END;
END $$;

-- Nobody will resume the open order of this request any more.
CREATE OR REPLACE FUNCTION csrq.close_orders(p_request bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    closed bigint;
BEGIN
    UPDATE csrq.acme_order SET closed_at = now(), updated_at = now(), status = CASE status WHEN 'creating' THEN 'lost' ELSE status END,
           names_sha256 = (SELECT csrq.name_set_sha256(r.names) FROM csrq.request r WHERE r.id = p_request),
           expires_at = CASE WHEN status = 'creating' THEN created_at + interval '7 days' ELSE expires_at END
     WHERE request_id = p_request AND closed_at IS NULL RETURNING id INTO closed;
    IF closed IS NOT NULL THEN
        PERFORM csrq.remove_responses(closed);
    END IF;
END $$;

-- The intent to finalize: what comes next cannot be undone. False: the lease was lost, or the row
-- cancelled; null: somebody has the row locked.
CREATE OR REPLACE FUNCTION csrq.begin_finalize(p_worker bigint, p_request bigint, p_lease bigint, p_order bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    is_leased CONSTANT boolean := csrq.still_leased(p_worker, p_request, p_lease);
BEGIN
    UPDATE csrq.acme_order SET finalize_at = now(), updated_at = now() WHERE is_leased AND id = p_order;
    RETURN is_leased;
END $$;

-- An order is of no use any more: the CA says that it is invalid, no longer knows it, or does not
-- finish with it. False: the lease was lost; null: somebody has the row locked.
CREATE OR REPLACE FUNCTION csrq.close_order(p_worker bigint, p_request bigint, p_lease bigint, p_order bigint, p_status text, p_error jsonb)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    is_leased CONSTANT boolean := csrq.still_leased(p_worker, p_request, p_lease);
BEGIN
    IF is_leased IS NOT TRUE THEN
        RETURN is_leased;
    END IF;
    UPDATE csrq.acme_order SET status = p_status, closed_at = now(), updated_at = now(), error = p_error
     WHERE id = p_order AND (closed_at IS NULL OR error IS NULL);
    -- An order that nobody could find may exist at the CA all the same: RFC 8555 sets no time, a week is usual.
    UPDATE csrq.acme_order SET expires_at = created_at + interval '7 days'
     WHERE id = p_order AND url IS NULL AND error_code = 'answer_lost';
    PERFORM csrq.remove_responses(p_order);
    RETURN true;
END $$;
