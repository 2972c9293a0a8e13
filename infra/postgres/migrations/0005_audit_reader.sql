-- `audit verify` reads with the login that only reads: decisions begin from partners' snapshots, so these are compared as well.
GRANT SELECT ON ledger.snapshot TO partner_ledger_reader;
