-- Which build of the projections answers queries. Each build is a schema of its own, `projection_<n>`, made and owned by the
-- projector's login; it can be dropped and filled again from Kafka at any time. The projector cannot append to `ledger`.
CREATE SCHEMA projection;

CREATE TABLE projection.live (
    only_row    boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    build       integer NOT NULL CHECK (build > 0),
    switched_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE projection.live IS
    'The live build: queries read schema projection_<build>. A batch holds the shared advisory lock, a switch the exclusive one.';

GRANT USAGE ON SCHEMA projection TO partner_ledger_projector, partner_ledger_reader;
GRANT SELECT, INSERT, UPDATE ON projection.live TO partner_ledger_projector;
GRANT SELECT ON projection.live TO partner_ledger_reader;

DO $$
BEGIN
    EXECUTE format('GRANT CREATE ON DATABASE %I TO partner_ledger_projector', current_database());
END
$$;
