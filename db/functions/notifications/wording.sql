-- What messages of several kinds have in common.

-- "1 failure", "2 failures".
CREATE OR REPLACE FUNCTION csrq.counted(p_count bigint, p_one text, p_many text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT p_count || ' ' || CASE p_count WHEN 1 THEN p_one ELSE p_many END
$$;

-- An example of a cause: one request, with up to three of its names.
CREATE OR REPLACE FUNCTION csrq.example_of_cause(p_request bigint, p_customer text, p_names text[],
    p_detail text, p_at timestamptz)
RETURNS jsonb
LANGUAGE sql STABLE
AS $$
    SELECT jsonb_build_object(
        'request', p_request,
        'customer', p_customer,
        'names', p_names[1:3],
        'detail', left(p_detail, 500),
        'at', csrq.rfc3339(p_at))
$$;

-- A cause of failures or of waiting, as messages have it.
CREATE OR REPLACE FUNCTION csrq.cause_in_message(p_class text, p_code text, p_count bigint,
    p_need_a_person bigint, p_first_at timestamptz, p_last_at timestamptz, p_examples jsonb)
RETURNS jsonb
LANGUAGE sql STABLE
AS $$
    SELECT jsonb_build_object(
        'class', p_class,
        'code', p_code,
        'count', p_count,
        'need_a_person', p_need_a_person,
        'first_at', csrq.rfc3339(p_first_at),
        'last_at', csrq.rfc3339(p_last_at),
        'examples', p_examples)
$$;

-- How many causes a message shows; it counts the others.
CREATE OR REPLACE FUNCTION csrq.most_causes() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT 50
$$;

-- How many rows a message shows of a cause.
CREATE OR REPLACE FUNCTION csrq.most_examples() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT 5
$$;

-- How many alarms, or certificates, a message shows.
CREATE OR REPLACE FUNCTION csrq.most_shown() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT 20
$$;

-- The causes of a message: the first of them (csrq.cause_in_message()), and how many there are.
CREATE OR REPLACE FUNCTION csrq.causes_in_message(p_first jsonb, p_causes bigint) RETURNS jsonb
LANGUAGE sql STABLE
AS $$
    SELECT jsonb_build_object(
        'causes', p_first,
        'causes_left_out', greatest(p_causes - csrq.most_causes(), 0))
$$;
