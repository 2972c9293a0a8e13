"""The made-up input: partners of the demo's programme and their deals, the same for the same numbers, everywhere."""

import csv
import datetime as dt
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from random import Random

from domain.terms import Programmes
from producers.programme_files import read_programme_file

FAMILIES = ("content-security", "endpoint-security", "virtualisation", "cloud", "saas")
PROGRAMME_FILES = ("affinity-2006.yaml", "partner-2011.yaml", "partner-2012.yaml")
FIRST_SALE = dt.date(2012, 1, 1)


def programmes() -> Programmes:
    """Give the demo's three programmes."""
    with as_file(files("infra.demo").joinpath("programmes")) as folder:
        return Programmes([read_programme_file(folder / name) for name in PROGRAMME_FILES])


def write_feeds(folder: Path, *, sales: int, partners: int, days: int = 730) -> None:
    """Write a feed folder: the programme of 2012, partners, and their sales in order of date."""
    (folder / "programmes").mkdir(parents=True)
    with as_file(files("infra.demo").joinpath("programmes", PROGRAMME_FILES[-1])) as programme:
        shutil.copyfile(programme, folder / "programmes" / PROGRAMME_FILES[-1])
    names = [f"P{number:04}" for number in range(partners)]
    with (folder / "partners.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["partner_id", "name", "country", "currency", "enrolled_on", "tier"])
        writer.writerows([name, f"Partner {name}", "CH", "CHF", FIRST_SALE, ""] for name in names)
    with (folder / "sales.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["deal_id", "partner_id", "closed_on", "family", "amount", "currency", "source_ref"])
        for number, (family, amount) in enumerate(deals(sales)):
            closed_on = FIRST_SALE + dt.timedelta(days=number * days // sales)
            row = (f"D{number}", names[number % partners], closed_on, family, amount, "CHF", f"crm:{number}")
            writer.writerow(row)


def deals(count: int, seed: int = 1) -> Iterator[tuple[str, str]]:
    """Give the families and amounts of deals."""
    dice = Random(seed)
    for _ in range(count):
        cents = dice.randrange(10_000, 300_000)
        yield dice.choice(FAMILIES), f"{cents // 100}.{cents % 100:02}"


@contextmanager
def feed_folder(*, sales: int, partners: int) -> Iterator[Path]:
    """Make a feed folder for as long as the block runs."""
    with tempfile.TemporaryDirectory(prefix="plb-") as place:
        folder = Path(place) / "feeds"
        write_feeds(folder, sales=sales, partners=partners)
        yield folder
