-- Limits of a CA of which nobody has told csrq are learnt from its refusals.
-- Locks out readers of csrq.acme_account, csrq.rate_hold, csrq.rate_limit.
-- Locks out writers of csrq.acme_order.
ALTER TABLE csrq.rate_limit DROP CONSTRAINT rate_limit_source_check;
ALTER TABLE csrq.rate_limit ADD CONSTRAINT rate_limit_source_check CHECK (source IN ('built-in', 'configuration', 'administrator', 'learnt'));
ALTER TABLE csrq.rate_limit ADD learnt_at timestamptz;
ALTER TABLE csrq.rate_limit ADD corrected_at timestamptz;
COMMENT ON COLUMN csrq.rate_limit.corrected_at IS 'When csrq last wrote the figures that it has learnt: others are written by people.';
ALTER TABLE csrq.rate_limit ADD CONSTRAINT learnt_has_a_time CHECK ((source = 'learnt') = (learnt_at IS NOT NULL));
COMMENT ON COLUMN csrq.rate_limit.source IS 'built-in (what csrq knows of the CA), configuration, administrator, or learnt from the CA''s refusals.';
COMMENT ON COLUMN csrq.rate_limit.learnt_at IS 'When it was learnt: after a week, or four refills (period / burst) if that is longer, but a month at most, it is forgotten, and learnt anew if it still holds.';

ALTER TABLE csrq.rate_hold ADD counted_from timestamptz NOT NULL DEFAULT 'infinity';
COMMENT ON COLUMN csrq.rate_hold.counted_from IS 'What the CA accepts from then until its next refusal says what the limit is. infinity: it is not counted.';
ALTER TABLE csrq.rate_hold ADD request_id bigint;
ALTER TABLE csrq.rate_hold ADD refused_at timestamptz NOT NULL DEFAULT now();
COMMENT ON COLUMN csrq.rate_hold.refused_at IS 'When the CA asked to wait.';
COMMENT ON COLUMN csrq.rate_hold.request_id IS 'The request whose order was refused; null: it was an account, or is not known.';

ALTER TABLE csrq.acme_account ADD registered_at timestamptz;
COMMENT ON COLUMN csrq.acme_account.registered_at IS 'When the CA accepted its key under this URL.';
UPDATE csrq.acme_account SET registered_at = created_at WHERE url IS NOT NULL;

-- It grows with time: a few pages tell where to look for the orders of a time.
CREATE INDEX acme_order_created ON csrq.acme_order USING brin (created_at) WITH (autosummarize = on);
