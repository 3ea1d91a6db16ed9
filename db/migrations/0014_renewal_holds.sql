-- Where a CA has refused a new certificate for a limit that renewals do not count against, renewals need not wait.
-- Locks out readers of csrq.rate_hold.

ALTER TABLE csrq.rate_hold ADD binds_renewals boolean NOT NULL DEFAULT true;
COMMENT ON COLUMN csrq.rate_hold.binds_renewals IS 'False: what was refused is no renewal, and renewals are exempt from the limit (csrq.rate_limit.renewals): their orders go on.';

-- Replaced by ones with more to say.
DROP FUNCTION IF EXISTS csrq.hold(text, text, bigint, text[], interval, jsonb);
DROP FUNCTION IF EXISTS csrq.held(bigint, text[], text[]);
