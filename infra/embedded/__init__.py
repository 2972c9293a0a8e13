"""A real Apache Kafka and a real PostgreSQL that the project starts itself, so that nothing is installed by hand.

`servers` is what callers use: up, down, status. Behind it stand `kafka_server` and `postgres_server` (one server each, under
one home folder), `jars` (Kafka's jars, each pinned by its digest), and `processes` and `locks`, which keep two homes and
two commands at once from disturbing each other.
"""
