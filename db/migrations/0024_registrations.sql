-- A refusal of newAccount is a mistake of the configuration, or of the CA: the rows of that account
-- wait behind it, over all workers.
-- Locks out writers of csrq.acme_account.
CREATE TABLE csrq.registration (
    account_id   bigint PRIMARY KEY REFERENCES csrq.acme_account ON DELETE CASCADE,
    asked_at     timestamptz NOT NULL DEFAULT now(),
    ask_again_at timestamptz NOT NULL,
    refused_at   timestamptz,
    refusals     smallint NOT NULL DEFAULT 0,
    settings     text[] NOT NULL
) WITH (fillfactor = 70);
COMMENT ON TABLE csrq.registration IS 'Accounts for which newAccount was sent and not accepted yet. csrq.acme_account.error says why.';
COMMENT ON COLUMN csrq.registration.account_id IS 'The account.';
COMMENT ON COLUMN csrq.registration.asked_at IS 'When newAccount was last sent, or was about to be.';
COMMENT ON COLUMN csrq.registration.ask_again_at IS 'No worker sends it before then, but one whose configuration was not among those refused.';
COMMENT ON COLUMN csrq.registration.refused_at IS 'When the CA last refused; null: it has not.';
COMMENT ON COLUMN csrq.registration.refusals IS 'How often it has refused.';
COMMENT ON COLUMN csrq.registration.settings IS 'Digests of the configurations that newAccount was sent under, the latest first.';
