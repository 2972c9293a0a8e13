"""Tests of the rules: given facts, when a fact is told or time passes, then events."""
