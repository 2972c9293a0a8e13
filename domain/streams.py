"""The names of the event streams: one per partner, one per country's roster, one for programmes, one for the ledger."""

PROGRAMMES = "programmes"
LEDGER = "ledger"
PARTNER_PREFIX = "partner:"
ROSTER_PREFIX = "roster:"


def partner_stream(partner_id: str) -> str:
    """Give the stream of a partner."""
    return PARTNER_PREFIX + partner_id


def partner_id_of(stream: str) -> str | None:
    """Give the partner that a stream belongs to, or None for the other streams."""
    return stream[len(PARTNER_PREFIX) :] if stream.startswith(PARTNER_PREFIX) else None


def roster_stream(country: str) -> str:
    """Give the stream of the roster of awarded tiers in a country (ISO 3166-1 alpha-2)."""
    return ROSTER_PREFIX + country
