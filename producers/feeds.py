"""Feeds: folders of CSV or JSON Lines files, read row by row into facts (feeds-and-commands.md, Feed folder).

Reading streams: memory does not grow with a file. A row that cannot be a fact is given as such, with its reason; a file
that cannot be read at all (wrong columns, not UTF-8) raises, and the import records nothing.
"""

import csv
import datetime as dt
import difflib
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BufferedReader, TextIOWrapper
from pathlib import Path
from typing import Any

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
    read_fact,
)
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


@dataclass(frozen=True, slots=True)
class FeedRow:
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
            read = _csv_rows if path.suffix == ".csv" else _json_rows
            try:
                for line, row, fault in read(text, fact_type, path.name):
                    fact, reason = (None, fault) if fault else _fact(fact_type, row)
                    if fact is None:
                        yield FeedRow(NO_FACT, None, rank, fact_type.KIND, path.name, line, "", reason)
                    else:
                        content = fact.model_dump_json()
                        yield FeedRow(phase, fact.business_date, rank, fact_type.KIND, path.name, line, content)
            except UnicodeDecodeError as error:
                raise InvalidInput(
                    f"{path.name} is not UTF-8: {error.reason} ({error.object[error.start : error.end]!r})."
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


def _csv_rows(
    text: TextIOWrapper, fact_type: type[Fact], name: str
) -> Iterator[tuple[int, dict[str, Any], str | None]]:
    reader = csv.reader(text, strict=True)
    try:
        columns = next(reader, [])
        _check_columns(columns, fact_type, name)
        line = reader.line_num + 1
        for values in reader:
            if values:
                if len(values) == len(columns):
                    yield line, dict(zip(columns, values, strict=True)), None
                else:
                    yield line, {}, f"The row has {len(values)} values for {len(columns)} columns."
            line = reader.line_num + 1
    except csv.Error as error:
        raise InvalidInput(f"{name}, line {reader.line_num}: {error}.") from None


def _check_columns(columns: list[str], fact_type: type[Fact], name: str) -> None:
    fields = fact_type.model_fields
    missing = [c for c, field in fields.items() if field.is_required() and c not in columns]
    strange = [c for c in columns if c not in fields]
    twice = [c for c in dict.fromkeys(columns) if columns.count(c) > 1]
    faults = [
        *(f"column {c} is missing" for c in missing),
        *(f"there is no column {c!r}" for c in strange),
        *(f"column {c} is there twice" for c in twice),
    ]
    if faults:
        raise InvalidInput(f"{name}, line 1: {'; '.join(faults)}. The columns are {', '.join(fields)}.")


def _keys_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a row of a JSON object; of a key that is there twice, neither value is to be taken quietly."""
    row = dict(pairs)
    if len(row) < len(pairs):
        twice = next(key for key, _ in pairs if sum(key == other for other, _ in pairs) > 1)
        raise ValueError(f"the key {twice!r} is there twice")
    return row


def _json_rows(
    text: TextIOWrapper, fact_type: type[Fact], name: str
) -> Iterator[tuple[int, dict[str, Any], str | None]]:
    for line, document in enumerate(text, start=1):
        if not document.strip():
            continue
        try:
            row = json.loads(
                document, parse_float=str, parse_int=str, object_pairs_hook=_keys_once
            )  # an amount stays what was written
        except (ValueError, RecursionError) as error:
            yield line, {}, f"The line is not JSON: {error}."
            continue
        if isinstance(row, dict):
            yield line, row, None
        else:
            yield line, {}, f"The line is not a JSON object with the keys {', '.join(fact_type.model_fields)}."
