-- Nothing more is started for a customer, until it goes on.

-- Starts nothing more for a customer: its open rows wait, what a worker is busy with ends its step.
-- Returns how many rows wait; those that somebody has locked, or inserts at this moment, follow by
-- themselves, and are not started meanwhile.
CREATE OR REPLACE FUNCTION csrq.suspend(customer text) RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its_name CONSTANT text := suspend.customer;
    parked bigint;
BEGIN
    -- From here on no claim takes a row of it, whoever has it locked, or inserts it unseen.
    UPDATE csrq.customer c SET status = 'suspended' WHERE c.name = its_name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no customer "%"', its_name USING ERRCODE = 'no_data_found';
    END IF;

    WITH pick AS MATERIALIZED (
        SELECT j.request_id
          FROM csrq.job j
         WHERE j.customer = its_name AND j.status = 'ready'
           FOR NO KEY UPDATE SKIP LOCKED),
    waiting AS (
        UPDATE csrq.job j SET status = 'parked', parked_because = 'suspended'
          FROM pick
         WHERE j.request_id = pick.request_id
        RETURNING 1)
    SELECT count(*) INTO parked FROM waiting;

    INSERT INTO csrq.event (customer, what, detail)
    VALUES (its_name, 'suspended', jsonb_build_object('by', session_user, 'jobs', parked));
    RETURN parked;
END $$;

-- Ends csrq.suspend(). Returns how many rows go on; those that somebody has locked follow by
-- themselves.
CREATE OR REPLACE FUNCTION csrq.resume(customer text) RETURNS bigint
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its_name CONSTANT text := resume.customer;
    resumed bigint;
BEGIN
    UPDATE csrq.customer c SET status = 'active', resumed_at = now() WHERE c.name = its_name;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no customer "%"', its_name USING ERRCODE = 'no_data_found';
    END IF;

    WITH pick AS MATERIALIZED (
        SELECT j.request_id
          FROM csrq.job j
         WHERE j.customer = its_name AND j.status = 'parked' AND j.parked_because = 'suspended'
           FOR NO KEY UPDATE SKIP LOCKED),
    going_on AS (
        UPDATE csrq.job j SET status = 'ready', parked_because = NULL
          FROM pick
         WHERE j.request_id = pick.request_id
        RETURNING 1)
    SELECT count(*) INTO resumed FROM going_on;

    INSERT INTO csrq.event (customer, what, detail)
    VALUES (its_name, 'resumed', jsonb_build_object('by', session_user, 'jobs', resumed));
    RETURN resumed;
END $$;
