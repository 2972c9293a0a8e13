"""The projections' tables in PostgreSQL: one schema per build, written by the projector, read by everyone else."""
