#include "bench/virtual_clock.hpp"

#include "store/sql.hpp"

namespace csrq::bench {
namespace {

/// csrq's functions look their names up in pg_catalog: a schema before it hides now(). What is not looked up
/// when it runs (defaults) is written anew.
constexpr auto virtual_clock_sql = R"sql(
    CREATE SCHEMA simulated;
    GRANT USAGE ON SCHEMA simulated TO PUBLIC;
    CREATE FUNCTION simulated.now() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
        AS $$ SELECT pg_catalog.current_setting('simulated.now')::pg_catalog.timestamptz $$;
    CREATE FUNCTION simulated.clock_timestamp() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE
        AS $$ SELECT pg_catalog.current_setting('simulated.now')::pg_catalog.timestamptz $$;
    DO $$
    DECLARE
        found record;
    BEGIN
        FOR found IN SELECT p.oid::regprocedure AS name FROM pg_proc p
                      WHERE p.pronamespace = 'csrq'::regnamespace
                        AND p.proconfig::text LIKE '%search_path=pg_catalog%'
        LOOP
            EXECUTE format('ALTER FUNCTION %s SET search_path = simulated, pg_catalog, pg_temp', found.name);
        END LOOP;
        FOR found IN SELECT d.adrelid::regclass AS relation, a.attname AS name
                       FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
                       JOIN pg_class c ON c.oid = d.adrelid
                      WHERE c.relnamespace = 'csrq'::regnamespace
                        AND pg_get_expr(d.adbin, d.adrelid) IN ('now()', 'clock_timestamp()')
        LOOP
            EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET DEFAULT simulated.now()',
                           found.relation, found.name);
        END LOOP;
    END $$;
)sql";

}  // namespace

void install_virtual_clock(pqxx::connection& connection) {
  pqxx::nontransaction(connection).exec(virtual_clock_sql);
}

void set_virtual_clock(pqxx::transaction_base& transaction, Time now) {
  store::execute(transaction, "SELECT set_config('simulated.now', $1::timestamptz::text, false)", {now});
}

}  // namespace csrq::bench
