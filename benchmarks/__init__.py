"""What the ledger does on this machine, measured: `uv run --group bench python -m benchmarks`.

Each module is one benchmark with one function, `measure`; `__main__` runs them and prints the table. The figures of one
machine, and what bounds each, stand in `docs/benchmarks.md`.
"""
