"""Kafka: the only package that imports kafka-python. `clients` configures, `admin` creates, `ledger_topics` relays."""
