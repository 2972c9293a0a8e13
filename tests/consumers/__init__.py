"""Tests of what reads Kafka."""
