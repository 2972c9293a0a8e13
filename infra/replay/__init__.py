"""Replays of recorded facts, divided among processes."""
