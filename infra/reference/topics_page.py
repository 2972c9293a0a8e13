"""The page of topics: their names, keys and values, and the public tier-change document."""

import re

from domain.envelope import CONTENT_TYPE
from infra.reference.examples import ENROLMENT, PROMOTION, stored
from infra.reference.markdown import code, json_block, page, table
from producers import tier_changes
from producers.topics import TopicLayout, layouts

_FIELD = re.compile(r"^    ([a-z_.]+)  +(.+)$", re.MULTILINE)
_CONFIGS = ("cleanup.policy", "retention.ms", "retention.bytes", "max.message.bytes")

_INTRODUCTION = f"""
The ledger makes its topics itself and refuses one that is not laid out like this. The prefix `partner-ledger` is the setting
`PARTNER_LEDGER_TOPIC_PREFIX`, the number of partitions `PARTNER_LEDGER_KAFKA_PARTITIONS`, which is fixed once the topic exists,
because the order by key depends on it.

Read with `isolation.level=read_committed`: an event, its tier change and the relay's checkpoint are one Kafka
transaction, and a record of a transaction that was aborted is none. Records of one key are in order. A record's only header is
`content-type: {CONTENT_TYPE}`; its timestamp is the event's recorded-at in ms. Tree heads are text
(`text/plain; charset=UTF-8`), dated by their own time, and not part of the relay's transactions.
"""

_PURPOSE = {
    "events": ("stream", "[envelope](events.md#the-envelope)", "every event, for ever"),
    "tier_changes": ("partner id", "[tier change](#the-tier-change)", "public: who holds which tier, for ever"),
    "relay_checkpoint": ("`relay`", "`position` and `leaf_hash` of the last event relayed", "the relay's own place"),
    "tree_heads": (
        "`partner-ledger/` and the ledger's id",
        "[tree head](../how-to/prove.md#what-a-tree-head-says)",
        "public: signed tree heads, in the order they were made, for ever",
    ),
}

_TIER_CHANGE = """
## The tier change

A CloudEvents 1.0 document in structured JSON mode, on `partner-ledger.tier-changes`. It is public: these names and
meanings never change; a field may be added, so ignore what you do not know; another meaning is a new `type`. How to read
it: [subscribe](../how-to/subscribe.md).
"""

_WITHDRAWAL = """
A `withdrawal` takes promotions back that a reversed deal had brought about; the records of those promotions stay, and the
withdrawal follows them.
"""


def topics_page() -> str:
    """Make the page."""
    made = layouts()
    rows = []
    for field, (key, value, purpose) in _PURPOSE.items():
        layout: TopicLayout = getattr(made, field)
        configs = ", ".join(f"`{name}={layout.configs[name]}`" for name in _CONFIGS if name in layout.configs)
        rows.append((code(layout.name), purpose, key, value, f"{layout.partitions}", configs))
    columns = ("topic", "holds", "key", "value", "partitions (default)", "made with")
    examples = [tier_changes.tier_change(row) for row in (stored(ENROLMENT, 312, 1), stored(PROMOTION, 314, 3))]
    documents = [json_block(made[1]) for made in examples if made is not None]
    return page(
        "Topics",
        _INTRODUCTION,
        table(columns, rows),
        _TIER_CHANGE,
        table(("field", "meaning"), [(code(name), meaning) for name, meaning in tier_change_fields()]),
        _WITHDRAWAL,
        "An enrolment and a promotion, indented here; on Kafka each is one line. The key of both is `CH-0001`.",
        *documents,
    )


def tier_change_fields() -> list[tuple[str, str]]:
    """Give each field of the public document and its meaning, as the module that makes it says."""
    return [(name, meaning.strip()) for name, meaning in _FIELD.findall(tier_changes.__doc__ or "")]
