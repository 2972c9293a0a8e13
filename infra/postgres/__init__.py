"""PostgreSQL, by psycopg2: the event store and its migrations; staged imports; the projections' tables."""
