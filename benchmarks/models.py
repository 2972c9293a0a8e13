"""Making, encoding and decoding an event as a msgspec struct, beside an equivalent pydantic model (ADR 0001)."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter

from benchmarks.measuring import Bench, Clock, Spent
from domain.events import SaleRecorded, decode, encode

DAY = dt.date(2012, 3, 1)
FIELDS: dict[str, Any] = {
    "deal_id": "D-00017",
    "closed_on": DAY,
    "family": "virtualisation",
    "amount": Decimal("1250.00"),
    "currency": "CHF",
    "earning": True,
    "qualifying": Decimal("1025.00"),
    "base_currency": "EUR",
    "programme": "partner-2012",
    "clock": DAY,
    "source_ref": "crm:17",
}


class PydanticSale(BaseModel):
    """What `domain.events.SaleRecorded` would be as a pydantic model."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    deal_id: str
    closed_on: dt.date
    family: str
    amount: Decimal
    currency: str
    earning: bool
    qualifying: Decimal
    base_currency: str
    programme: str
    clock: dt.date
    source_ref: str | None = None


def measure(bench: Bench) -> None:
    """Make, encode and decode one event many times, on both."""
    adapter = TypeAdapter(PydanticSale)
    struct, model = SaleRecorded(**FIELDS), PydanticSale(**FIELDS)
    data = encode(struct)
    assert adapter.dump_json(model) == data
    assert decode("SaleRecorded", 1, data) == struct
    assert adapter.validate_json(data) == model
    each: list[tuple[str, Callable[[], object]]] = [
        ("msgspec struct: make", lambda: SaleRecorded(**FIELDS)),
        ("msgspec struct: encode", lambda: encode(struct)),
        ("msgspec struct: decode", lambda: decode("SaleRecorded", 1, data)),
        ("pydantic model: make", lambda: PydanticSale(**FIELDS)),
        ("pydantic model: encode", lambda: adapter.dump_json(model)),
        ("pydantic model: decode", lambda: adapter.validate_json(data)),
    ]
    for what, call in each:
        bench.rate(what, "events/s", lambda call=call: _repeat(call, bench.events))  # type: ignore[misc]  # the default binds


def _repeat(call: Callable[[], object], times: int) -> Spent:
    clock = Clock()
    for _ in range(times):
        call()
    spent = clock.spent(times)
    assert spent.cpu_seconds is not None
    return spent._replace(seconds=spent.cpu_seconds)
