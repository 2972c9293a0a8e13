"""A million refused rows: they are held by the database and by the rejects file, never by the process."""

import contextlib
import io
import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

from infra.cli.console import print_json
from infra.postgres.staging import PostgresFeedStaging
from tests.servers import execute, fresh_database

ROWS = 30_000


def peak_of(read: Callable[[], Any]) -> int:
    tracemalloc.start()
    try:
        read()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_refused_rows_are_counted_and_given_page_by_page() -> None:
    """All of them, in order, in the memory of a page; those of another run are left out."""
    endpoints = fresh_database()
    for key, rows in (("d/1", ROWS), ("d/2", 5)):
        execute(
            endpoints.database_url,
            f"INSERT INTO ledger.import_progress (digest, done, recorded, duplicates, events, finished)"
            f" VALUES ('{key}', {rows}, 0, 0, 0, false);"
            f"INSERT INTO ledger.import_refusal SELECT '{key}', n * 2, 'sales.csv', n + 1, repeat('why', 40)"
            f" FROM generate_series(1, {rows}) AS n",
        )
    staging = PostgresFeedStaging(endpoints.database_url)
    lines: list[int] = []
    peak = peak_of(lambda: lines.extend(row.line for row in staging.refused_rows("d/1")))
    assert lines == list(range(2, ROWS + 2))
    assert peak < 3_000_000
    assert staging.summary("d/1").refused == ROWS
    assert staging.summary("d/2").refused == 5
    assert list(staging.refused_rows("d/3")) == []
    staging.close()


def test_a_list_that_comes_row_by_row_is_printed_as_a_list_in_memory_would_be() -> None:
    """Byte for byte; an empty one too."""
    for rows in ([], [{"line": 1, "reason": 'ü\n"x"'}], [{"line": 1}, {"line": 2, "in": {"a": []}}]):
        written = io.StringIO()
        with contextlib.redirect_stdout(written):
            print_json({"recorded": 3, "refused": iter(rows), "events": 2, "in": {"a": [1]}})
        whole = {"recorded": 3, "refused": rows, "events": 2, "in": {"a": [1]}}
        assert written.getvalue() == json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def test_a_list_that_comes_row_by_row_is_not_held() -> None:
    """Many rows are printed in the memory of one."""
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        assert (
            peak_of(lambda: print_json({"refused": ({"line": n, "reason": "why"} for n in range(50_000))})) < 1_000_000
        )
