-- Lanes: which rows go before which. Those of one lane wait together (csrq.job.lane).

-- The names of the lanes, the most urgent first. The number of a lane is its place, counted from 0.
CREATE OR REPLACE FUNCTION csrq.lane_names() RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT ARRAY['urgent', 'normal', 'renewal', 'bulk']
$$;

-- The numbers of the lanes, the most urgent first.
CREATE OR REPLACE FUNCTION csrq.lanes() RETURNS SETOF int
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 4
AS $$
    SELECT * FROM generate_series(0, cardinality(csrq.lane_names()) - 1)
$$;

-- The number of a lane. A first certificate stands in the lane that has the name of its row's
-- priority; a renewal that fell due stands in the lane "renewal".
CREATE OR REPLACE FUNCTION csrq.lane_of(p_name text) RETURNS smallint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT (array_position(csrq.lane_names(), p_name) - 1)::smallint
$$;
