-- What keeps a new order waiting. code: csrq.error_code; null: nothing does.

-- What a row waits for before it needs an order at all: its customer is suspended, the request that
-- it stands in for is tried first, or another row for its names has failed a short time ago.
-- goes_on: false if it waits, or, without a code, if it was not needed any more and was cancelled.
CREATE OR REPLACE FUNCTION csrq.wait_of_row(
    p_request bigint, p_account bigint, p_names text[],
    OUT goes_on boolean, OUT seconds double precision, OUT code text, OUT error jsonb)
LANGUAGE plpgsql
AS $$
BEGIN
    IF EXISTS (
        SELECT
          FROM csrq.request r
          JOIN csrq.customer c ON c.name = r.customer
         WHERE r.id = p_request AND c.status = 'suspended') THEN
        goes_on := false;
        seconds := 60;
        code := 'suspended';
        error := jsonb_build_object(
            'detail', 'the customer is suspended; csrq.resume() lets its rows go on');
        RETURN;
    END IF;

    SELECT w.seconds, w.code, w.error INTO seconds, code, error
      FROM (SELECT * FROM csrq.split_wait(p_request)
            UNION ALL
            SELECT * FROM csrq.recent_failure(p_request, p_account, p_names)) w
     LIMIT 1;
    goes_on := NOT FOUND;
END
$$;

-- What newOrder waits for: the CA has asked to wait; or, if no order was intended yet, there is no
-- place for one under the account; or another order goes first after such a wait.
CREATE OR REPLACE FUNCTION csrq.wait_of_order(
    p_request bigint, p_account bigint, p_names text[], p_domains text[], p_most_in_flight int,
    p_is_new boolean,
    OUT seconds double precision, OUT code text, OUT error jsonb)
LANGUAGE plpgsql
AS $$
DECLARE
    its_holds CONSTANT csrq.rate_hold[] := array(
        SELECT h FROM csrq.holds_of_order(p_request, p_account, p_names, p_domains) h);
BEGIN
    SELECT extract(epoch FROM h.until - now()), h.code, h.error INTO seconds, code, error
      FROM csrq.longest_hold(p_request, p_account, p_names, its_holds) h;
    IF code IS NULL AND p_is_new THEN
        SELECT w.seconds, w.code, w.error INTO seconds, code, error
          FROM csrq.wait_for_place(p_account, p_names, p_most_in_flight) w;
    END IF;
    IF code IS NULL AND NOT csrq.sets_out(p_request, p_account, its_holds) THEN
        seconds := extract(epoch FROM csrq.wait_for_first());
        code := 'on_hold';
        error := jsonb_build_object(
            'detail', 'the CA had asked to wait; another order goes first, to see '
                      'whether it accepts again');
    END IF;
END
$$;

-- What keeps a new order from its place under an account: an authorization that it might be handed
-- is being deactivated, or as many orders as may be are in flight.
CREATE OR REPLACE FUNCTION csrq.wait_for_place(
    p_account bigint, p_names text[], p_most_in_flight int,
    OUT seconds double precision, OUT code text, OUT error jsonb)
LANGUAGE plpgsql
AS $$
DECLARE
    its_policy text;
BEGIN
    -- The janitor, which locks the account against this, leaves alone what this order may be
    -- handed; what it has begun already is over soon.
    SELECT a.policy INTO its_policy FROM csrq.acme_account a WHERE a.id = p_account FOR KEY SHARE;

    IF EXISTS (
        SELECT
          FROM csrq.acme_authorization a
         WHERE a.account_id = p_account AND a.status IN ('pending', 'valid')
           AND a.deactivation_error IS NULL
           AND a.deactivation_at > now() - interval '3 minutes'
           AND (a.identifier IS NULL OR p_names && ARRAY[a.identifier, '*.' || a.identifier])) THEN
        seconds := 2;
        code := 'on_hold';
        error := jsonb_build_object(
            'detail', 'an authorization for one of the names is being deactivated at this moment');
    ELSIF NOT csrq.has_room(p_account, p_most_in_flight) THEN
        -- Claims see to it that hardly any come too many, but for those whose accounts they do not
        -- know yet.
        seconds := CASE its_policy WHEN 'per_registered_domain' THEN 60 + 240 * random()
                                   ELSE 2 + 3 * random() END;
        code := 'account_busy';
        error := jsonb_build_object('detail', format(
            '%s orders are in flight under this account, as many as the workers allow '
            '(accounts.in_flight)', p_most_in_flight));
    END IF;
END
$$;
