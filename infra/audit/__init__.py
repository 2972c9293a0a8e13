"""Audits: the ledger verified as a whole (`verifying`), proofs for outsiders (`proving`), and the one file that checks these
with nothing of ours (`verify`)."""
