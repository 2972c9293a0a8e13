"""The hash tree in PostgreSQL, against the definition over the leaf hashes that plain SQL gives."""

import time
from collections.abc import Callable, Iterator
from threading import Thread

import pytest
from psycopg2.errors import InsufficientPrivilege

from domain.errors import IntegrityFault
from domain.merkle import Frontier, Multiproof, Subtree, consistency_path, inclusion_path, tree_root
from domain.recording import Append
from infra.audit.verify import root_of_path, roots_of_consistency
from infra.postgres.connections import ConnectionPool
from infra.postgres.recorder import PostgresLedgerRecorder
from infra.postgres.tree import PostgresTree
from tests.infra.postgres.conftest import PostgresUrls, run, sales

EVENTS = 66_000
"""More than 256 · 256: three stored levels' worth of counting, two of nodes."""

STREAMS = 300


@pytest.fixture(scope="module")
def ledger(make_ledger: Callable[[], PostgresUrls]) -> PostgresUrls:
    """A ledger of many events, in 300 streams that take turns."""
    urls = make_ledger()
    recorder = PostgresLedgerRecorder(ConnectionPool(urls.application), timezone="UTC")
    each = EVENTS // STREAMS // 20
    for turn in range(20):
        events = [event for n in range(STREAMS) for event in sales(f"partner:P{n}", 1 + turn * each, each)]
        recorder.insert_events(events, append=Append())
    recorder.close()
    return urls


@pytest.fixture(scope="module")
def leaves(ledger: PostgresUrls) -> list[bytes]:
    """Every leaf hash, by position."""
    rows = run(ledger.superuser, "SELECT leaf_hash FROM ledger.event ORDER BY position")
    return [bytes(row[0]) for row in rows]  # type: ignore[call-overload]  # a memoryview


@pytest.fixture(scope="module")
def tree(ledger: PostgresUrls, leaves: list[bytes]) -> Iterator[PostgresTree]:
    """The reader's tree, its nodes stored."""
    writer = PostgresTree(ledger.application)
    told: list[int] = []
    writer.fill(len(leaves), told.append)
    assert told == sorted(told)
    assert told[-1] == len(leaves)
    writer.close()
    made = PostgresTree(ledger.reader)
    yield made
    made.close()


def root(leaves: list[bytes]) -> bytes:
    frontier = Frontier()
    frontier.extend(leaves)
    return frontier.root()


def test_nodes_are_stored_at_every_eighth_level(tree: PostgresTree, ledger: PostgresUrls, leaves: list[bytes]) -> None:
    """A row for every 256 events, and one for every 65,536."""
    rows = run(ledger.reader, "SELECT level, count(*), max(number) FROM ledger.tree_node GROUP BY level ORDER BY level")
    assert rows == [(8, len(leaves) // 256, len(leaves) // 256 - 1), (16, 1, 0)]


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 1000, 65_535, 65_536, 65_537, 66_000])
def test_the_root_at_any_size_is_that_of_the_leaves(tree: PostgresTree, leaves: list[bytes], size: int) -> None:
    """From few rows, whatever the size."""
    assert tree_root(size, tree) == root(leaves[:size])


def test_any_complete_subtree_is_put_together(tree: PostgresTree, leaves: list[bytes]) -> None:
    """Between the stored levels and at them, asked for in any order and twice."""
    wanted = [
        Subtree(16, 0),
        Subtree(0, 65_999),
        Subtree(9, 3),
        Subtree(7, 11),
        Subtree(15, 1),
        Subtree(0, 0),
        Subtree(9, 3),
    ]
    expected = [root(leaves[number << level : (number + 1) << level]) for level, number in wanted]
    assert tree.hashes(wanted) == expected
    assert tree.hashes([]) == []


@pytest.mark.parametrize("position", [1, 256, 257, 40_000, 65_536, 66_000])
def test_paths_lead_to_the_root(tree: PostgresTree, leaves: list[bytes], position: int) -> None:
    """As an outsider's program follows them."""
    path = inclusion_path(position - 1, len(leaves), tree)
    assert root_of_path(position - 1, len(leaves), leaves[position - 1], path) == root(leaves)
    first = root(leaves[:position])
    roots = roots_of_consistency(position, len(leaves), first, consistency_path(position, len(leaves), tree))
    assert roots == (first, root(leaves))


def test_a_streams_events_rebuild_the_root(tree: PostgresTree, leaves: list[bytes]) -> None:
    """220 events of 66,000, page by page, with fewer hashes than paths would have."""
    proof = Multiproof(len(leaves), tree)
    hashes = 0
    for page in tree.of_stream("partner:P7", len(leaves)):
        assert [row.version for row, _ in page] == list(range(1, 1 + len(page)))
        hashes += sum(map(len, proof.before([(row.position - 1, leaf) for row, leaf in page])))
    hashes += len(proof.after())
    assert proof.root() == root(leaves)
    assert hashes < 220 * 10


def test_last_versions_are_those_at_the_size(tree: PostgresTree, ledger: PostgresUrls) -> None:
    """Of every stream that had begun by then, and of no other; streams without end or beginning are no trouble."""
    for size in (0, 1, 11, 12, 3_300, 3_301, 66_000):
        expected = run(
            ledger.superuser,
            f'SELECT stream, max(version) FROM ledger.event WHERE position <= {size} GROUP BY stream ORDER BY stream COLLATE "C"',
        )
        assert list(tree.last_versions(size)) == expected


def test_several_fill_the_tree_at_once(make_ledger: Callable[[], PostgresUrls]) -> None:
    """None is in another's way, and nothing is missing afterwards."""
    urls = make_ledger()
    recorder = PostgresLedgerRecorder(ConnectionPool(urls.application), timezone="UTC")
    recorder.insert_events(sales("partner:P1", 1, 5_000), append=Append())
    recorder.close()
    trees = [PostgresTree(urls.application) for _ in range(3)]
    threads = [Thread(target=each.fill, args=(5_000, lambda _: None)) for each in trees]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert run(urls.reader, "SELECT count(*), max(number) FROM ledger.tree_node") == [(19, 18)]
    leaves = run(urls.reader, "SELECT leaf_hash FROM ledger.event ORDER BY position")
    assert tree_root(5_000, trees[0]) == root([bytes(row[0]) for row in leaves])  # type: ignore[call-overload]
    for each in trees:
        each.close()


def test_a_moment_is_the_last_position_and_the_databases_time(tree: PostgresTree) -> None:
    """Not before the last event was recorded."""
    size, now = tree.moment()
    assert size == EVENTS
    assert now.utcoffset() is not None
    assert abs(now.timestamp() - time.time()) < 60
    assert tree.event(EVENTS + 1) is None
    found = tree.event(EVENTS)
    assert found is not None
    assert now >= found[0].recorded_at


def test_a_hole_in_the_store_is_found_as_it_is_read(make_ledger: Callable[[], PostgresUrls]) -> None:
    """Neither a missing event nor a missing node becomes part of a hash."""
    urls = make_ledger()
    recorder = PostgresLedgerRecorder(ConnectionPool(urls.application), timezone="UTC")
    recorder.insert_events(sales("partner:P1", 1, 600), append=Append())
    recorder.close()
    tree = PostgresTree(urls.application)
    with pytest.raises(IntegrityFault, match=r"positions 257 and 512 are not stored: `partner-ledger audit head`"):
        tree.hashes([Subtree(8, 1)])
    run(
        urls.superuser,
        "ALTER TABLE ledger.event DISABLE TRIGGER is_immutable",
        "DELETE FROM ledger.event WHERE position = 300",
    )
    with pytest.raises(IntegrityFault, match="The store lacks events between the positions 257 and 512"):
        tree.fill(600, lambda _: None)
    tree.close()


LOGINS = ["admin", "application", "reader", "projector", "superuser"]


@pytest.mark.parametrize("login", LOGINS)
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE ledger.tree_node SET hash = hash",
        "DELETE FROM ledger.tree_node",
        "TRUNCATE ledger.tree_node",
        "UPDATE ledger.ledger_id SET id = gen_random_uuid()",
        "DELETE FROM ledger.ledger_id",
        "TRUNCATE ledger.ledger_id",
        "INSERT INTO ledger.ledger_id (only_row) VALUES (true)",
    ],
)
def test_nobody_changes_stored_hashes_or_the_ledgers_id(
    tree: PostgresTree, ledger: PostgresUrls, login: str, statement: str
) -> None:
    """By a right that is not given, or, for the owner and even a superuser, by the trigger."""
    with pytest.raises(InsufficientPrivilege, match=r"permission denied|What the ledger has recorded never changes: "):
        run(getattr(ledger, login), statement)


def test_only_the_application_stores_hashes(ledger: PostgresUrls, tree: PostgresTree) -> None:
    """The others read."""
    insert = "INSERT INTO ledger.tree_node VALUES (24, 0, decode(repeat('00', 32), 'hex'))"
    for login in (ledger.reader, ledger.projector):
        with pytest.raises(InsufficientPrivilege, match="permission denied"):
            run(login, insert)
    for login in (ledger.reader, ledger.projector, ledger.application):
        assert len(run(login, "SELECT * FROM ledger.tree_node")) == EVENTS // 256 + 1
        assert run(login, "SELECT id FROM ledger.ledger_id") == run(ledger.superuser, "SELECT id FROM ledger.ledger_id")


def test_each_ledger_has_an_id_of_its_own(make_database: Callable[[str], PostgresUrls], ledger: PostgresUrls) -> None:
    """Made with the schema; a copy of a database keeps it, for it is the same ledger up to there."""
    from infra.postgres.migrate import migrate
    from tests.infra.postgres.conftest import LOGINS as GROUPS

    other = make_database("template0")
    migrate(other.admin, logins=GROUPS)
    query = "SELECT id FROM ledger.ledger_id"
    assert run(other.reader, query) != run(ledger.reader, query)
