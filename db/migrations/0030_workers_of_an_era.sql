-- A promotion may lose what was committed last. Workers that have it in mind are told apart from those
-- that came later.
-- Locks out readers of csrq.worker.

ALTER TABLE csrq.worker ADD COLUMN era int NOT NULL DEFAULT 0;
COMMENT ON COLUMN csrq.worker.era
    IS 'In which era it registered (csrq.era.number): its leases do not outlive it.';
UPDATE csrq.worker SET era = (SELECT max(e.number) FROM csrq.era e);
