"""What the database itself refuses, whoever asks: each login tries what it must not do."""

import datetime as dt
from collections.abc import Callable, Iterator

import psycopg2
import pytest
from psycopg2.errors import InsufficientPrivilege

from domain.recording import Append, Identity
from infra.postgres.connections import ConnectionPool
from infra.postgres.recorder import PostgresLedgerRecorder
from tests.infra.postgres.conftest import PostgresUrls, run, sales

TABLES = (
    *(
        "head",
        "event",
        "identity",
        "person",
        "import_progress",
        "import_refusal",
        "snapshot",
        "event_json",
        "migration",
    ),
)
COLUMNS = """(position, recorded_at, version, business_date, schema_version, envelope_version, stream, type, actor,
    command_id, data, leaf_hash)"""


@pytest.fixture(scope="module")
def ledger(make_ledger: Callable[[], PostgresUrls]) -> Iterator[PostgresUrls]:
    """A ledger of three events and an identity, which nothing that is refused changes."""
    urls = make_ledger()
    pool = ConnectionPool(urls.application)
    identity = Identity("deal", "D1", "partner:P1", 1, b"hash")
    append = Append(identities=[identity], persons={"anna": "p-1"})
    PostgresLedgerRecorder(pool, timezone="UTC").insert_events(sales("partner:P1", 1, 3), append=append)
    pool.close()
    before = everything(urls)
    yield urls
    assert everything(urls) == before


def everything(urls: PostgresUrls) -> list[list[tuple[object, ...]]]:
    return [run(urls.superuser, f"SELECT * FROM ledger.{table} ORDER BY 1") for table in TABLES[:4]]


def inserted(**other: str) -> str:
    """An insert of the event that the transaction has taken a position for; `other` says what is forged."""
    values = {
        "position": "position",
        "recorded_at": "recorded_at",
        "actor": "session_user",
        "business_date": "'2011-05-31'",
        "times": "1",
        **other,
    }
    return (
        f"INSERT INTO ledger.event {COLUMNS} SELECT {values['position']} + n - 1, {values['recorded_at']}, 3 + n,"
        f" {values['business_date']}, 1, 1, 'partner:P1', 'SaleRecorded', {values['actor']}, '', '', ''"
        f" FROM ledger.head, generate_series(1, {values['times']}) AS s (n)"
    )


TAKE_ONE = "UPDATE ledger.head SET position = position + 1"


@pytest.mark.parametrize("login", ["admin", "application", "reader", "projector", "superuser"])
@pytest.mark.parametrize("table", ["event", "identity"])
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger.{} SET stream = 'x'",
        "DELETE FROM ledger.{}",
        "DELETE FROM ledger.{} WHERE false",
        "TRUNCATE ledger.{}",
    ],
)
def test_nobody_changes_what_was_recorded(ledger: PostgresUrls, login: str, table: str, statement: str) -> None:
    """By a right that is not given, or, for the owner and even a superuser, by the trigger."""
    with pytest.raises(InsufficientPrivilege, match=r"permission denied|What the ledger has recorded never changes: "):
        run(getattr(ledger, login), statement.format(table))


@pytest.mark.parametrize("login", ["admin", "superuser"])
def test_replica_mode_is_no_way_around_the_triggers(ledger: PostgresUrls, login: str) -> None:
    with pytest.raises(InsufficientPrivilege, match=r"permission denied to set parameter|never changes"):
        run(getattr(ledger, login), "SET session_replication_role = replica; DELETE FROM ledger.event")


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE ledger.event DISABLE TRIGGER ALL",
        "ALTER TABLE ledger.event DISABLE TRIGGER is_immutable",
        "DROP TRIGGER is_immutable ON ledger.event",
        "DROP TABLE ledger.event",
        "DROP FUNCTION ledger.refuse_change() CASCADE",
        "CREATE OR REPLACE FUNCTION ledger.refuse_change() RETURNS trigger LANGUAGE sql AS ''",
        "CREATE TABLE ledger.mine ()",
        "CREATE SCHEMA mine",
        "DELETE FROM ledger.person",
        "UPDATE ledger.person SET pseudonym = 'p-2'",
        "DELETE FROM ledger.import_progress",
        "DELETE FROM ledger.migration",
        "INSERT INTO ledger.head (position, recorded_at, programmes_version, taken_after) VALUES (9, now(), 0, 0)",
        "DELETE FROM ledger.head",
        "TRUNCATE ledger.head",
        "SET ROLE ledger_owner",
    ],
)
def test_the_application_cannot_take_the_rules_away(ledger: PostgresUrls, statement: str) -> None:
    with pytest.raises(InsufficientPrivilege, match=r"permission denied|must be owner|must be able to SET ROLE"):
        run(ledger.application, statement)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM ledger.head",
        "TRUNCATE ledger.head",
        "INSERT INTO ledger.head (position, recorded_at, programmes_version, taken_after) VALUES (9, now(), 0, 0)",
    ],
)
def test_the_head_stays_one_row_for_the_owner_too(ledger: PostgresUrls, statement: str) -> None:
    with pytest.raises(InsufficientPrivilege, match="The head of the ledger is one row that only moves on"):
        run(ledger.admin, statement)


@pytest.mark.parametrize("login", ["reader", "projector"])
@pytest.mark.parametrize(
    "statement",
    [
        TAKE_ONE,
        inserted(),
        "INSERT INTO ledger.identity VALUES ('deal', 'D2', 's', 1, '', NULL)",
        "INSERT INTO ledger.person VALUES ('bea', 'p-2')",
        "SELECT * FROM ledger.person",
        "INSERT INTO ledger.import_refusal VALUES ('d', 1, 'f', 1, 'r')",
        "INSERT INTO ledger.snapshot VALUES ('s', 1, 't', '')",
        "CREATE TABLE ledger.mine ()",
    ],
)
def test_reader_and_projector_cannot_append_or_see_persons(ledger: PostgresUrls, login: str, statement: str) -> None:
    with pytest.raises(InsufficientPrivilege, match="permission denied"):
        run(getattr(ledger, login), statement)


def test_reader_and_projector_read_what_they_need(ledger: PostgresUrls) -> None:
    for table in ("head", "event", "identity", "import_progress", "import_refusal", "migration"):
        run(ledger.reader, f"SELECT * FROM ledger.{table}")
    assert run(ledger.reader, "SELECT data -> 'n' FROM ledger.event_json ORDER BY position") == [(1,), (2,), (3,)]
    assert run(ledger.projector, "SELECT count(*) FROM ledger.event") == [(3,)]
    run(ledger.projector, "CREATE SCHEMA projection_7", "DROP SCHEMA projection_7")


@pytest.mark.parametrize("login", ["application", "admin"])
@pytest.mark.parametrize(
    ("statements", "sentence"),
    [
        ([TAKE_ONE, inserted(actor="'somebody'")], "Event 4 has another actor or recorded-at"),
        ([TAKE_ONE, inserted(recorded_at="timestamptz '2001-01-01'")], "Event 4 has another actor or recorded-at"),
        ([TAKE_ONE, inserted(recorded_at="clock_timestamp()")], "Event 4 has another actor or recorded-at"),
        ([TAKE_ONE, inserted(position="1 + position")], r"Positions 5 to 5 \(1 events\) are not those"),
        ([TAKE_ONE, inserted(times="2")], r"Positions 4 to 5 \(2 events\) are not those"),
        ([TAKE_ONE, inserted(business_date="'2031-05-31'")], "An event of a partner has the business date 2031-05-31"),
        ([TAKE_ONE.replace("+ 1", "+ 2"), inserted()], r"Positions 5 to 5 \(1 events\) are not those"),
        ([inserted(position="1 + position")], r"Positions 4 to 4 \(1 events\) are not those"),
        ([TAKE_ONE, inserted(), inserted(position="1 + position").replace("3 + n", "4 + n")], "Positions 5 to 5"),
        ([TAKE_ONE, inserted(), TAKE_ONE], "has taken the positions up to 4 already: append once to a transaction"),
        ([TAKE_ONE], "Positions up to 4 were taken but no events inserted: that would leave a hole"),
        (["UPDATE ledger.head SET position = position - 1"], "only moves on, not back to position 2"),
        (["UPDATE ledger.head SET programmes_version = programmes_version + 1"], "moves on with events only"),
        (["UPDATE ledger.head SET ledger_date = '2099-01-01'"], "moves on with events only"),
        (["UPDATE ledger.head SET latest_business_date = '2099-01-01'"], "moves on with events only"),
    ],
)
def test_positions_actor_and_time_are_the_databases_own(
    ledger: PostgresUrls, login: str, statements: list[str], sentence: str
) -> None:
    """Whoever forges an append by hand, in a transaction of its own, is refused: at the latest at its end."""
    with pytest.raises(InsufficientPrivilege, match=sentence):
        run(getattr(ledger, login), ";".join(["BEGIN", *statements, "COMMIT"]))


def test_an_append_by_hand_that_keeps_the_rules_is_possible(make_ledger: Callable[[], PostgresUrls]) -> None:
    """The refusals above are for what they say, and for nothing else about these statements."""
    urls = make_ledger()
    take = "UPDATE ledger.head SET position = position + 1, latest_business_date = '2011-05-31'"
    run(urls.application, f"BEGIN; {take}; {inserted()}; COMMIT")
    assert run(urls.reader, "SELECT position, actor FROM ledger.event") == [(1, "ledger_app")]


def test_time_and_terms_of_the_head_never_run_back(make_ledger: Callable[[], PostgresUrls]) -> None:
    """Whatever an update says, recorded-at is the database's clock, and what must not go back stays or is refused."""
    urls = make_ledger()
    terms = "programmes_version = 2, ledger_date = '2011-01-01', latest_business_date = '2011-05-31'"
    run(urls.application, f"BEGIN; {TAKE_ONE}, {terms}; {inserted()}; COMMIT")
    for forged in ("'2001-01-01'", "'2099-01-01'"):
        [(close,)] = run(
            urls.application,
            f"UPDATE ledger.head SET recorded_at = {forged}",
            "SELECT abs(extract(epoch FROM clock_timestamp() - recorded_at)) < 5 FROM ledger.head",
        )
        assert close is True
    for back in ("programmes_version = 1", "ledger_date = '2010-12-31'", "ledger_date = NULL"):
        with pytest.raises(InsufficientPrivilege, match="only moves on"):
            run(urls.application, f"UPDATE ledger.head SET {back}")
    # A clock that was set back does not take recorded-at with it.
    run(
        urls.superuser,
        "ALTER TABLE ledger.head DISABLE TRIGGER only_moves_on",
        "UPDATE ledger.head SET recorded_at = '2099-01-01'",
        "ALTER TABLE ledger.head ENABLE ALWAYS TRIGGER only_moves_on",
    )
    pool = ConnectionPool(urls.application)
    PostgresLedgerRecorder(pool, timezone="UTC").insert_events(sales("partner:P1", 1))
    pool.close()
    assert run(urls.reader, "SELECT recorded_at FROM ledger.event WHERE position = 2") == [
        (dt.datetime(2099, 1, 1, tzinfo=dt.UTC),)
    ]


def test_a_check_cannot_be_misled_by_ones_own_operators(make_ledger: Callable[[], PostgresUrls]) -> None:
    """A login that may make schemas puts an operator that always agrees before the system's: the triggers do not see it."""
    urls = make_ledger()
    run(
        urls.admin,
        "CREATE SCHEMA evil",
        "CREATE FUNCTION evil.never(text, name) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT false'",
        "CREATE OPERATOR evil.<> (LEFTARG = text, RIGHTARG = name, FUNCTION = evil.never)",
        "GRANT USAGE ON SCHEMA evil TO PUBLIC",
    )
    take = "UPDATE ledger.head SET position = position + 1, latest_business_date = '2011-05-31'"
    forged = (
        f"SET search_path = evil, pg_catalog; BEGIN; {take}; {inserted(actor=chr(39) + 'somebody' + chr(39))}; COMMIT"
    )
    with pytest.raises(psycopg2.errors.InsufficientPrivilege, match="another actor"):
        run(urls.application, forged)
