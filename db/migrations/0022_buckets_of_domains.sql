-- Full buckets of registered domains stay for a while: those that go are found without going through them.
-- Locks out readers of csrq.rate_bucket.
CREATE INDEX rate_bucket_to_drop ON csrq.rate_bucket (full_at) WHERE name <> 'certificates_per_registered_domain';
DROP INDEX csrq.rate_bucket_full;
CREATE INDEX rate_bucket_domain_to_drop ON csrq.rate_bucket (full_at) WHERE name = 'certificates_per_registered_domain';
