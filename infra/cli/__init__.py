"""Placeholder docstring, replaced as the package takes shape."""
