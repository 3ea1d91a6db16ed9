-- How the functions that workers call for every row are planned. All that they do, and all that
-- they call, finds a few rows by an index, and the planner knows too little of tables that grow and
-- shrink by the minute. So each session plans them once, and by indexes.
--
-- Most of what they call is in PL/pgSQL, which keeps its plans, or is an SQL function that becomes
-- a part of the query around it (without SECURITY DEFINER and SET). Any other SQL function is
-- planned at each call, which takes longer than to run it.
--
-- Without JIT: where a small table has no index that serves, enable_seqscan makes its cost look
-- worth a compilation, at each execution.

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'claim',
        'before_order',
        'take_account_token',
        'begin_registration',
        'account_registered',
        'call_accounts',
        'open_order',
        'record_order',
        'record_authorizations',
        'begin_finalize',
        'complete',
        'close_order',
        'record_failure',
        'put_off',
        'write_hold',
        'queue_renewals']
    LOOP  -- a name that no function has is an error
        EXECUTE format('ALTER FUNCTION csrq.%I SET plan_cache_mode = force_generic_plan '
                       'SET enable_seqscan = off SET enable_hashjoin = off '
                       'SET enable_mergejoin = off SET jit = off', name);
    END LOOP;
END
$$;
