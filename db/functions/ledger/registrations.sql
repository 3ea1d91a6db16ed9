-- WAS IN 17_registrations:
-- newAccount, as long as the CA has not accepted it: who may send it, and which rows wait behind
-- its refusal.

-- Before newAccount is sent for an account, under a configuration with this digest: how long to
-- wait, and the CA's refusal (null: another worker is sending it); no wait_seconds: go ahead.
CREATE OR REPLACE FUNCTION csrq.begin_registration(p_account bigint, p_settings text,
    OUT wait_seconds double precision, OUT error jsonb)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- Longer than a request may last, so that no other worker asks meanwhile. An answer, or its
    -- absence, ends it; only if the worker dies do the others wait for as long.
    claim CONSTANT interval := '1 minute';
    look_again CONSTANT interval := '2 seconds';
BEGIN
    INSERT INTO csrq.registration AS r (account_id, ask_again_at, settings)
        VALUES (p_account, now() + claim, ARRAY[p_settings])
    ON CONFLICT (account_id) DO UPDATE
       SET asked_at = now(),
           settings = (p_settings || array_remove(r.settings, p_settings))[1:10],
           ask_again_at = now() + claim
     WHERE r.ask_again_at <= now() OR r.refusals > 0 AND p_settings <> ALL (r.settings);
    IF FOUND THEN
        RETURN;
    END IF;
    SELECT extract(epoch FROM CASE r.refusals WHEN 0 THEN least(look_again, r.ask_again_at - now())
                                              ELSE r.ask_again_at - now() END),
           CASE WHEN r.refusals > 0 THEN a.error END
      INTO wait_seconds, begin_registration.error
      FROM csrq.registration r JOIN csrq.acme_account a ON a.id = r.account_id
     WHERE r.account_id = p_account;
END $$;

-- newAccount was not sent, or not answered: another row may try at once. After a refusal its
-- minute stays.
CREATE OR REPLACE FUNCTION csrq.registration_unanswered(p_account bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    UPDATE csrq.registration r SET ask_again_at = now()
     WHERE r.account_id = p_account AND r.refusals = 0;
END $$;

-- The CA refuses newAccount: its rows wait, a minute at least, longer each time by the schedule.
-- Returns how many seconds; 0: another worker has registered it meanwhile.
CREATE OR REPLACE FUNCTION csrq.registration_refused(p_account bigint, p_error jsonb,
    p_schedule interval[]) RETURNS double precision
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    steps CONSTANT int := cardinality(p_schedule);
    wait_seconds double precision;
BEGIN
    -- Workers who were refused at the same time, or under several configurations, count once.
    UPDATE csrq.registration r
       SET refusals = least(n.refusals, 32000), refused_at = now(),
           ask_again_at = now() + greatest(interval '1 minute', p_schedule[least(n.refusals, steps)])
      FROM (SELECT f.account_id,
                   CASE WHEN f.refused_at > now() - interval '1 minute' THEN f.refusals
                        ELSE f.refusals + 1 END AS refusals
              FROM csrq.registration f WHERE f.account_id = p_account FOR NO KEY UPDATE) n
     WHERE r.account_id = n.account_id
    RETURNING extract(epoch FROM r.ask_again_at - now()) INTO wait_seconds;
    IF FOUND THEN
        UPDATE csrq.acme_account a SET error = p_error WHERE a.id = p_account;
    END IF;
    RETURN coalesce(wait_seconds, 0);
END $$;

-- Gives an account that the CA has refused to make a key of another kind. False: it was not
-- refused, has been made, or has another key already.
CREATE OR REPLACE FUNCTION csrq.replace_refused_key(p_account bigint, p_former_thumbprint text,
    p_thumbprint text, p_spki_sha256 bytea, p_sealing_key_id text, p_sealed bytea) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    former_number int;
BEGIN
    IF NOT EXISTS (SELECT FROM csrq.registration r JOIN csrq.acme_account a ON a.id = r.account_id
                    WHERE r.account_id = p_account AND r.refusals > 0 AND a.url IS NULL) THEN
        RETURN false;
    END IF;
    UPDATE csrq.acme_account_key k SET retired_at = now()
     WHERE k.account_id = p_account AND k.retired_at IS NULL
       AND k.thumbprint = p_former_thumbprint
    RETURNING k.key_number INTO former_number;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO csrq.acme_account_key
           (account_id, key_number, thumbprint, spki_sha256, sealing_key_id, sealed)
    VALUES (p_account, former_number + 1, p_thumbprint, p_spki_sha256, p_sealing_key_id, p_sealed);
    RETURN true;
END $$;

-- Rows that wait since the CA refused their account are due. Returns how many.
CREATE OR REPLACE FUNCTION csrq.wake_refused(p_account bigint) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its_customer CONSTANT text := (
        SELECT a.owner FROM csrq.acme_account a
         WHERE a.id = p_account AND a.policy = 'per_customer');
    waiting bigint[];
BEGIN
    -- Two statements: with an OR in one, the index of customers' jobs would serve neither.
    IF its_customer IS NULL THEN
        waiting := array(
            SELECT j.request_id FROM csrq.job j JOIN csrq.request r ON r.id = j.request_id
             WHERE j.status = 'ready' AND j.run_at > now()
               AND r.waits_for_account = p_account
               AND (r.run_after IS NULL OR r.run_after <= now())
               FOR NO KEY UPDATE OF j SKIP LOCKED);
    ELSE
        waiting := array(
            SELECT j.request_id FROM csrq.job j JOIN csrq.request r ON r.id = j.request_id
             WHERE j.status = 'ready' AND j.run_at > now() AND j.customer = its_customer
               AND r.waits_for_account = p_account
               AND (r.run_after IS NULL OR r.run_after <= now())
               FOR NO KEY UPDATE OF j SKIP LOCKED);
    END IF;
    UPDATE csrq.job j SET run_at = now() WHERE j.request_id = ANY (waiting);
    RETURN cardinality(waiting);
END $$;

-- WHY:
-- A row may learn of the refusal, and be put off for it, while another worker registers the account
-- and wakes all who wait: this one did not yet. The lock lets one of the two see the other.

-- Whether the account that a row is to wait for, by its error, has been registered meanwhile.
CREATE OR REPLACE FUNCTION csrq.account_is_ready(p_error jsonb) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    its_account CONSTANT bigint :=
        CASE WHEN p_error ->> 'class' = 'administrative' AND NOT csrq.is_pause(p_error ->> 'code')
              AND jsonb_typeof(p_error -> 'account') = 'number'
             THEN (p_error ->> 'account')::numeric::bigint END;
BEGIN
    IF its_account IS NULL THEN
        RETURN false;
    END IF;
    PERFORM FROM csrq.registration r
      WHERE r.account_id = its_account AND r.refusals > 0 FOR KEY SHARE;
    RETURN NOT FOUND AND EXISTS (
        SELECT FROM csrq.acme_account a WHERE a.id = its_account AND a.status = 'valid');
END $$;

-- WHY:
-- One statement for all accounts: a CA that refused one may have refused thousands.

-- A worker starts with this CA under a configuration with this digest: rows whose accounts were
-- refused under others only, or at another directory, are due. Returns how many.
CREATE OR REPLACE FUNCTION csrq.settings_in_force(p_ca text, p_directory text, p_settings text)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    accounts CONSTANT bigint[] := array(
        SELECT g.account_id
          FROM csrq.registration g JOIN csrq.acme_account a ON a.id = g.account_id
         WHERE g.refusals > 0
           AND CASE a.directory WHEN p_directory THEN p_settings <> ALL (g.settings)
                                ELSE a.ca = p_ca END);
    waiting bigint[];
BEGIN
    IF cardinality(accounts) = 0 THEN
        RETURN 0;
    END IF;
    waiting := array(
        SELECT j.request_id
          FROM csrq.job j JOIN csrq.request r ON r.id = j.request_id
         WHERE j.status = 'ready' AND j.run_at > now() AND r.waits_for_account = ANY (accounts)
           AND (r.run_after IS NULL OR r.run_after <= now())
           FOR NO KEY UPDATE OF j SKIP LOCKED);
    UPDATE csrq.job j SET run_at = now() WHERE j.request_id = ANY (waiting);
    RETURN cardinality(waiting);
END $$;
