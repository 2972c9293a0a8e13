"""The page of settings: from the fields of `Settings`."""

from typing import Any

from infra.reference.markdown import Undocumented, code, default_text, page, table
from infra.settings import PREFIX, Settings

_INTRODUCTION = f"""
Settings come from the environment, prefix `{PREFIX}`, or from a `.env` in the current folder; the environment goes first.
An empty value counts as not set. A wrong value and an unknown name with this prefix are refused by name (exit code 2).
`partner-ledger settings` shows the values in force and where each comes from; passwords are masked.
"""


def settings_page() -> str:
    """Make the page."""
    rows = []
    for name, field in Settings.model_fields.items():
        if not field.description:
            raise Undocumented(f"The setting {name} has no description: say in infra/settings.py what it is.")
        limits = _limits(field.metadata)
        rows.append((code(PREFIX + name.upper()), default_text(field.default), field.description + limits))
    columns = ("variable", "default", "meaning")
    servers = "How to name servers of your own, and which login needs what: [own servers](../how-to/own-servers.md)."
    return page("Settings", _INTRODUCTION, table(columns, rows), servers)


def _limits(metadata: list[Any]) -> str:
    least = next((limit.ge for limit in metadata if hasattr(limit, "ge")), None)
    most = next((limit.le for limit in metadata if hasattr(limit, "le")), None)
    if least is None and most is None:
        return ""
    return f" At least {least:,}." if most is None else f" From {least:,} to {most:,}."
