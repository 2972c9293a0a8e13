"""What puts facts into the ledger and records on Kafka: the feeds, the relay, the public tier-change topic."""
