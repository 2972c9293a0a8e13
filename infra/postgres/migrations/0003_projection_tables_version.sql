-- Which tables the live build has. A version of the program that needs others begins a new build, filled again from Kafka.
ALTER TABLE projection.live ADD COLUMN tables_version integer NOT NULL DEFAULT 1;
