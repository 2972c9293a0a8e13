"""The base of the rows that the folds give: immutable, cheap to make by the hundred thousand, an array where it is encoded."""

import msgspec


class Row(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A row of a projection; its fields are the table's columns, in order."""


def in_hex(value: bytes) -> str:
    r"""Give bytes as a row holds them: `\x` and hex digits, which is text to JSON and bytes to PostgreSQL."""
    return "\\x" + value.hex()
