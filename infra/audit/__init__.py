"""Audits: the ledger verified as a whole (`verifying`), proofs for outsiders (`proving`), their checker (`verify`)."""
