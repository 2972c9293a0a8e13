"""The journal for hledger and Beancount: names that are told apart, and files that the programs read, whatever the ids."""

import datetime as dt
import itertools
import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from unicodedata import normalize
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from domain.errors import IntegrityFault
from domain.facts import Id
from projections import beancount, hledger
from projections.beancount import Beancount
from projections.bonus_journal import BonusLine, Category
from projections.hledger import Hledger
from projections.plain_text_journal import Control, JournalStyle, journal_text
from projections.queries import Balance, BonusJournal, CurrencyTotal
from projections.tier_status import PartnerRow
from tests import accounting_programs as programs

AS_OF = dt.date(2012, 3, 31)
POSTED = dt.date(2012, 2, 10)
AMOUNTS = {"CHF": Decimal("1234.05"), "JPY": Decimal("1050"), "BHD": Decimal("1.005")}
UNITS = {"CHF": Decimal("0.01"), "JPY": Decimal(1), "BHD": Decimal("0.001")}
THREE = ("CH-1", "CH-2", "CH-3")
"""One for each currency."""

NASTY = ["  ", " ", ":", ";", '"', "'", "\\", "%", "-", "--20-", "%20", "(", ")", "[", "*", "=", "@", ",", "|", "~", "é", "🙂",
         "e\u0331", "a", "A", "date:2011-01-01", "[2011-01-01]", "[=2011-01-01]", ", partner:X", "; x:y"]  # fmt: skip


def is_id(text: str) -> bool:
    try:
        TypeAdapter(Id).validate_python(text)
    except ValidationError:
        return False
    return True


HOSTILE = sorted(
    {text for pair in itertools.product(NASTY, repeat=2) if is_id(text := f"a{''.join(pair)}b")}
    | {text for each in NASTY for text in (each, each + each) if is_id(text)}
    | {"🙂" * 200, '"' * 200, "a" * 200}
)
assert len(HOSTILE) > 700

ids = st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" "), min_size=1, max_size=200).map(
    lambda text: normalize("NFC", text)
)
ids = ids.filter(is_id)


@given(ids)
@example("--20-")
@example("-")
@example("%20")
def test_no_two_partners_share_an_account(partner: str) -> None:
    """From an account's name the partner's id can be told, so two ids never have one name; each is of the program's form."""
    name = hledger.payable_account(partner)
    assert unquote(name.removeprefix("liabilities:payable:")) == partner
    assert re.fullmatch(r"liabilities:payable:[\w.~%-]+", name)

    name = beancount.payable_account(partner)
    assert decoded(name.removeprefix("Liabilities:Payable:Partner-")) == partner
    assert re.fullmatch(r"Liabilities:Payable:Partner-[A-Za-z0-9-]*", name)

    assert hledger.expense_account(partner).removeprefix("expenses:bonus:") == hledger.payable_account(
        partner
    ).removeprefix("liabilities:payable:")


def decoded(name: str) -> str:
    """Read a name from left to right, as the module's text says: a double dash begins a code."""
    text, rest = "", name
    while rest:
        if rest.startswith("--"):
            code, _, rest = rest[2:].partition("-")
            text += chr(int(code, 16))
        else:
            text, rest = text + rest[0], rest[1:]
    return text


def told(partner: str) -> tuple[str, str, str]:
    """The ids of a partner, of its deal and reversal, and of the scheme."""
    return partner, f"{partner}#", f"{partner}!"


def journal(partners: Sequence[str]) -> BonusJournal:
    """A journal in which each of the ids has a deal, a reversal and a scheme as hostile as itself, the currencies by turns."""
    lines, balances = [], []
    categories: tuple[Category, Category] = ("accrued", "clawed_back")
    for number, (partner, (currency, amount)) in enumerate(zip(partners, itertools.cycle(AMOUNTS.items())), 1):
        for n, (category, value) in enumerate(zip(categories, (amount, -UNITS[currency]), strict=True), 1):
            terms = (category, POSTED, POSTED, currency, value, value * 10, 150, "partner-2012", "silver")
            _, cause, scheme = told(partner)
            lines.append(BonusLine(number, n, partner, "BonusAccrued", cause, scheme, *terms))
        balances.append((partner, [Balance(currency, amount, -UNITS[currency], amount - amount)]))
    totals = []
    for currency in sorted({line.currency for line in lines}):
        amounts = [line.amount for line in lines if line.currency == currency]
        totals.append(CurrencyTotal(currency, len(amounts), sum(amounts, Decimal(0))))
    rows = [PartnerRow(1, each, f'Zwölf "{each}"\n\tAG', "CH", "CHF", POSTED, "partner-2012") for each in partners]
    schemes = tuple((told(each)[-1], POSTED) for each in partners)
    return BonusJournal(AS_OF, 7, schemes, tuple(totals), iter(rows), iter(lines), iter(balances))


def written(file: Path, partners: Sequence[str], style: JournalStyle) -> Path:
    file.write_text("".join(journal_text(journal(partners), style, Control())), "utf-8")
    return file


def owed(partners: Sequence[str]) -> programs.Payables:
    return {
        (each, code): amount - UNITS[code]
        for each, (code, amount) in zip(partners, itertools.cycle(AMOUNTS.items()), strict=False)
    }


many_ids = st.lists(ids, min_size=50, max_size=100, unique=True)
one_more_run = settings(max_examples=1, deadline=None, suppress_health_check=list(HealthCheck))


@one_more_run
@given(many_ids)
@example(HOSTILE)
def test_hledger_reads_whatever_the_ids_are(tmp_path_factory: pytest.TempPathFactory, partners: list[str]) -> None:
    """Strictly, without a word, with each partner's balance its own, and with the original ids in its tags."""
    if not programs.has_hledger():
        pytest.skip(programs.WITHOUT_HLEDGER)
    file = written(tmp_path_factory.mktemp("journal") / "hostile.journal", partners, Hledger())
    assert programs.hledger_payables(file) == owed(partners)
    values = programs.hledger(file, "tags", "^(partner|deal|reversal|scheme)$", "--values").splitlines()
    assert {unquote(value) for value in values} == {text for each in partners for text in told(each)}
    dates = programs.hledger(file, "stats")
    assert "2011" not in dates, "no id has moved a posting to another date"


@one_more_run
@given(many_ids)
@example(HOSTILE)
def test_beancount_reads_whatever_the_ids_are(tmp_path_factory: pytest.TempPathFactory, partners: list[str]) -> None:
    """Without an objection, with each partner's balance its own, and with the original ids in its metadata."""
    file = written(tmp_path_factory.mktemp("journal") / "hostile.beancount", partners, Beancount())
    assert programs.beancount_payables(file) == owed(partners)
    keys = ", ".join(f"entry_meta('{key}') AS {key}" for key in ("partner", "deal", "reversal", "scheme"))
    rows = {tuple(row) for row in programs.bean_query(file, f"SELECT {keys}")}
    expected = set()
    for partner, cause, scheme in map(told, partners):
        expected |= {(partner, cause, "", scheme), (partner, "", cause, scheme)}
    assert rows == expected


@pytest.mark.parametrize("partner", THREE)
def test_a_balance_that_differs_by_the_smallest_unit_is_objected_to(partner: str, tmp_path: Path) -> None:
    """Both programs check what is asserted, without any tolerance, and name the account."""
    (((_, currency), payable),) = [item for item in owed(THREE).items() if item[0][0] == partner]
    other = payable + UNITS[currency]
    text = written(tmp_path / "right.beancount", THREE, Beancount()).read_text("utf-8")
    asserted = f"balance Liabilities:Payable:Partner-{partner}  -{payable} {currency}\n"
    wrong = tmp_path / "wrong.beancount"
    wrong.write_text(replaced(text, asserted, asserted.replace(str(payable), str(other))), "utf-8")
    said = programs.bean_check(wrong)
    assert said.returncode == 1
    assert f"Balance failed for 'Liabilities:Payable:Partner-{partner}'" in said.stderr

    if not programs.has_hledger():
        pytest.skip(programs.WITHOUT_HLEDGER)
    text = written(tmp_path / "right.journal", THREE, Hledger()).read_text("utf-8")
    asserted = f"= {currency} -{payable}\n"
    wrong = tmp_path / "wrong.journal"
    wrong.write_text(replaced(text, asserted, asserted.replace(str(payable), str(other))), "utf-8")
    said = programs.run("hledger", "-f", wrong, "check")
    assert said.returncode == 1
    assert f"liabilities:payable:{partner}" in said.stderr


def replaced(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, (old, text)
    return text.replace(old, new)


def test_a_journal_whose_lines_do_not_come_to_what_was_counted_is_no_journal() -> None:
    """A line that went missing while it was read, and one more than there were, end the export with a sentence."""
    whole = journal(THREE)
    lines = list(whole.lines)
    for wrong in (lines[:-1], [*lines, lines[0]]):
        changed = BonusJournal(AS_OF, 7, whole.schemes, whole.totals, iter(()), iter(wrong), iter([("CH-1", [])]))
        with pytest.raises(IntegrityFault, match="run it again"):
            list(journal_text(changed, Hledger(), Control()))


@pytest.mark.parametrize("style", [Hledger(), Beancount()])
def test_control_totals_end_the_file(style: JournalStyle) -> None:
    """Position, date, counts, and per currency what was debited, credited and is payable, in the currency's digits."""
    text = "".join(journal_text(journal(THREE), style, Control()))
    assert text.split("; Control totals\n")[1].splitlines() == [
        "; position: 7",
        "; as of: 2012-03-31",
        "; partners: 3",
        "; lines: 6",
        "; balances: 3",
        "; BHD: 2 lines; bonus expense debited 1.005, credited 0.001; payable 1.004",
        "; CHF: 2 lines; bonus expense debited 1234.05, credited 0.01; payable 1234.04",
        "; JPY: 2 lines; bonus expense debited 1050, credited 1; payable 1049",
    ]
