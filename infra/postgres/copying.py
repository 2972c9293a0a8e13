"""COPY: rows to a table at the speed of the disk (about ten times that of INSERT), streamed, whatever their number."""

import re
from collections.abc import Iterable, Iterator, Sequence

from psycopg2 import extensions

CHUNK_BYTES = 1 << 20
_NEEDS_ESCAPE = re.compile(r"[\\\t\n\r]").search


def copy_rows(cursor: extensions.cursor, target: str, rows: Iterable[Sequence[str | None]]) -> None:
    r"""Copy rows of texts (None is NULL; bytea as `\x…` in hex) into a target: `schema.table (column, …)`."""
    cursor.copy_expert(f"COPY {target} FROM STDIN", _Lines(rows), size=CHUNK_BYTES)


class _Lines:
    """The rows as a file in COPY's text format, made as it is read."""

    def __init__(self, rows: Iterable[Sequence[str | None]]) -> None:
        self._lines = _encoded(rows)
        self._rest = b""

    def read(self, size: int = CHUNK_BYTES) -> bytes:
        parts, length = [self._rest], len(self._rest)
        for line in self._lines:
            parts.append(line)
            length += len(line)
            if length >= size:
                break
        content = b"".join(parts)
        self._rest = content[size:]
        return content[:size]

    def readline(self, size: int = CHUNK_BYTES) -> bytes:
        """COPY reads by size only; psycopg2 asks that this exists."""
        return self.read(size)


def _encoded(rows: Iterable[Sequence[str | None]]) -> Iterator[bytes]:
    for row in rows:
        values = ["\\N" if value is None else _escaped(value) if _NEEDS_ESCAPE(value) else value for value in row]
        yield ("\t".join(values) + "\n").encode()


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")
