"""Tests of the pure folds."""
