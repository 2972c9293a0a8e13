"""hledger's and Beancount's opinion on a ledger: both read its export, and must agree with every balance that it answers."""

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

from tests import accounting_programs as programs
from tests.end_to_end.command_line import CommandLine


def check_second_opinion(ledger: CommandLine, folder: Path, *as_of: str) -> int:
    """Compare all partners' balances in all currencies, which the programs add up from the lines; give how many there are.

    Without hledger on this machine Beancount's opinion alone (`test_hledger_is_there` says so).
    """
    readers = {"beancount": programs.beancount_payables}
    if programs.has_hledger():
        readers["hledger"] = programs.hledger_payables

    def opinion(style: str) -> programs.Payables:
        file = folder / f"bonuses.{style}"
        written = ledger.done("export", "journal", "--format", style, "--to", file, *as_of)
        assert written["file"] == str(file)
        return readers[style](file)

    answered = {
        (partner, currency): Decimal(balance["payable"])
        for partner, standing in ledger.done("partners", *as_of)["partners"].items()
        for currency, balance in standing["balances"].items()
    }
    owed = {key: payable for key, payable in answered.items() if payable}
    with ThreadPoolExecutor(len(readers)) as at_once:
        for style, payables in zip(readers, at_once.map(opinion, readers), strict=True):
            assert payables == owed, style
    return len(answered)
