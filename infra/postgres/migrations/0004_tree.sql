-- Proofs for outsiders: who this ledger is, and hashes of complete subtrees, so that a proof reads few rows.

-- The id that tree heads are signed for. A copy of the database has it too: it is the same ledger up to where the two part.
CREATE TABLE ledger.ledger_id (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    id       uuid NOT NULL DEFAULT gen_random_uuid()
);
COMMENT ON TABLE ledger.ledger_id IS 'One row: the random id of this ledger, which its tree heads and its key are named by.';
INSERT INTO ledger.ledger_id DEFAULT VALUES;
CREATE TRIGGER is_immutable BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON ledger.ledger_id
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
ALTER TABLE ledger.ledger_id ENABLE ALWAYS TRIGGER is_immutable;

-- Levels 8, 16, 24, ...: a node covers 2^level events, those after the number * 2^level before them. Level 0 is ledger.event itself.
-- A row for every 256 events or so; of each level a proof reads at most 256.
CREATE TABLE ledger.tree_node (
    level  smallint,
    number bigint,
    hash   bytea NOT NULL,
    PRIMARY KEY (level, number),
    CHECK (level > 0 AND level % 8 = 0 AND number >= 0 AND octet_length(hash) = 32)
);
COMMENT ON TABLE ledger.tree_node IS 'Hashes of complete subtrees of the tree over ledger.event.leaf_hash (RFC 6962), written by `audit head`.';
CREATE TRIGGER is_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger.tree_node
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.refuse_change();
ALTER TABLE ledger.tree_node ENABLE ALWAYS TRIGGER is_immutable;

GRANT SELECT ON ledger.ledger_id, ledger.tree_node
    TO partner_ledger_application, partner_ledger_reader, partner_ledger_projector;
GRANT INSERT ON ledger.tree_node TO partner_ledger_application;
