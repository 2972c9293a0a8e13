"""COPY: rows to a table at the speed of the disk (about ten times that of INSERT), streamed, whatever their number."""

from collections.abc import Iterable

from psycopg2 import extensions

CHUNK_BYTES = 1 << 20


def copy_lines(cursor: extensions.cursor, target: str, lines: Iterable[str]) -> None:
    r"""Copy lines into a target: `schema.table (column, …)`.

    A line is a row: its columns as `text` and `bytea` give them, or as PostgreSQL reads them where they are no text of
    others; a tab between them, a line feed at the end.
    """
    cursor.copy_expert(f"COPY {target} FROM STDIN", _Lines(lines), size=CHUNK_BYTES)


NULL = "\\N"
"""Nothing, as a column of a line."""


def text(value: str | None) -> str:
    """Give a text as a column of a line."""
    if value is None:
        return NULL
    if value.isprintable() and "\\" not in value:
        return value
    return value.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def bytea(value: bytes) -> str:
    """Give bytes as a column of a line: as they stand where all are plain characters, which is half as long, else in hex."""
    if value.isascii() and len(value.translate(None, _NOT_PLAIN)) == len(value):
        return value.decode()
    return "\\\\x" + value.hex()


_NOT_PLAIN = bytes(range(32)) + b"\\\x7f"


class _Lines:
    """The lines as a file, made as it is read."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = map(str.encode, lines)
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
