"""hledger and Beancount as an outsider has them: programs that read an exported journal, and what they make of it.

Nothing of the project's own is imported here: what an account stands for is read from the file by the program alone.
"""

import csv
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from urllib.parse import unquote

import pytest

Payables = Mapping[tuple[str, str], Decimal]
"""What is owed, by partner and currency; nothing that is zero."""

_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "BEANCOUNT_DISABLE_LOAD_CACHE": "1"}
_BESIDE_PYTHON = Path(sys.executable).parent
WITHOUT_HLEDGER = "hledger is not installed (Debian and Ubuntu: apt-get install hledger); what needs it is not tested"


def has_hledger() -> bool:
    """Tell whether hledger is there; in CI it must be."""
    if shutil.which("hledger"):
        return True
    if os.environ.get("CI"):
        pytest.fail(WITHOUT_HLEDGER)
    return False


def run(*command: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end."""
    environment = os.environ | _ENVIRONMENT
    return subprocess.run(
        list(map(str, command)), env=environment, capture_output=True, encoding="utf-8", timeout=120, check=False
    )


def hledger(file: Path, *arguments: str) -> str:
    """Have hledger read a journal strictly (all accounts and commodities declared, every assertion held); give what it prints."""
    done = run("hledger", "-f", file, *arguments, "--strict")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr[:2000]
    return done.stdout


def hledger_payables(file: Path) -> Payables:
    """Give what hledger says is owed."""
    said = hledger(file, "balance", "-N", "--flat", "--layout=bare", "-O", "csv", "acct:^liabilities:payable:")
    return {
        (unquote(row["account"].removeprefix("liabilities:payable:")), row["commodity"]): -Decimal(row["balance"])
        for row in csv.DictReader(io.StringIO(said))
        if Decimal(row["balance"])
    }


def bean_query(file: Path, query: str) -> list[list[str]]:
    """Have Beancount read a journal and answer a query; it must have nothing to object to. Give the rows."""
    done = run(_BESIDE_PYTHON / "bean-query", "-f", "csv", file, query)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr[:2000]
    return [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(done.stdout))][1:]


def bean_check(file: Path) -> "subprocess.CompletedProcess[str]":
    """Have Beancount check a journal."""
    return run(_BESIDE_PYTHON / "bean-check", file)


def beancount_payables(file: Path) -> Payables:
    """Give what Beancount says is owed."""
    rows = bean_query(
        file,
        "SELECT open_meta(account)['partner'] AS partner, currency, sum(number) AS balance"
        " WHERE account ~ '^Liabilities:Payable:' GROUP BY partner, currency",
    )
    return {(partner, currency): -Decimal(balance) for partner, currency, balance in rows if Decimal(balance)}
