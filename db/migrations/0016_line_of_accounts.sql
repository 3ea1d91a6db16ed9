-- Accounts that wait until their CA lets them be registered stand in line, in the order in which they were made up.

CREATE INDEX acme_account_creating ON csrq.acme_account (directory, id) WHERE status = 'creating';
