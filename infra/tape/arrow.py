"""pyarrow, which only replays need: an extra of the package, imported when a tape is opened and never before."""

from typing import Any

from domain.errors import InvalidInput


def pyarrow() -> Any:
    """Give the package.

    Raises:
        InvalidInput: it is not installed.

    """
    try:
        import pyarrow as package
        import pyarrow.compute
        import pyarrow.parquet
    except ImportError as error:
        raise InvalidInput(
            "Replays keep recorded facts as Parquet files, and pyarrow, which reads and writes them, is not installed:"
            " install partner-ledger[replay]."
        ) from error
    return package
