-- Rows that wait since the CA refused newAccount for their account.

-- Makes rows due that wait since the CA refused their account. Returns how many.
CREATE OR REPLACE FUNCTION csrq.wake_refused(p_account bigint) RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its_customer CONSTANT text := (
        SELECT a.owner
          FROM csrq.acme_account a
         WHERE a.id = p_account AND a.policy = 'per_customer');
    waiting bigint[];
BEGIN
    IF its_customer IS NULL THEN
        RETURN csrq.wake_all_refused(ARRAY[p_account]);
    END IF;
    -- A statement of its own, for the index of the customer's jobs.
    waiting := array(
        SELECT j.request_id
          FROM csrq.job j
          JOIN csrq.request r ON r.id = j.request_id
         WHERE j.status = 'ready' AND j.run_at > now() AND j.customer = its_customer
           AND r.waits_for_account = p_account
           AND (r.run_after IS NULL OR r.run_after <= now())
           FOR NO KEY UPDATE OF j SKIP LOCKED);
    UPDATE csrq.job j SET run_at = now() WHERE j.request_id = ANY (waiting);
    RETURN cardinality(waiting);
END
$$;

-- As csrq.wake_refused(), for several accounts, whoever's they are. One statement for all: a CA
-- that refused one may have refused thousands.
CREATE OR REPLACE FUNCTION csrq.wake_all_refused(p_accounts bigint[]) RETURNS bigint
LANGUAGE plpgsql
AS $$
DECLARE
    waiting CONSTANT bigint[] := array(
        SELECT j.request_id
          FROM csrq.job j
          JOIN csrq.request r ON r.id = j.request_id
         WHERE j.status = 'ready' AND j.run_at > now()
           AND r.waits_for_account = ANY (p_accounts)
           AND (r.run_after IS NULL OR r.run_after <= now())
           FOR NO KEY UPDATE OF j SKIP LOCKED);
BEGIN
    UPDATE csrq.job j SET run_at = now() WHERE j.request_id = ANY (waiting);
    RETURN cardinality(waiting);
END
$$;

-- A worker starts with this CA under a configuration with this digest: rows whose accounts were
-- refused under others only, or at another directory, are due. Returns how many.
CREATE OR REPLACE FUNCTION csrq.settings_in_force(p_ca text, p_directory text, p_settings text)
RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    accounts CONSTANT bigint[] := array(
        SELECT g.account_id
          FROM csrq.registration g
          JOIN csrq.acme_account a ON a.id = g.account_id
         WHERE g.refusals > 0
           AND CASE a.directory WHEN p_directory THEN p_settings <> ALL (g.settings)
                                ELSE a.ca = p_ca END);
BEGIN
    IF cardinality(accounts) = 0 THEN
        RETURN 0;
    END IF;
    RETURN csrq.wake_all_refused(accounts);
END
$$;

-- Whether the account that a row is to wait for, by its error, has been registered meanwhile.
CREATE OR REPLACE FUNCTION csrq.account_is_ready(p_error jsonb) RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its_account CONSTANT bigint := CASE
        WHEN p_error ->> 'class' = 'administrative'
             AND NOT csrq.is_pause(p_error ->> 'code')
             AND p_error ->> 'account' ~ '^[0-9]{1,18}$'
        THEN (p_error ->> 'account')::bigint END;
BEGIN
    IF its_account IS NULL THEN
        RETURN false;
    END IF;
    -- A row may learn of the refusal, and be put off for it, while another worker registers the
    -- account and wakes all who wait: this one did not yet. The lock lets one of the two see the
    -- other.
    PERFORM
       FROM csrq.registration r
      WHERE r.account_id = its_account AND r.refusals > 0
        FOR KEY SHARE;
    RETURN NOT FOUND AND EXISTS (
        SELECT FROM csrq.acme_account a WHERE a.id = its_account AND a.status = 'valid');
END
$$;
