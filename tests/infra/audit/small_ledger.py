"""A few events of two partners, hashed by the definition: what proofs are made of without a server."""

import datetime as dt
from collections.abc import Iterator, Sequence
from decimal import Decimal
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from domain.envelope import EventRow, envelope, leaf_hash
from domain.events import BonusAccrued, BonusClawedBack, Event, KickbackSettled, Line, PartnerEnrolled, encode
from domain.heads import SignedHead, TreeHead, VerifierKey
from domain.merkle import Subtree, node_hash
from domain.stream_map import StreamMap
from infra.signing import SigningKey

LEDGER = UUID("6c9d1d2e-0c55-4f0e-9a43-3b1f5a3c8a11")
KEY = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
VERIFIER: VerifierKey = KEY.verifier_key(f"partner-ledger/{LEDGER}")
NOON = dt.datetime(2012, 5, 31, 12, 0, 0, 123456, tzinfo=dt.UTC)
MAY, JULY = dt.date(2012, 5, 31), dt.date(2012, 7, 1)


def enrolled(partner: str) -> PartnerEnrolled:
    return PartnerEnrolled(
        partner_id=partner,
        name="Zürich «X»",
        country="CH",
        currency="CHF",
        enrolled_on=MAY,
        tier="bronze",
        programme="p",
    )


def lines(*amounts: str, currency: str = "CHF") -> tuple[Line, ...]:
    return tuple(
        Line(
            scheme="s",
            amount=Decimal(each),
            currency=currency,
            basis=Decimal("1.00"),
            rate_bp=10,
            before=Decimal(0),
            tier="bronze",
        )
        for each in amounts
    )


def accrued(*amounts: str, currency: str = "CHF", posted: dt.date = MAY) -> BonusAccrued:
    return BonusAccrued(
        deal_id="D", closed_on=MAY, posting_date=posted, programme="p", lines=lines(*amounts, currency=currency)
    )


def clawed_back(*amounts: str) -> BonusClawedBack:
    return BonusClawedBack(
        reversal_id="R", deal_id="D", reversed_on=MAY, posting_date=MAY, programme="p", lines=lines(*amounts)
    )


def settled(cause: str, *amounts: str) -> KickbackSettled:
    return KickbackSettled(
        quarter=dt.date(2012, 4, 1),
        settled_on=JULY,
        posting_date=JULY,
        cause=cause,  # type: ignore[arg-type]  # one of three words
        programme="p",
        base_currency="CHF",
        qualifying={},
        minimum={},
        lines=lines(*amounts),
    )


class SmallLedger:
    """Events by (partner, event); answers as `infra.audit.proving.ProvenEvents`."""

    def __init__(self, told: Sequence[tuple[str, Event]]) -> None:
        self.rows: list[EventRow] = []
        versions: dict[str, int] = {}
        for position, (partner, event) in enumerate(told, 1):
            stream = f"partner:{partner}"
            versions[stream] = versions.get(stream, 0) + 1
            self.rows.append(
                EventRow(
                    position=position,
                    stream=stream,
                    version=versions[stream],
                    type=type(event).__name__,
                    schema_version=1,
                    business_date=event.business_date,
                    recorded_at=NOON,
                    actor="app",
                    command_id="c",
                    envelope_version=1,
                    data=encode(event),
                )
            )
        self.leaves = [leaf_hash(envelope(row)) for row in self.rows]

    def root(self, begin: int, end: int) -> bytes:
        if end - begin == 1:
            return self.leaves[begin]
        split = 1
        while split * 2 < end - begin:
            split *= 2
        return node_hash(self.root(begin, begin + split), self.root(begin + split, end))

    def hashes(self, subtrees: Sequence[Subtree]) -> Sequence[bytes]:
        return [self.root(number << level, (number + 1) << level) for level, number in subtrees]

    def event(self, position: int) -> tuple[EventRow, bytes] | None:
        return (self.rows[position - 1], self.leaves[position - 1]) if 0 < position <= len(self.rows) else None

    def of_stream(self, stream: str, size: int) -> Iterator[Sequence[tuple[EventRow, bytes]]]:
        for row, leaf in zip(self.rows[:size], self.leaves, strict=False):
            if row.stream == stream:
                yield [(row, leaf)]

    def last_versions(self, size: int) -> list[tuple[str, int]]:
        return list({row.stream: row.version for row in self.rows[:size]}.items())

    def head(self, size: int) -> SignedHead:
        streams = StreamMap(self.last_versions(size))
        return KEY.sign(TreeHead(LEDGER, size, self.root(0, size), NOON, streams.root()))


LEDGER_OF_ELEVEN = SmallLedger(
    [
        ("A", enrolled("A")),
        ("B", enrolled("B")),
        ("A", accrued("100.10", "0.05")),
        ("B", accrued("7.00")),
        ("B", accrued("8.00")),
        ("C", enrolled("C")),
        ("A", accrued("1000", currency="JPY")),
        ("A", clawed_back("-20.05")),
        ("A", settled("time", "50.00")),
        ("A", settled("reversal", "-1.00")),
        ("C", accrued("9.00")),
    ]
)
"""A: CHF accrued 150.15, clawed back -21.05; JPY accrued 1000. Its events are 1, 3, 7, 8, 9 and 10."""
