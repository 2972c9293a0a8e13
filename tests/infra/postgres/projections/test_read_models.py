"""The queries on a real database: as of a date, as known at a position, both; and texts that COPY must not mistake."""

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal

import pytest

import infra.postgres.projections.read_models as module
from consumers.applying import apply_one_by_one
from consumers.projector import Move, TopicIdentity
from consumers.sequencing import receive
from domain.events import LedgerAdvanced
from domain.streams import LEDGER, partner_stream
from infra.postgres.projections.read_models import PostgresReadModels
from infra.postgres.projections.store import PostgresProjectionStore
from tests.consumers import real
from tests.projections import histories as a
from tests.projections.histories import RECORDED_AT, History, day, network
from tests.servers import fresh_database

TOPIC = TopicIdentity("events", "cluster", "topic")
A, B, C = "CH-A", "CH-B", "DE-C"


class _Read:
    def __init__(self, offset: int, key: bytes, value: bytes) -> None:
        self.offset, self.key, self.value = offset, key, value


class Ledger:
    """A database to project histories into without Kafka: the records are handed to the store as a batch."""

    def __init__(self) -> None:
        self.endpoints = endpoints = fresh_database()
        self.store = PostgresProjectionStore(endpoints.projector_database_url)
        self.models = PostgresReadModels(endpoints.read_database_url)

    def project(self, history: History) -> PostgresReadModels:
        start = self.store.start(TOPIC, [0])[0]
        told = history.told[start.next_offset :]
        real.hold(self.endpoints, told)
        records = [
            receive(TOPIC.topic, 0, _Read(offset, t.key, t.value)) for offset, t in enumerate(told, start.next_offset)
        ]
        with self.store.batch(TOPIC.topic, [Move(0, start, len(history.told))]) as writing:
            assert apply_one_by_one(records, writing, self.store.payload) == len(records)
        return self.models


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    ledger = Ledger()
    yield ledger
    ledger.store.close()
    ledger.models.close()


def told() -> History:
    history = History()
    stream = partner_stream(A)
    history.tell(stream, a.enrolled(A, "2012-01-01"))  # 1
    history.tell(partner_stream(B), a.enrolled(B, "2012-03-01"))  # 2
    history.tell(partner_stream(C), a.enrolled(C, "2012-01-01", country="DE", currency="JPY"))  # 3
    history.tell(
        stream, a.sale("D1", "2012-02-01", "100.00"), a.accrued("D1", "2012-02-01", a.line("instant", "10.00"))
    )
    history.tell(stream, a.tier_changed("silver", "2012-02-01"), a.awarded("vs", "2012-02-10"))  # 6, 7
    history.tell(stream, a.suspended("2012-04-01"), a.resumed("2012-04-11"))  # 8, 9
    history.tell(
        stream,
        a.reversal("R1", "D1", "2012-05-01", "40.00", "60.00"),  # 10
        a.clawed_back("R1", "D1", "2012-05-01", a.line("instant", "-4.00")),  # 11
        a.lapsed("vs", "2012-06-01"),  # 12
        a.tier_changed("bronze", "2012-06-02", "withdrawal", before="silver"),  # 13
    )
    history.tell(partner_stream(C), a.accrued("D9", "2012-02-01", a.line("instant", "7", "JPY")))  # 14
    history.tell(partner_stream(B), a.ended("2012-07-01"))  # 15
    return history.tell(LEDGER, LedgerAdvanced(to=day("2012-08-01")))  # 16


def test_everything_of_a_partner_on_the_ledgers_date(ledger: Ledger) -> None:
    answer = ledger.project(told()).partners()
    assert (answer.as_of, answer.position) == (day("2012-08-01"), 16)
    first, second, third = answer.partners
    assert [(t.effective_on, t.tier, t.reason) for t in first.tier_history] == [
        (day("2012-01-01"), "bronze", "enrolled"),
        (day("2012-02-01"), "silver", "promotion"),
        (day("2012-06-02"), "bronze", "withdrawal"),
    ]
    assert (first.tier, first.specialisations, first.lines) == ("bronze", (), 2)
    assert first.loyalty_days == (day("2012-08-01") - day("2012-01-01")).days - 10
    (balance,) = first.balances
    assert tuple(map(str, (balance.accrued, balance.clawed_back, balance.paid, balance.payable))) == (
        *("10.00", "-4.00", "0.00", "6.00"),
    )
    assert (second.ended_on, second.loyalty_days, second.balances) == (day("2012-07-01"), 122, ())
    assert str(third.balances[0].accrued) == "7"


def test_as_of_a_date_shows_what_was_in_force_then(ledger: Ledger) -> None:
    answer = ledger.project(told()).partners(day("2012-02-29"))
    assert [each.partner.partner for each in answer.partners] == [A, C], "B enrolled later"
    first = answer.partners[0]
    assert (first.tier, first.specialisations, first.lines, first.loyalty_days) == ("silver", ("vs",), 1, 59)
    assert [b.payable for b in first.balances] == [Decimal("10.00")]
    assert ledger.models.partner(B, day("2012-02-29")).partners == ()


def test_as_known_at_a_position_leaves_out_what_was_recorded_later(ledger: Ledger) -> None:
    models = ledger.project(told())
    known = models.position_at(RECORDED_AT + dt.timedelta(seconds=10.5))
    assert known == 10
    (then,) = models.partner(A, day("2012-08-01"), up_to_position=known).partners
    assert (then.tier, then.specialisations, then.lines) == ("silver", ("vs",), 1)
    assert [b.payable for b in then.balances] == [Decimal("10.00")]
    default = models.partner(A, up_to_position=known)
    assert (default.as_of, default.position) == (day("2012-05-01"), 10)
    assert models.position_at(RECORDED_AT) == 0
    assert models.partners(up_to_position=0).partners == ()


def test_holders_are_counted_by_country_without_the_ended(ledger: Ledger) -> None:
    models = ledger.project(told())
    assert [(h.country, h.tier, h.holders) for h in models.tiers().holders] == [
        ("CH", "bronze", 1),
        ("DE", "bronze", 1),
    ]
    assert [(h.tier, h.holders) for h in models.tiers(day("2012-03-31"), country="CH").holders] == [
        ("bronze", 1),
        ("silver", 1),
    ]
    assert models.tiers(up_to_position=2).as_of == day("2012-03-01")


def test_lines_audit_and_sums_agree_with_what_was_told(ledger: Ledger) -> None:
    history = told()
    models = ledger.project(history)
    assert [line.line_id for line in models.lines(A).lines] == ["L5-1", "L11-1"]
    assert [line.line_id for line in models.lines(A, day("2012-04-30")).lines] == ["L5-1"]
    assert [row.position for row in models.audit()] == list(range(1, 17))
    assert [row.position for row in models.audit(first_position=3, last_position=5)] == [3, 4, 5]
    assert models.sales_totals() == {"CHF": Decimal("100.00")}
    assert models.standing().applied == 16


def test_the_journal_balances_and_owes_each_partner_its_balance(ledger: Ledger) -> None:
    """Both sides of each line are there: an accrual's, and, the other way round, a clawback's."""
    ledger.project(told())
    url = ledger.endpoints.read_database_url
    assert real.rows(url, "SELECT debit, credit, amount::text FROM posting ORDER BY position, n") == [
        ("bonus-expense:instant", f"payable:{A}", "10.00"),
        (f"payable:{A}", "bonus-expense:instant", "4.00"),
        ("bonus-expense:instant", f"payable:{C}", "7"),
    ]
    assert real.rows(url, "SELECT currency, sum(amount) FROM journal GROUP BY currency ORDER BY currency") == [
        ("CHF", 0),
        ("JPY", 0),
    ]
    owed = "SELECT account, -sum(amount) FROM journal WHERE account LIKE 'payable:%' GROUP BY account ORDER BY 1"
    balance = "SELECT 'payable:' || partner, sum(accrued + clawed_back - paid) FROM balance GROUP BY partner ORDER BY 1"
    assert real.rows(url, owed) == real.rows(url, balance) != []


def test_a_balance_on_any_day_is_the_sum_of_the_lines_up_to_it(ledger: Ledger) -> None:
    """Whole months come from the balances kept, the days of the month asked for from the lines."""
    history = History().tell(partner_stream(A), a.enrolled(A, "2012-01-01"))
    days = ["2012-01-31", "2012-02-01", "2012-02-29", "2012-03-01", "2012-03-31", "2012-12-31", "2013-01-01"]
    for number, on in enumerate(days, 1):
        history.tell(partner_stream(A), a.accrued(f"D{number}", on, a.line("instant", f"{number}.00")))
    models = ledger.project(history)
    for number, on in enumerate(days, 1):
        for asked, lines in ((day(on), number), (day(on) - dt.timedelta(days=1), number - 1)):
            (found,) = models.partner(A, asked).partners
            assert sum(balance.payable for balance in found.balances) == sum(range(lines + 1)), asked
            assert found.lines == lines


def test_answers_in_pages_are_the_same_answers(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    models = ledger.project(network(25, 2))
    whole, trail = models.partners(), list(models.audit())
    monkeypatch.setattr(module, "PARTNERS_A_PAGE", 4)
    monkeypatch.setattr(module, "EVENTS_A_PAGE", 7)
    assert models.partners() == whole
    assert list(models.audit()) == trail
    assert len(whole.partners) == 25


def test_a_ledger_without_events_answers_with_nothing(ledger: Ledger) -> None:
    assert (ledger.models.standing().position, ledger.models.standing().default_as_of) == (0, None)
    assert ledger.models.partners().partners == ()
    assert ledger.models.tiers().holders == ()
    assert list(ledger.models.audit()) == []
    assert ledger.models.position_at(RECORDED_AT) == 0


@pytest.mark.parametrize(
    "name", ["tab\tnewline\nreturn\r", "\\N", "\\", "a\\tb", '"{},', "Zürich 漢字 🎉", "", "\x01\x7f", "\\."]
)
def test_any_text_comes_back_as_it_was(ledger: Ledger, name: str) -> None:
    import msgspec

    partner = f"P{name}"
    event = msgspec.structs.replace(a.enrolled(partner, "2012-01-01"), name=name)
    (found,) = ledger.project(History().tell(partner_stream(partner), event)).partners().partners
    assert (found.partner.name, found.partner.partner) == (name, partner)
