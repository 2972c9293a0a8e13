"""The demo's Swiss partner network, written as a feed folder: the same bytes for the same seed, everywhere.

600 partners from the first day of Affinity to the end of 2013. Tables tell the characters' story (`cast`), chance makes
the rest (`crowd`, `deals`, `trainings`), and the ledger decides what becomes of it. Only one row is refused when the
folder is imported: the sixth award of Platinum, because all five seats of the country are taken.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from importlib.resources import files
from pathlib import Path

from infra.demo import cast
from infra.demo.crowd import all_partners
from infra.demo.deals import Deal, partner_deals
from infra.demo.partners import Partner
from infra.demo.trainings import Training, partner_trainings

PROGRAMMES = ("affinity-2006.yaml", "partner-2011.yaml", "partner-2012.yaml")
CURRENCY = "CHF"
BOARD = "board of the partner programme"
RANDOM_SEED = 2011


@dataclass(frozen=True)
class NetworkSummary:
    """How large the network is, and which partner is there for which part of the story."""

    partners: int
    deals: int
    trainings: int
    protagonist: str
    platinum: tuple[str, ...]
    """The partners that the board gives Platinum, in the order of the awards."""
    refused_award: str
    withdrawn_promotion: str
    demoted: str
    lapsed_specialisation: str
    suspended: str
    revoked_certificate: str
    ended: str


def write_network(folder: Path, seed: int = RANDOM_SEED) -> NetworkSummary:
    """Write the network into a folder, which is made where it is missing; files of an earlier one are replaced."""
    partners = [replace(p, partner_id=f"{p.country}-{n:04}") for n, p in enumerate(all_partners(seed), start=1)]
    deals = _numbered_deals([deal for partner in partners for deal in partner_deals(partner, seed)])
    trainings = _numbered_trainings([t for partner in partners for t in partner_trainings(partner, seed)])
    write_feeds(folder, partners, deals, trainings)
    return _summary(partners, deals, trainings)


def write_feeds(
    folder: Path, partners: Sequence[Partner], deals: Iterable[Deal], trainings: Sequence[Training]
) -> None:
    """Write partners with their ids, and their deals and trainings with theirs, as a feed folder with the demo's programmes."""
    (folder / "programmes").mkdir(parents=True, exist_ok=True)
    for name in PROGRAMMES:
        content = files("infra.demo").joinpath("programmes", name).read_bytes()
        (folder / "programmes" / name).write_bytes(content)
    _write_partners(folder, partners)
    _write_memberships(folder, partners)
    _write_trainings(folder, trainings)
    _write_sales(folder, deals)
    _write_awards(folder, partners)


def _summary(partners: Sequence[Partner], deals: Sequence[Deal], trainings: Sequence[Training]) -> NetworkSummary:
    by_role = {partner.role: partner.partner_id for partner in partners if partner.role}
    refused = by_role[cast.REFUSED_AWARD]
    return NetworkSummary(
        partners=len(partners),
        deals=len(deals),
        trainings=len(trainings),
        protagonist=by_role[cast.PROTAGONIST],
        platinum=tuple(who for _, who, _ in _awards(partners) if who != refused),
        refused_award=refused,
        withdrawn_promotion=by_role[cast.WITHDRAWN],
        demoted=by_role[cast.DEMOTED],
        lapsed_specialisation=by_role[cast.LAPSED],
        suspended=by_role[cast.SUSPENDED],
        revoked_certificate=by_role[cast.REVOKED],
        ended=by_role[cast.ENDED],
    )


def _numbered_deals(deals: list[Deal]) -> list[Deal]:
    deals.sort(key=lambda deal: (deal.closed_on, deal.partner_id))  # a stable sort: a partner's day stays in order
    for number, deal in enumerate(deals, start=1):
        deal.deal_id = f"D-{number:05}"
    return deals


def _numbered_trainings(trainings: list[Training]) -> list[Training]:
    trainings.sort(key=lambda t: (t.completed_on, t.partner_id, t.person_id, t.course))
    for number, training in enumerate(trainings, start=1):
        training.completion_id = f"T-{number:04}"
    return trainings


def _awards(partners: Iterable[Partner]) -> list[tuple[date, str, str]]:
    """Give the awards (date, partner, reason) in order of date."""
    return sorted((p.award.on, p.partner_id, p.award.reason) for p in partners if p.award is not None)


# --- the files --------------------------------------------------------------------------------------------------------


def _write_partners(folder: Path, partners: Iterable[Partner]) -> None:
    rows = sorted((p.enrolled_on, p.partner_id, p.name, p.country, p.tier) for p in partners)
    _write(
        folder / "partners.csv",
        ("partner_id", "name", "country", "currency", "enrolled_on", "tier"),
        ((who, name, country, CURRENCY, on.isoformat(), tier) for on, who, name, country, tier in rows),
    )


def _write_memberships(folder: Path, partners: Iterable[Partner]) -> None:
    rows = sorted((m.on, p.partner_id, m.change, m.reason) for p in partners for m in p.memberships)
    _write(
        folder / "memberships.csv",
        ("partner_id", "change", "on", "reason"),
        ((who, change, on.isoformat(), reason) for on, who, change, reason in rows),
    )


def _write_trainings(folder: Path, trainings: Sequence[Training]) -> None:
    _write(
        folder / "trainings.csv",
        ("completion_id", "partner_id", "person_id", "course", "completed_on"),
        ((t.completion_id, t.partner_id, t.person_id, t.course, t.completed_on.isoformat()) for t in trainings),
    )
    revoked = [(t.revocation.on, t.completion_id, t.revocation.reason) for t in trainings if t.revocation]
    _write(
        folder / "revocations.csv",
        ("completion_id", "revoked_on", "reason"),
        ((completion, on.isoformat(), reason) for on, completion, reason in sorted(revoked)),
    )


def _write_sales(folder: Path, deals: Iterable[Deal]) -> None:
    taken_back: list[tuple[date, str, int | None, str]] = []
    _write(
        folder / "sales.csv",
        ("deal_id", "partner_id", "closed_on", "family", "amount", "currency", "source_ref"),
        (_sale(deal, taken_back) for deal in deals),
    )
    taken_back.sort(key=lambda row: row[:2])
    _write(
        folder / "reversals.csv",
        ("reversal_id", "deal_id", "reversed_on", "amount", "reason"),
        (
            (f"R-{number:03}", deal, on.isoformat(), "" if minor is None else amount_of(minor), reason)
            for number, (on, deal, minor, reason) in enumerate(taken_back, start=1)
        ),
    )


def _sale(deal: Deal, taken_back: list[tuple[date, str, int | None, str]]) -> Sequence[str]:
    """Give a deal's row, and note its reversal: deals may be more than are held at once."""
    if deal.reversal is not None:
        taken_back.append((deal.reversal.on, deal.deal_id, deal.reversal.minor, deal.reversal.reason))
    day = deal.closed_on.isoformat()
    return deal.deal_id, deal.partner_id, day, deal.family, amount_of(deal.amount), deal.currency, order_of(deal)


def _write_awards(folder: Path, partners: Iterable[Partner]) -> None:
    _write(
        folder / "awards.csv",
        ("partner_id", "tier", "awarded_on", "awarded_by", "reason"),
        ((who, "platinum", on.isoformat(), BOARD, reason) for on, who, reason in _awards(partners)),
    )


def _write(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def amount_of(minor: int) -> str:
    """Give minor units of CHF or EUR as an amount."""
    return f"{minor // 100}.{minor % 100:02}"


def order_of(deal: Deal) -> str:
    """Give the reference of the order that a deal was closed by, in the system that it comes from."""
    return f"ERP {deal.closed_on.year}/{deal.deal_id.removeprefix('D-')}"
