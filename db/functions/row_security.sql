-- Which rows a login reads and writes: apps those of their customers, staff all.
--
-- Policies go by the login (session_user): anyone could change a setting, and SET ROLE changes
-- current_user. A policy without WITH CHECK has its USING for what is written, too. (SELECT f()) is
-- evaluated once a query, a bare f() once a row.

ALTER TABLE csrq.certificate ENABLE ROW LEVEL SECURITY;
ALTER TABLE csrq.event ENABLE ROW LEVEL SECURITY;
ALTER TABLE csrq.job ENABLE ROW LEVEL SECURITY;
ALTER TABLE csrq.renewal ENABLE ROW LEVEL SECURITY;
ALTER TABLE csrq.renewal_info ENABLE ROW LEVEL SECURITY;
ALTER TABLE csrq.request ENABLE ROW LEVEL SECURITY;
ALTER TABLE csrq.request_name ENABLE ROW LEVEL SECURITY;
ALTER TABLE csrq.turn ENABLE ROW LEVEL SECURITY;

-- Staff.
CREATE POLICY staff ON csrq.certificate FOR ALL TO csrq_worker, csrq_admin, csrq_dba
    USING (true);
CREATE POLICY staff ON csrq.event FOR ALL TO csrq_worker, csrq_admin, csrq_dba
    USING (true);
CREATE POLICY staff ON csrq.job FOR ALL TO csrq_worker, csrq_admin, csrq_dba
    USING (true);
CREATE POLICY staff ON csrq.renewal FOR ALL TO csrq_worker, csrq_admin, csrq_dba
    USING (true);
CREATE POLICY staff ON csrq.renewal_info FOR ALL TO csrq_worker, csrq_admin, csrq_dba
    USING (true);
CREATE POLICY staff ON csrq.request FOR ALL TO csrq_worker, csrq_admin, csrq_dba
    USING (true);
CREATE POLICY staff ON csrq.request_name FOR ALL TO csrq_worker, csrq_admin, csrq_dba
    USING (true);
CREATE POLICY staff ON csrq.turn FOR ALL TO csrq_worker, csrq_admin, csrq_dba
    USING (true);

-- Apps: rows of their customers; '*': of all.
CREATE POLICY app ON csrq.certificate FOR ALL TO csrq_app
    USING (customer = ANY ((SELECT csrq.my_customers())::text[])
           OR '*' = ANY ((SELECT csrq.my_customers())::text[]));
CREATE POLICY app ON csrq.event FOR ALL TO csrq_app
    USING (customer = ANY ((SELECT csrq.my_customers())::text[])
           OR '*' = ANY ((SELECT csrq.my_customers())::text[]));
CREATE POLICY app ON csrq.job FOR ALL TO csrq_app
    USING (customer = ANY ((SELECT csrq.my_customers())::text[])
           OR '*' = ANY ((SELECT csrq.my_customers())::text[]));
CREATE POLICY app ON csrq.request FOR ALL TO csrq_app
    USING (customer = ANY ((SELECT csrq.my_customers())::text[])
           OR '*' = ANY ((SELECT csrq.my_customers())::text[]));
CREATE POLICY app ON csrq.turn FOR ALL TO csrq_app
    USING (customer = ANY ((SELECT csrq.my_customers())::text[])
           OR '*' = ANY ((SELECT csrq.my_customers())::text[]));

-- Apps: rows of requests that they see.
CREATE POLICY app ON csrq.renewal FOR SELECT TO csrq_app
    USING (EXISTS (SELECT FROM csrq.request r WHERE r.id = request_id));
CREATE POLICY app ON csrq.renewal_info FOR SELECT TO csrq_app
    USING (EXISTS (SELECT FROM csrq.request r WHERE r.id = request_id));
CREATE POLICY app ON csrq.request_name FOR SELECT TO csrq_app
    USING (EXISTS (SELECT FROM csrq.request r WHERE r.id = request_id));
