-- What the codes of errors mean. The rows are in db/functions/errors/error_codes.sql.

CREATE TABLE csrq.error_code (
    code          text PRIMARY KEY,
    class         text CHECK (class IN ('transient', 'limited', 'validation', 'permanent',
                                        'administrative')),
    asked_ca      boolean NOT NULL,
    trouble_of_ca boolean NOT NULL,
    ended_by      text CHECK (ended_by IN ('attempt', 'turn', 'hold', 'another_row', 'resume',
                                           'csr', 'name_owner', 'configuration', 'account',
                                           'person')),
    is_wait       boolean NOT NULL GENERATED ALWAYS AS (
                      NOT asked_ca
                      AND coalesce(ended_by IN ('turn', 'hold', 'another_row', 'resume'), false)
                  ) STORED,
    meaning       text NOT NULL
);
COMMENT ON TABLE csrq.error_code IS
    'What the codes of errors mean (csrq.request.error, csrq.acme_order.error, csrq.alarm.code). '
    'One that is not here, such as http_500, is an answer of a CA that names no problem.';
COMMENT ON COLUMN csrq.error_code.code IS
    'As in csrq.request.error: csrq''s own word, or the end of a problem type of ACME.';
COMMENT ON COLUMN csrq.error_code.class IS
    'The class that an error of this code has. Null: what was asked decides '
    '(docs/operating.md, "What a CA''s refusal means").';
COMMENT ON COLUMN csrq.error_code.asked_ca IS
    'Whether the CA was asked for this attempt. False: csrq knows it by itself.';
COMMENT ON COLUMN csrq.error_code.trouble_of_ca IS
    'Whether the CA is the cause where the class is transient or limited: for its sake rows go to '
    'a fallback.';
COMMENT ON COLUMN csrq.error_code.ended_by IS
    'What ends it. attempt: the next attempt may do; turn: a place gets free; hold: the CA accepts '
    'or answers again; another_row: what becomes of another request; resume: csrq.resume(); csr: '
    'another CSR; name_owner: whoever runs the name''s DNS or web server; configuration: csrq''s; '
    'account: whoever has the account at the CA; person: an administrator. Null: the class says '
    'more.';
COMMENT ON COLUMN csrq.error_code.is_wait IS
    'Whether csrq holds a row back before its CA is asked: no attempt, and no event each time that '
    'it goes on.';
COMMENT ON COLUMN csrq.error_code.meaning IS 'One sentence for people.';
