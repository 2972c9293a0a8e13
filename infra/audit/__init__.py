"""Proofs for outsiders: writing them (`proving`), and the one file that checks them with nothing of ours (`verify`)."""
