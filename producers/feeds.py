"""Feeds: folders of CSV or JSON Lines files, read row by row into facts (feeds-and-commands.md, Feed folder).

Reading streams: memory does not grow with a file (`producers.feed_rows`). A row that cannot be a fact is given as such,
with its reason; a file that cannot be read at all (wrong columns, not UTF-8) raises, and the import records nothing.
"""

import datetime as dt
import difflib
import hashlib
import json
from collections.abc import Iterator, Mapping
from io import BufferedReader, TextIOWrapper
from pathlib import Path
from typing import Any, NamedTuple

from domain.errors import InvalidInput
from domain.facts import (
    AwardTier,
    ChangeMembership,
    EnrolPartner,
    Fact,
    RecordSale,
    RecordTraining,
    ReverseSale,
    RevokeCertificate,
    fact_json,
    read_fact,
)
from producers.feed_rows import csv_rows, json_rows, undecodable_line
from producers.programme_files import read_programme_file

PROGRAMME = "programme"
"""The kind of a feed row that is a whole programme file."""

FEED_FILES: Mapping[str, type[Fact]] = {
    "partners": EnrolPartner,
    "memberships": ChangeMembership,
    "trainings": RecordTraining,
    "revocations": RevokeCertificate,
    "sales": RecordSale,
    "reversals": ReverseSale,
    "awards": AwardTier,
}
"""The files of a folder, in the order in which facts of one date are taken."""

SUFFIXES = (".csv", ".jsonl")

PROGRAMMES, ENROLMENTS, OTHER_FACTS, NO_FACT = range(4)
"""The phases of an import, in their order; in the last are rows that could not be read as a fact."""


class FeedRow(NamedTuple):
    """A row at its place: in the import's order by (phase, date, rank), then as the files have it.

    `content` is the fact's JSON (of a programme file its content); a row that is no fact has a `reason` instead.
    """

    phase: int
    date: dt.date | None
    rank: int
    kind: str
    file: str
    line: int
    content: str
    reason: str | None = None


class FeedFolder:
    """A folder to be imported as one. `rows` must be read to the end before `digest` is asked for."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise InvalidInput(f"{folder} is not a folder; import takes folders with files such as sales.csv.")
        self.folder = folder
        self._programmes = sorted(
            path for pattern in ("*.yaml", "*.yml") for path in (folder / "programmes").glob(pattern)
        )
        self._files = [
            (name, path) for name in FEED_FILES for suffix in SUFFIXES if (path := folder / f"{name}{suffix}").is_file()
        ]
        self._refuse_strangers()
        for path in self._programmes:
            if not path.name.isprintable():
                raise InvalidInput(f"programmes/{path.name!r} has a name that cannot be told; name it otherwise.")
        if not self._files and not self._programmes:
            raise InvalidInput(
                f"{folder} holds no feed: none of {', '.join(f'{name}.csv' for name in FEED_FILES)}"
                " and no programmes/*.yaml."
            )
        self._hash = hashlib.sha256()

    @property
    def digest(self) -> str:
        """The digest of all that was read: the same folder told again has the same one."""
        return self._hash.hexdigest()

    @property
    def size(self) -> int:
        """Bytes to be read, for the progress bar."""
        return sum(path.stat().st_size for path in [*self._programmes, *(path for _, path in self._files)])

    def rows(self) -> Iterator[FeedRow]:
        """Read all rows, file by file, in no particular order of dates.

        Raises:
            InvalidInput: a file that cannot be read at all; name and line are in the sentence.

        """
        for path in self._programmes:
            self._note(path, path.read_bytes())
            programme = read_programme_file(path)
            content = json.dumps(programme.content())
            yield FeedRow(PROGRAMMES, programme.effective_from, 0, PROGRAMME, f"programmes/{path.name}", 1, content)
        for rank, (name, path) in enumerate(self._files):
            yield from self._file_rows(rank, FEED_FILES[name], path)

    def _refuse_strangers(self) -> None:
        """Refuse files with a feed's suffix and another name: a mistyped one would be money left out quietly."""
        known = {path.name for _, path in self._files}
        programmes = self.folder / "programmes"
        if programmes.is_symlink() and not programmes.exists():
            raise InvalidInput(f"{programmes} is a link to nothing.")
        for path in [*self._programmes, *sorted(self.folder.iterdir())]:
            if path.suffix.lower() in (*SUFFIXES, ".yaml", ".yml") and not path.is_file():
                raise InvalidInput(
                    f"{path.name} is not a file that can be read (a folder, a device, a link to nothing?)."
                )
        for path in sorted(programmes.glob("*")):
            if path.suffix.lower() in (".yaml", ".yml") and path not in self._programmes:
                raise InvalidInput(f"programmes/{path.name} is not a programme file: name it *.yaml.")
        for path in sorted(self.folder.iterdir()):
            if path.suffix.lower() in SUFFIXES and path.is_file() and path.name not in known:
                names = [f"{name}{suffix}" for name in FEED_FILES for suffix in SUFFIXES]
                close = difflib.get_close_matches(path.name, names, n=1)
                known_names = f"name it {close[0]}" if close else f"known are {', '.join(names[::2])}"
                raise InvalidInput(f"{path.name} is not a feed file: {known_names}.")

    def _note(self, path: Path, content: bytes) -> None:
        self._hash.update(f"{path.name}\0{len(content)}\0".encode())
        self._hash.update(content)

    def _file_rows(self, rank: int, fact_type: type[Fact], path: Path) -> Iterator[FeedRow]:
        phase = ENROLMENTS if fact_type is EnrolPartner else OTHER_FACTS
        self._hash.update(f"{path.name}\0".encode())
        with path.open("rb") as raw, _Hashing(raw, self._hash) as hashing:
            text = TextIOWrapper(hashing, encoding="utf-8-sig", newline="")
            read = csv_rows if path.suffix == ".csv" else json_rows
            try:
                for line, row, fault in read(text, fact_type, path.name):
                    fact, reason = (None, fault) if fault else _fact(fact_type, row)
                    if fact is None:
                        yield FeedRow(NO_FACT, None, rank, fact_type.KIND, path.name, line, "", reason)
                    else:
                        content = fact_json(fact).decode()
                        yield FeedRow(phase, fact.business_date, rank, fact_type.KIND, path.name, line, content)
            except UnicodeDecodeError as error:
                raise InvalidInput(
                    f"{path.name} is not UTF-8: line {undecodable_line(path)}, {error.reason}"
                    f" ({error.object[error.start : error.end]!r})."
                ) from None


def _fact(fact_type: type[Fact], row: dict[str, Any]) -> tuple[Fact | None, str]:
    try:
        return read_fact(fact_type, row), ""
    except InvalidInput as error:
        return None, str(error)


class _Hashing(BufferedReader):
    """A binary reader that also feeds a hash with all that is read."""

    def __init__(self, raw: BufferedReader, digest: Any) -> None:
        super().__init__(raw.raw, buffer_size=1 << 16)
        self._digest = digest

    def read1(self, size: int = -1, /) -> bytes:
        content = super().read1(size)
        self._digest.update(content)
        return content
