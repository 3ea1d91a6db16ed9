-- newAccount, until the CA has accepted it: who may send it, and what its answer changes. Rows that
-- wait behind a refusal: refused_accounts.sql.

-- Before newAccount is sent for an account, under a configuration with this digest: how long to
-- wait, and the CA's refusal (null: another worker is sending it). No wait_seconds: go ahead.
CREATE OR REPLACE FUNCTION csrq.begin_registration(
    p_account bigint, p_settings text,
    OUT wait_seconds double precision, OUT error jsonb)
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
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
     WHERE r.ask_again_at <= now()
        OR r.refusals > 0 AND p_settings <> ALL (r.settings);
    IF FOUND THEN
        RETURN;
    END IF;

    SELECT extract(epoch FROM CASE r.refusals
               WHEN 0 THEN least(look_again, r.ask_again_at - now())
               ELSE r.ask_again_at - now() END),
           CASE WHEN r.refusals > 0 THEN a.error END
      INTO wait_seconds, error
      FROM csrq.registration r
      JOIN csrq.acme_account a ON a.id = r.account_id
     WHERE r.account_id = p_account;
END
$$;

-- newAccount was not sent, or not answered: another row may try at once. After a refusal its minute
-- stays.
CREATE OR REPLACE FUNCTION csrq.registration_unanswered(p_account bigint) RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE csrq.registration r
       SET ask_again_at = now()
     WHERE r.account_id = p_account AND r.refusals = 0;
END
$$;

-- The CA refuses newAccount: its rows wait, a minute at least, longer each time by the schedule.
-- Returns how many seconds; 0: another worker has registered it meanwhile.
CREATE OR REPLACE FUNCTION csrq.registration_refused(
    p_account bigint, p_error jsonb, p_schedule interval[])
RETURNS double precision
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    steps CONSTANT int := cardinality(p_schedule);
    wait_seconds double precision;
BEGIN
    -- Workers who were refused at the same time, or under several configurations, count once.
    UPDATE csrq.registration r
       SET refusals = least(n.refusals, 32000), refused_at = now(),
           ask_again_at = now() + greatest(
               interval '1 minute', p_schedule[least(n.refusals, steps)])
      FROM (SELECT f.account_id,
                   CASE WHEN f.refused_at > now() - interval '1 minute' THEN f.refusals
                        ELSE f.refusals + 1 END AS refusals
              FROM csrq.registration f
             WHERE f.account_id = p_account
               FOR NO KEY UPDATE) n
     WHERE r.account_id = n.account_id
    RETURNING extract(epoch FROM r.ask_again_at - now()) INTO wait_seconds;
    IF FOUND THEN
        UPDATE csrq.acme_account a SET error = p_error WHERE a.id = p_account;
    END IF;
    RETURN coalesce(wait_seconds, 0);
END
$$;

-- The CA has answered newAccount. Rows that waited since it had refused go on.
CREATE OR REPLACE FUNCTION csrq.account_registered(
    p_account bigint, p_status text, p_url text, p_orders_url text, p_contact text[])
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    refusals int;
    account csrq.acme_account;
BEGIN
    -- First the lock that csrq.begin_registration() takes first.
    DELETE FROM csrq.registration r
     WHERE r.account_id = p_account
    RETURNING r.refusals INTO refusals;
    UPDATE csrq.acme_account a
       SET status = p_status, url = p_url, orders_url = p_orders_url, contact = p_contact,
           registered_at = CASE WHEN a.url = p_url THEN a.registered_at ELSE now() END,
           error = NULL
     WHERE a.id = p_account
    RETURNING a.* INTO account;
    DELETE FROM csrq.waiting_account w WHERE w.account_id = p_account;

    IF account.policy = 'per_customer' THEN
        -- A more urgent row may have registered it while the others were to wait for longer.
        PERFORM csrq.look_for_accounts_again(ARRAY[account.owner]);
    END IF;
    IF refusals > 0 THEN
        PERFORM csrq.wake_refused(p_account);
        PERFORM csrq.clear_alarm(
            csrq.alarm_key('account', account.directory, account.owner));
    END IF;
END
$$;

-- Gives an account that the CA has refused to make a key of another kind. False: it was not
-- refused, has been made, or has another key already.
CREATE OR REPLACE FUNCTION csrq.replace_refused_key(
    p_account bigint, p_former_thumbprint text, p_thumbprint text, p_spki_sha256 bytea,
    p_sealing_key_id text, p_sealed bytea)
RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    former_number int;
BEGIN
    IF NOT EXISTS (
        SELECT
          FROM csrq.registration r
          JOIN csrq.acme_account a ON a.id = r.account_id
         WHERE r.account_id = p_account AND r.refusals > 0 AND a.url IS NULL) THEN
        RETURN false;
    END IF;

    UPDATE csrq.acme_account_key k
       SET retired_at = now()
     WHERE k.account_id = p_account AND k.retired_at IS NULL
       AND k.thumbprint = p_former_thumbprint
    RETURNING k.key_number INTO former_number;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO csrq.acme_account_key (
           account_id, key_number, thumbprint, spki_sha256, sealing_key_id, sealed)
    VALUES (p_account, former_number + 1, p_thumbprint, p_spki_sha256, p_sealing_key_id, p_sealed);
    RETURN true;
END
$$;
