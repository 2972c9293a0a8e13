"""`python -m infra.reference [--write]`: check the pages under docs/reference, or write them.

Exit codes: 0 up to date (or written), 1 a page is stale, missing or nobody's, 2 wrong usage. It needs a checkout: an
installed package has no docs.
"""

import argparse
import sys
from pathlib import Path

from infra.reference.pages import PAGES

FOLDER = Path(__file__).parents[2] / "docs" / "reference"


def stale_pages(folder: Path = FOLDER) -> list[str]:
    """Give a sentence for each page that is not what the code says, for each that is missing and each that nobody makes."""
    faults = []
    for name, make in PAGES.items():
        page = folder / name
        if not page.exists():
            faults.append(f"{name} is missing")
        elif page.read_text("utf-8") != make():
            faults.append(f"{name} is stale")
    faults += [f"{page.name} is made by nothing" for page in sorted(folder.glob("*.*")) if page.name not in PAGES]
    return faults


def write_pages(folder: Path = FOLDER) -> None:
    """Write every page."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, make in PAGES.items():
        (folder / name).write_text(make(), "utf-8")


def main(arguments: list[str]) -> int:
    """Check or write; give the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m infra.reference", description="Check docs/reference against the code."
    )
    parser.add_argument("--write", action="store_true", help="write the pages instead of checking them")
    asked = parser.parse_args(arguments)
    if not FOLDER.parent.is_dir():
        print(f"There is no folder {FOLDER.parent}: run this in a checkout of the project.", file=sys.stderr)
        return 2
    if asked.write:
        write_pages()
    faults = stale_pages()
    for fault in faults:
        print(f"docs/reference/{fault}; write the pages with: python -m infra.reference --write", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
