-- Incidents that a CA opens itself, by moving the windows of certificates into the past.
-- Locks out readers of csrq.incident.

ALTER TABLE csrq.incident ADD directory text;
COMMENT ON COLUMN csrq.incident.directory IS 'Directory URL of the CA that has moved the windows of these certificates into the past (RFC 9773); null: somebody opened it.';
COMMENT ON COLUMN csrq.incident.filled_at IS 'When all its certificates were planned for renewal; null: workers are about it. One of a CA takes certificates in for two days: within one each is asked about.';
CREATE UNIQUE INDEX incident_of_ca ON csrq.incident (directory) WHERE filled_at IS NULL;
