-- It takes the customers that have their share, too.
DROP FUNCTION IF EXISTS csrq.claim_started(bigint, int, interval, boolean);
