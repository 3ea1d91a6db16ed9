-- Accounts, orders, authorizations and challenges, as the worker writes them down. Writes of a row's step are fenced by its lease.

CREATE OR REPLACE FUNCTION csrq.account_for(p_ca text, p_directory text, p_policy text, p_owner text, p_thumbprint text,
    p_spki_sha256 bytea, p_sealing_key_id text, p_sealed bytea)
RETURNS TABLE (id bigint, status text, url text, orders_url text, thumbprint text, sealing_key_id text, sealed bytea)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    made bigint;
BEGIN
    IF p_sealed IS NOT NULL THEN
        INSERT INTO csrq.acme_account (ca, directory, policy, owner) VALUES (p_ca, p_directory, p_policy, p_owner)
            ON CONFLICT (directory, policy, owner) DO NOTHING RETURNING acme_account.id INTO made;
        IF made IS NOT NULL THEN
            INSERT INTO csrq.acme_account_key (account_id, thumbprint, spki_sha256, sealing_key_id, sealed)
                VALUES (made, p_thumbprint, p_spki_sha256, p_sealing_key_id, p_sealed);
        END IF;
    END IF;
    RETURN QUERY
    SELECT a.id, a.status, a.url, a.orders_url, k.thumbprint, k.sealing_key_id, k.sealed
      FROM csrq.acme_account a JOIN csrq.acme_account_key k ON k.account_id = a.id AND k.retired_at IS NULL
     WHERE a.directory = p_directory AND a.policy = p_policy AND a.owner = p_owner;
END $$;
COMMENT ON FUNCTION csrq.account_for(text, text, text, text, text, bytea, text, bytea)
    IS 'The account of an owner at a CA. If there is none and a sealed key is given, it is made with that key; of two workers at once, one key wins and both get it.';

CREATE OR REPLACE FUNCTION csrq.account_registered(p_account bigint, p_status text, p_url text,
    p_orders_url text, p_contact text[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    refusals int;
    account csrq.acme_account;
BEGIN
    -- First the lock that csrq.begin_registration() takes first.
    DELETE FROM csrq.registration r WHERE r.account_id = p_account RETURNING r.refusals INTO refusals;
    UPDATE csrq.acme_account a
       SET status = p_status, url = p_url,
           registered_at = CASE WHEN a.url = p_url THEN a.registered_at ELSE now() END,
           orders_url = p_orders_url, contact = p_contact, error = NULL
     WHERE a.id = p_account RETURNING a.* INTO account;
    DELETE FROM csrq.account_in_line i WHERE i.account_id = p_account;
    IF account.policy = 'per_customer' THEN
        -- A more urgent row may have registered it while the others were to wait for longer.
        PERFORM csrq.look_for_accounts_again(ARRAY[account.owner]);
    END IF;
    IF refusals > 0 THEN
        PERFORM csrq.wake_refused(p_account);
        PERFORM csrq.clear_alarm('account:' || account.directory || ' ' || account.owner);
    END IF;
END $$;
COMMENT ON FUNCTION csrq.account_registered(bigint, text, text, text, text[]) IS 'The CA has answered newAccount. Rows that waited since it had refused go on.';

CREATE OR REPLACE FUNCTION csrq.is_account_key(p_spki_sha256 bytea) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM csrq.acme_account_key WHERE spki_sha256 = p_spki_sha256)
$$;
COMMENT ON FUNCTION csrq.is_account_key(bytea) IS 'True if a public key (SHA-256 of its SubjectPublicKeyInfo) is any account''s, retired ones included.';

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
    UPDATE csrq.request SET error = NULL WHERE id = p_request AND csrq.only_waits(id);
    IF FOUND THEN
        INSERT INTO csrq.event (request_id, customer, what, worker_id, lease_number, detail)
            SELECT j.request_id, j.customer, 'claimed', p_worker, p_lease, jsonb_build_object('attempt', j.attempt, 'kind', j.kind)
              FROM csrq.job j WHERE j.request_id = p_request;
    END IF;
    RETURN QUERY SELECT true, found_order.id, found_order.url, is_fresh, found_order.charged <> '{}', NULL::double precision, NULL::text, NULL::jsonb;
END $$;
COMMENT ON FUNCTION csrq.open_order(bigint, bigint, bigint, bigint, text[], text[], int)
    IS 'The open order of a request, or the written intent of a new one (fresh: of this call; one of an earlier call without a URL may exist at the CA, a fresh one with a URL is adopted; charged: the CA has limits). Not leased: the lease was lost. A wait: the CA asked for it, or csrq waits by itself, be it for a limit of the CA (wait_code: csrq.error_code).';

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
COMMENT ON FUNCTION csrq.asked(bigint)
    IS 'How long ago the CA was asked to go on with an order: to look at its challenges, or, once that was sent, to finalize it. anew: csrq.retry() wants that asked once more.';

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
COMMENT ON FUNCTION csrq.order_of_lost_lease(bigint, bigint, bigint, text) IS 'Where to write down an '
    'order that the CA made for a lease that is lost: it answers the intent, which whoever has the row now '
    'goes on with; if something else has answered that, an order that is closed. Null: it is known.';

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
COMMENT ON FUNCTION csrq.set_answer_aside(bigint, text) IS 'An intent is answered by another order than '
    'the one that it has, which a worker wrote down that had lost its lease: that one is kept, closed.';

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
COMMENT ON FUNCTION csrq.record_order(bigint, bigint, bigint, bigint, text, text, text, text, timestamptz, text[])
    IS 'Writes down what newOrder answered, authorizations included: recorded, locked (somebody else has the row locked: nothing was written), lost (the lease was; the order is written down all the same), or taken (the CA handed out an order that another request is working on, or has finalized for its own key).';

CREATE OR REPLACE FUNCTION csrq.record_authorizations(p_worker bigint, p_request bigint, p_lease bigint, p_authorizations jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    is_leased CONSTANT boolean := csrq.still_leased(p_worker, p_request, p_lease);
BEGIN
    IF is_leased IS NOT TRUE THEN
        RETURN is_leased;
    END IF;
    -- What csrq.authorization_counts() is about to lock one by one.
    IF p_authorizations @> '[{"status": "invalid"}]' THEN
        PERFORM csrq.lock_buckets(a.directory, array_agg(l.name), array_agg(l.key))
           FROM (SELECT z.account_id, k.directory, csrq.identifier_key(z.account_id, s.identifier) AS key
                   FROM jsonb_to_recordset(p_authorizations) AS s(url text, identifier text, status text)
                   JOIN csrq.acme_authorization z ON z.url = s.url AND z.status = 'pending'
                   JOIN csrq.acme_account k ON k.id = z.account_id
                  WHERE s.status = 'invalid') a
          CROSS JOIN LATERAL (VALUES ('consecutive_failures_per_identifier', a.key), ('failed_validations_per_identifier', a.key)) l(name, key)
          GROUP BY a.directory;
    END IF;
    WITH seen AS MATERIALIZED (
        SELECT s.* FROM jsonb_to_recordset(p_authorizations)
            AS s(url text, identifier text, wildcard boolean, status text, expires timestamptz) ORDER BY s.url)
    UPDATE csrq.acme_authorization a SET identifier = s.identifier, wildcard = s.wildcard, status = s.status,
           expires_at = coalesce(s.expires, a.expires_at), updated_at = now()
      FROM seen s WHERE a.url = s.url
       AND (a.status = s.status OR EXISTS (SELECT FROM csrq.legal_move m WHERE m.subject = 'acme_authorization'
                                              AND m.from_state = a.status AND m.to_state = s.status));
    INSERT INTO csrq.acme_challenge AS c (authorization_id, type, url, token, status, key_authorization, presented_at, error)
    SELECT DISTINCT ON (s.challenge_url) a.id, s.challenge_type, s.challenge_url, s.token, s.challenge_status, s.key_authorization,
           CASE WHEN s.key_authorization IS NOT NULL THEN now() END, s.challenge_error
      FROM jsonb_to_recordset(p_authorizations)
           AS s(url text, challenge_type text, challenge_url text, token text, challenge_status text, key_authorization text, challenge_error jsonb)
      JOIN csrq.acme_authorization a ON a.url = s.url
     WHERE s.challenge_url IS NOT NULL ORDER BY s.challenge_url
    ON CONFLICT (url) DO UPDATE SET key_authorization = EXCLUDED.key_authorization, error = EXCLUDED.error,
           presented_at = CASE WHEN EXCLUDED.key_authorization IS NULL THEN c.presented_at ELSE coalesce(c.presented_at, now()) END,
           removed_at = CASE WHEN EXCLUDED.key_authorization IS NULL THEN coalesce(c.removed_at, now()) END,
           status = CASE WHEN c.status = EXCLUDED.status OR EXISTS (SELECT FROM csrq.legal_move m WHERE m.subject = 'acme_challenge'
                              AND m.from_state = c.status AND m.to_state = EXCLUDED.status) THEN EXCLUDED.status ELSE c.status END
     WHERE c.authorization_id = EXCLUDED.authorization_id;
    RETURN true;
END $$;
COMMENT ON FUNCTION csrq.record_authorizations(bigint, bigint, bigint, jsonb)
    IS 'Writes down authorizations as read, and puts the responses of their challenges in place. False: the lease was lost; null: somebody has the row locked.';

CREATE OR REPLACE FUNCTION csrq.remove_responses(p_order bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE csrq.acme_challenge c SET key_authorization = NULL, removed_at = now()
      FROM csrq.acme_order_authorization oa JOIN csrq.acme_authorization a ON a.id = oa.authorization_id
     WHERE oa.order_id = p_order AND c.authorization_id = oa.authorization_id AND c.key_authorization IS NOT NULL
       AND (a.status <> 'pending' OR NOT EXISTS (
            SELECT FROM csrq.acme_order_authorization other JOIN csrq.acme_order o ON o.id = other.order_id
             WHERE other.authorization_id = a.id AND o.closed_at IS NULL AND o.id <> p_order));
END $$;
COMMENT ON FUNCTION csrq.remove_responses(bigint) IS 'Takes away the challenge responses of an order, except those that another open order waits for.';

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
COMMENT ON FUNCTION csrq.close_orders(bigint) IS 'Nobody will resume the open order of this request any more.';

CREATE OR REPLACE FUNCTION csrq.begin_finalize(p_worker bigint, p_request bigint, p_lease bigint, p_order bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    is_leased CONSTANT boolean := csrq.still_leased(p_worker, p_request, p_lease);
BEGIN
    UPDATE csrq.acme_order SET finalize_at = now(), updated_at = now() WHERE is_leased AND id = p_order;
    RETURN is_leased;
END $$;
COMMENT ON FUNCTION csrq.begin_finalize(bigint, bigint, bigint, bigint)
    IS 'The intent to finalize: what comes next cannot be undone. False: the lease was lost, or the row cancelled; null: somebody has the row locked.';

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
COMMENT ON FUNCTION csrq.close_order(bigint, bigint, bigint, bigint, text, jsonb)
    IS 'An order is of no use any more: the CA says that it is invalid, no longer knows it, or does not finish with it. False: the lease was lost; null: somebody has the row locked.';

-- A CA may hand out one order to several rows for the same names. Those that have to wait are called one at a time: each has the
-- names to itself for as long as its order is open.
CREATE OR REPLACE FUNCTION csrq.wait_for_order(p_worker bigint, p_request bigint, p_lease bigint, p_url text, p_error jsonb)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM csrq.acme_order o WHERE o.url = p_url AND o.closed_at IS NULL) THEN
        RETURN 'over';
    END IF;
    -- Whoever closes it from here on finds this row waiting. Who is at it already, an app that cancels
    -- perhaps, is not waited for: the row looks again by itself.
    PERFORM FROM csrq.acme_order o
      WHERE o.url = p_url AND o.closed_at IS NULL FOR SHARE SKIP LOCKED;
    RETURN CASE csrq.put_off(p_worker, p_request, p_lease, interval '2 minutes', p_error)
           WHEN true THEN 'waits' WHEN false THEN 'lost' ELSE 'locked' END;
END $$;
COMMENT ON FUNCTION csrq.wait_for_order(bigint, bigint, bigint, text, jsonb)
    IS 'Puts a row off that was handed another one''s order, until that is closed: waits, lost (the lease was), locked (somebody has the row), or over (it is closed already: nothing was written).';

CREATE OR REPLACE FUNCTION csrq.call_next_for(p_order csrq.acme_order) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its_names CONSTANT bytea := (
        SELECT csrq.name_set_sha256(r.names) FROM csrq.request r WHERE r.id = p_order.request_id);
BEGIN
    -- One that is missed here looks again by itself within two minutes.
    UPDATE csrq.job SET run_at = now()
     WHERE request_id = (
        SELECT j.request_id
          FROM csrq.acme_order t JOIN csrq.request r ON r.id = t.request_id
          JOIN csrq.job j ON j.request_id = r.id
         WHERE t.account_id = p_order.account_id AND t.status = 'lost'
           AND t.names_sha256 IS NOT NULL AND t.names_sha256 = its_names
           AND r.error_code = 'order_taken' AND j.status = 'ready' AND j.run_at > now()
         ORDER BY t.id LIMIT 1 FOR NO KEY UPDATE OF j SKIP LOCKED);
END $$;
COMMENT ON FUNCTION csrq.call_next_for(csrq.acme_order)
    IS 'An order is closed: of the rows for the same names that were handed it, too, the first goes on.';

CREATE OR REPLACE FUNCTION csrq.call_next_after(p_request bigint) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT csrq.call_next_for(o) FROM csrq.acme_order o
     WHERE o.request_id = p_request AND o.url IS NOT NULL ORDER BY o.id DESC LIMIT 1
$$;
COMMENT ON FUNCTION csrq.call_next_after(bigint)
    IS 'As csrq.call_next_for(), of the order that a worker has just closed for this request.';

CREATE OR REPLACE FUNCTION csrq.call_next_for_order() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM csrq.call_next_for(NEW);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION csrq.call_next_for_order() IS 'As csrq.call_next_for().';
-- An order that ends without an error was cancelled, in a transaction of an app that may stay open for
-- long: it must not lock what others wait for.
CREATE OR REPLACE TRIGGER call_next_for_order AFTER UPDATE OF closed_at ON csrq.acme_order FOR EACH ROW
    WHEN (OLD.closed_at IS NULL AND NEW.closed_at IS NOT NULL AND NEW.url IS NOT NULL
          AND (NEW.status = 'valid' OR NEW.error IS NOT NULL))
    EXECUTE FUNCTION csrq.call_next_for_order();

CREATE OR REPLACE FUNCTION csrq.key_authorization(p_token text) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.key_authorization FROM csrq.acme_challenge c
     WHERE c.token = p_token AND c.key_authorization IS NOT NULL AND c.type = 'http-01' ORDER BY c.id DESC LIMIT 1
$$;
COMMENT ON FUNCTION csrq.key_authorization(text) IS 'What an http-01 responder serves below /.well-known/acme-challenge/; null: 404.';

CREATE OR REPLACE FUNCTION csrq.certificate_to_revoke(p_request bigint)
RETURNS TABLE (der bytea, directory text, ca text, policy text, owner text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.der, a.directory, a.ca, a.policy, a.owner
      FROM csrq.request r JOIN csrq.certificate c ON c.request_id = coalesce(r.chain_from, r.id) AND c.serial = r.serial
      JOIN csrq.acme_account a ON a.id = c.account_id
     WHERE r.id = p_request ORDER BY c.id DESC LIMIT 1
$$;
COMMENT ON FUNCTION csrq.certificate_to_revoke(bigint) IS 'The certificate that is in the row now, and the account that ordered it.';
