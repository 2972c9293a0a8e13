"""What a soak tells: feed folders with later and later business dates, the same bytes for the same seed.

Most rows are sales. Among them are enrolments, trainings, revocations, reversals, changes of membership and awards; rows
told a second time; and rows that the ledger has to refuse. A round's rows lie in several folders, told one after another.
"""

import csv
import datetime as dt
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from infra.demo.dice import Dice
from infra.demo.network import PROGRAMMES
from infra.demo.partners import COURSES

FIRST_DAY = dt.date(2011, 7, 1)
"""Within the first rounds both later programmes come into force."""
DAYS_A_ROUND = 61
MOST_ROUNDS_A_LEDGER = 80
"""So many rounds' dates lie before this program was written: the ledger's date is never in the future."""

FIRST_PARTNERS = 200
NEW_PARTNERS_A_FOLDER = 3
FAMILIES = ("content-security", "endpoint-security", "virtualisation", "cloud", "saas")
ALL_COURSES = tuple(course for courses in COURSES.values() for course in courses)

COLUMNS = {
    "partners": ("partner_id", "name", "country", "currency", "enrolled_on", "tier"),
    "memberships": ("partner_id", "change", "on", "reason"),
    "trainings": ("completion_id", "partner_id", "person_id", "course", "completed_on"),
    "revocations": ("completion_id", "revoked_on", "reason"),
    "sales": ("deal_id", "partner_id", "closed_on", "family", "amount", "currency", "source_ref"),
    "reversals": ("reversal_id", "deal_id", "reversed_on", "amount", "reason"),
    "awards": ("partner_id", "tier", "awarded_on", "awarded_by", "reason"),
}

Row = tuple[str, ...]


@dataclass(frozen=True)
class RoundFeed:
    """A round's folders, in the order in which they are told, and the day up to which the ledger then advances."""

    folders: Sequence[Path]
    last_day: dt.date


class Network:
    """Partners and what they have done so far; each round goes on where the one before has ended."""

    def __init__(self, seed: int, first_round: int) -> None:
        self._seed = seed
        self._first_round = first_round
        self._partners: list[str] = []
        self._joined: dict[str, dt.date] = {}
        self._suspended: list[str] = []
        self._sales: list[Row] = []
        self._completions: list[str] = []
        self._numbers: dict[str, int] = defaultdict(int)

    def write_round(self, folder: Path, number: int, facts: int, folders: int) -> RoundFeed:
        """Write the folders of a round: at least `facts` sales that can be recorded, and the other rows on top."""
        dice = Dice(self._seed, "feed", str(number))
        begin = FIRST_DAY + dt.timedelta(days=DAYS_A_ROUND * (number - self._first_round))
        written = []
        for index in range(folders):
            first = begin + dt.timedelta(days=DAYS_A_ROUND * index // folders)
            last = begin + dt.timedelta(days=max(DAYS_A_ROUND * (index + 1) // folders - 1, 0))
            sales = facts * (index + 1) // folders - facts * index // folders
            place = folder / f"{index + 1:02}"
            _write(place, self._rows(dice, first, max(first, last), sales))
            if number == self._first_round and index == 0:
                _write_programmes(place)
            written.append(place)
        return RoundFeed(written, begin + dt.timedelta(days=DAYS_A_ROUND - 1))

    def _rows(self, dice: Dice, first: dt.date, last: dt.date, sales: int) -> dict[str, list[Row]]:
        rows: dict[str, list[Row]] = {name: [] for name in COLUMNS}
        known = list(self._sales)  # told in a folder before this one
        if self._partners:
            rows["partners"] = [self._enrolment(dice, first) for _ in range(NEW_PARTNERS_A_FOLDER)]
        else:
            joined = [first - dt.timedelta(days=dice.between(1, 1200)) for _ in range(FIRST_PARTNERS)]
            rows["partners"] = [self._enrolment(dice, enrolled_on) for enrolled_on in joined]
        for _ in range(sales):
            rows["sales"].append(self._sale(dice, first, last))
        for _ in range(1 + sales // 40):
            rows["trainings"].append(self._training(dice, first, last))
        if known:
            for _ in range(1 + sales // 50):
                rows["reversals"].append(self._reversal(dice, dice.pick(known), first, last))
            rows["sales"] += [dice.pick(known) for _ in range(1 + sales // 100)]  # told before
            rows["sales"].append(_with_another_amount(dice.pick(known)))
            rows["revocations"].append((dice.pick(self._completions), last.isoformat(), "not passed after all"))
        rows["memberships"] += self._memberships(dice, first, last)
        rows["awards"].append((dice.pick(self._partners), "platinum", last.isoformat(), "board", "candidate"))
        rows["sales"] += self._refusable(dice, last)
        return rows

    def _number(self, kind: str) -> str:
        self._numbers[kind] += 1
        return f"{kind}{self._numbers[kind]:06}"

    def _enrolment(self, dice: Dice, enrolled_on: dt.date) -> Row:
        partner_id = self._number("P")
        self._partners.append(partner_id)
        self._joined[partner_id] = enrolled_on
        country, currency = dice.pick((("CH", "CHF"), ("DE", "EUR"), ("AT", "EUR")))
        return partner_id, f"Partner {partner_id}", country, currency, enrolled_on.isoformat(), ""

    def _sale(self, dice: Dice, first: dt.date, last: dt.date) -> Row:
        partner_id = dice.pick(self._partners)
        closed_on = dice.day(first, last)
        if dice.happens(30):  # told late
            closed_on = max(closed_on - dt.timedelta(days=dice.between(5, 90)), self._joined[partner_id])
        rappen = dice.lognormal(180_000, "1.1")
        row = (
            self._number("D"),
            partner_id,
            closed_on.isoformat(),
            dice.pick(FAMILIES),
            f"{rappen // 100}.{rappen % 100:02}",
            dice.pick(("CHF", "EUR")),
            f"ERP {self._numbers['D']}",
        )
        self._sales.append(row)
        return row

    def _training(self, dice: Dice, first: dt.date, last: dt.date) -> Row:
        partner_id, completion = dice.pick(self._partners), self._number("T")
        self._completions.append(completion)
        person = f"{partner_id}-{dice.between(1, 3)}"
        return completion, partner_id, person, dice.pick(ALL_COURSES), dice.day(first, last).isoformat()

    def _reversal(self, dice: Dice, sale: Row, first: dt.date, last: dt.date) -> Row:
        """Take a deal back, wholly or in part; one that is gone already is refused."""
        part = "" if dice.happens(500) else f"{int(sale[4].partition('.')[0]) // 3}.05"
        return self._number("R"), sale[0], dice.day(first, last).isoformat(), part, "customer withdrew"

    def _memberships(self, dice: Dice, first: dt.date, last: dt.date) -> list[Row]:
        """Resume who was suspended, suspend somebody, and end a membership: nothing can be sold under that any more."""
        rows = [(who, "resume", first.isoformat(), "invoices paid") for who in self._suspended]
        self._suspended = [dice.pick(self._partners)]
        rows += [(who, "suspend", last.isoformat(), "invoices overdue") for who in self._suspended]
        candidates = [who for who in self._partners if who not in self._suspended and self._joined[who] < first]
        leaving = dice.pick(candidates)
        self._partners.remove(leaving)
        return [*rows, (leaving, "end", last.isoformat(), "business sold")]

    def _refusable(self, dice: Dice, last: dt.date) -> list[Row]:
        """Make rows that the ledger has to refuse, each for a reason of its own."""
        who, on = dice.pick(self._partners), last.isoformat()
        return [
            (self._number("X"), "NOBODY", on, "cloud", "100.00", "CHF", ""),
            (self._number("X"), who, on, "hardware", "100.00", "CHF", ""),
            (self._number("X"), who, on, "cloud", "100.005", "CHF", ""),
            (self._number("X"), who, on, "cloud", "100.00", "USD", ""),
            (self._number("X"), who, "2012-02-30", "cloud", "100.00", "CHF", ""),
            (self._number("X"), who, "2006-11-01", "cloud", "100.00", "CHF", ""),
        ]


def _with_another_amount(sale: Row) -> Row:
    return (*sale[:4], f"9{sale[4]}", *sale[5:])


def _write(folder: Path, rows: dict[str, list[Row]]) -> None:
    folder.mkdir(parents=True)
    for name, columns in COLUMNS.items():
        if rows[name]:
            with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(columns)
                writer.writerows(rows[name])


def _write_programmes(folder: Path) -> None:
    (folder / "programmes").mkdir()
    for name in PROGRAMMES:
        content = files("infra.demo").joinpath("programmes", name).read_bytes()
        (folder / "programmes" / name).write_bytes(content)
