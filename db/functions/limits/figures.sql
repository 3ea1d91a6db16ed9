-- Writes what the configuration of the worker that starts says about a CA's limits. Buckets of
-- limits that are new are filled from the history; rows of administrators stay.
CREATE OR REPLACE FUNCTION csrq.set_rate_limits(p_directory text, p_names text[], p_bursts int[],
    p_periods interval[], p_renewals text[], p_sources text[])
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    unseen text[];
BEGIN
    DELETE FROM csrq.rate_limit l
     WHERE l.directory = p_directory
       AND l.key = ''
       AND l.source NOT IN ('administrator', 'learnt')
       AND l.name <> ALL (p_names);

    unseen := array(
        SELECT n
          FROM unnest(p_names) n
         WHERE NOT EXISTS (SELECT FROM csrq.rate_limit l
                            WHERE l.directory = p_directory
                              AND l.name = n
                              AND l.key = ''
                              AND l.source <> 'learnt'));

    INSERT INTO csrq.rate_limit AS l (directory, name, burst, period, renewals, source)
    SELECT p_directory, w.name, w.burst, w.period, w.renewals, w.source
      FROM unnest(p_names, p_bursts, p_periods, p_renewals, p_sources)
           w(name, burst, period, renewals, source)
     ORDER BY w.name
        ON CONFLICT (directory, name, key) DO UPDATE
       SET burst = EXCLUDED.burst, period = EXCLUDED.period,
           renewals = EXCLUDED.renewals, source = EXCLUDED.source
     WHERE l.source <> 'administrator'
       AND (l.burst, l.period, l.renewals, l.source) IS DISTINCT FROM
           (EXCLUDED.burst, EXCLUDED.period, EXCLUDED.renewals, EXCLUDED.source);

    PERFORM csrq.seed_buckets(p_directory, unseen);
END $$;

-- A limit has new figures: what is spent stays spent, token for token, as far as the new bucket
-- goes.
CREATE OR REPLACE FUNCTION csrq.rescale_buckets() RETURNS trigger
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    former csrq.rate_limit;
    factor double precision;
BEGIN
    IF TG_OP = 'UPDATE' THEN
        former := OLD;
    ELSE
        SELECT * INTO former
          FROM csrq.rate_limit l
         WHERE l.directory = NEW.directory
           AND l.name = NEW.name
           AND l.key = ''
           AND NEW.key <> '';
    END IF;
    -- New refill / former refill; null: what had no figures had no buckets.
    factor := (extract(epoch FROM NEW.period) / NEW.burst)
              / (extract(epoch FROM former.period) / former.burst);

    UPDATE csrq.rate_bucket b
       SET full_at = least(now() + NEW.period, now() + (b.full_at - now()) * factor),
           promised_until = now()
     WHERE former.burst IS NOT NULL
       AND b.directory = NEW.directory
       AND b.name = NEW.name
       AND b.full_at > now()
       AND (b.key = NEW.key
            OR NEW.key = ''
               AND NOT EXISTS (SELECT FROM csrq.rate_limit o
                                WHERE o.directory = b.directory
                                  AND o.name = b.name
                                  AND o.key = b.key));
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER rescale_buckets
    AFTER INSERT OR UPDATE ON csrq.rate_limit
    FOR EACH ROW EXECUTE FUNCTION csrq.rescale_buckets();
