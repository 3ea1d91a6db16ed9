-- ACME accounts and their keys.

-- Whether this is the sealing key of this database; where there is none yet, it becomes that.
-- Workers ask before they make an account or claim a row.
CREATE OR REPLACE FUNCTION csrq.use_sealing_key(p_id text) RETURNS boolean
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM csrq.sealing_key k WHERE k.id = p_id) THEN
        RETURN true;
    END IF;

    -- Of two workers that start in an empty database one is the first. Apps cannot lock this table.
    LOCK TABLE csrq.sealing_key IN SHARE ROW EXCLUSIVE MODE;
    INSERT INTO csrq.sealing_key (id)
    SELECT p_id
     WHERE EXISTS (
               SELECT
                 FROM csrq.acme_account_key k
                WHERE k.sealing_key_id = p_id AND k.retired_at IS NULL)
        OR NOT EXISTS (SELECT FROM csrq.sealing_key)
           AND NOT EXISTS (SELECT FROM csrq.acme_account_key k WHERE k.retired_at IS NULL)
    ON CONFLICT DO NOTHING;
    RETURN EXISTS (SELECT FROM csrq.sealing_key k WHERE k.id = p_id);
END
$$;

-- The account of an owner at a CA. If there is none and a sealed key is given, it is made with that
-- key; of two workers at once, one key wins and both get it. No row: there is none.
CREATE OR REPLACE FUNCTION csrq.account_for(
    p_ca text, p_directory text, p_policy text, p_owner text, p_thumbprint text,
    p_spki_sha256 bytea, p_sealing_key_id text, p_sealed bytea)
RETURNS TABLE (
    id bigint, status text, url text, orders_url text, thumbprint text, sealing_key_id text,
    sealed bytea)
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF p_sealed IS NOT NULL THEN
        WITH made AS (
            INSERT INTO csrq.acme_account AS a (ca, directory, policy, owner)
            VALUES (p_ca, p_directory, p_policy, p_owner)
            ON CONFLICT (directory, policy, owner) DO NOTHING
            RETURNING a.id)
        INSERT INTO csrq.acme_account_key (
               account_id, thumbprint, spki_sha256, sealing_key_id, sealed)
        SELECT m.id, p_thumbprint, p_spki_sha256, p_sealing_key_id, p_sealed
          FROM made m;
    END IF;

    RETURN QUERY
    SELECT a.id, a.status, a.url, a.orders_url, k.thumbprint, k.sealing_key_id, k.sealed
      FROM csrq.acme_account a
      JOIN csrq.acme_account_key k ON k.account_id = a.id AND k.retired_at IS NULL
     WHERE a.directory = p_directory AND a.policy = p_policy AND a.owner = p_owner;
END
$$;

-- True if a public key (SHA-256 of its SubjectPublicKeyInfo) is any account's, retired ones
-- included.
CREATE OR REPLACE FUNCTION csrq.is_account_key(p_spki_sha256 bytea) RETURNS boolean
LANGUAGE sql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (SELECT FROM csrq.acme_account_key k WHERE k.spki_sha256 = p_spki_sha256)
$$;

-- The CA says that an account was deactivated or revoked, which is final (RFC 8555 §7.3.6).
CREATE OR REPLACE FUNCTION csrq.account_ended(p_account bigint, p_status text, p_error jsonb)
RETURNS void
LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE csrq.acme_account a
       SET status = p_status, error = p_error
     WHERE a.id = p_account AND a.status = 'valid';
END
$$;
