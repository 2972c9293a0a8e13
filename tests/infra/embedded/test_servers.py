"""The embedded servers as real processes: found again, kept apart, killed and brought back."""

import json
import multiprocessing
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg2
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient

from domain.errors import ServiceUnreachable
from infra.embedded import processes
from infra.embedded.servers import Endpoints, Servers
from infra.settings import Settings
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(300)

# `up` in a process of its own, so that it can be killed.
START_SCRIPT = """
import sys
from pathlib import Path
from infra.embedded.servers import Servers
from infra.settings import Settings
from tests.waiting import eventually
Servers(Settings(home=Path(sys.argv[1]), kafka_heap_mb=256)).up()
"""


def servers_of(home: Path) -> Servers:
    return Servers(Settings(home=home, kafka_heap_mb=256, wait_timeout_s=120), say=lambda line: print(line, flush=True))


def pids(servers: Servers) -> tuple[int | None, int | None]:
    status = servers.status()
    return status.kafka.pid, status.postgres.pid


def processes_under(home: Path) -> list[psutil.Process]:
    return [
        each for each in psutil.process_iter(["cmdline"]) if any(str(home) in a for a in each.info["cmdline"] or [])
    ]


def insert(endpoints: Endpoints, value: str) -> None:
    with psycopg2.connect(endpoints.admin_database_url) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS kept (value text)")
        cursor.execute("INSERT INTO kept VALUES (%s)", (value,))
    connection.close()


def inserted(endpoints: Endpoints) -> list[str]:
    with psycopg2.connect(endpoints.admin_database_url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT value FROM kept")
        rows = [row[0] for row in cursor.fetchall()]
    connection.close()
    return rows


def produce(endpoints: Endpoints, value: bytes) -> None:
    producer = KafkaProducer(bootstrap_servers=endpoints.bootstrap_servers, acks="all", enable_idempotence=True)
    producer.send("kept", value, partition=0).get(timeout=20)
    producer.close()


def produced(endpoints: Endpoints) -> list[bytes]:
    consumer = KafkaConsumer(bootstrap_servers=endpoints.bootstrap_servers, auto_offset_reset="earliest")
    partition = TopicPartition("kept", 0)
    consumer.assign([partition])
    end = consumer.end_offsets([partition])[partition]
    values: list[bytes] = []
    while consumer.position(partition) < end:
        values += [record.value for records in consumer.poll(timeout_ms=500).values() for record in records]
    consumer.close()
    return values


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("ledger") / "home"
    began = time.monotonic()
    servers = servers_of(folder)
    servers.up()
    print(f"\nfirst start: {time.monotonic() - began:.1f} s")
    yield folder
    servers.down()


def test_second_up_finds_the_first(home: Path) -> None:
    """A second up returns the same endpoints, starts no process and takes no noticeable time; so does a mere look."""
    first = servers_of(home)
    endpoints, before = first.up(), pids(first)
    second = servers_of(home)
    assert second.found() == endpoints
    assert servers_of(home.parent / "another").found() is None
    began = time.monotonic()
    assert second.up() == endpoints
    assert time.monotonic() - began < 2
    assert pids(second) == before
    assert None not in before


def test_logins_are_apart_and_none_of_ours_is_a_superuser(home: Path) -> None:
    """The four logins exist, the owner owns the database, and durability is on."""
    endpoints = servers_of(home).up()
    with psycopg2.connect(endpoints.admin_database_url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT rolname, rolsuper, rolcreaterole FROM pg_roles WHERE rolname LIKE 'ledger%' ORDER BY 1")
        assert cursor.fetchall() == [
            ("ledger_app", False, False),
            ("ledger_owner", False, True),
            ("ledger_projector", False, False),
            ("ledger_reader", False, False),
        ]
        cursor.execute(
            "SELECT pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datlocprovider, datlocale "
            "FROM pg_database WHERE datname = 'ledger'"
        )
        assert cursor.fetchone() == ("ledger_owner", "UTF8", "b", "C.UTF-8")
        cursor.execute(
            "SELECT name, setting FROM pg_settings WHERE name IN "
            "('fsync', 'full_page_writes', 'synchronous_commit', 'listen_addresses') ORDER BY 1"
        )
        assert cursor.fetchall() == [
            ("fsync", "on"),
            ("full_page_writes", "on"),
            ("listen_addresses", ""),
            ("synchronous_commit", "on"),
        ]
    connection.close()
    for url in (endpoints.database_url, endpoints.read_database_url, endpoints.projector_database_url):
        psycopg2.connect(url).close()


def test_killed_servers_come_back_with_their_data(home: Path) -> None:
    """After SIGKILL of broker and database the next up has the record and the row, at the same addresses."""
    servers = servers_of(home)
    endpoints = servers.up()
    admin = KafkaAdminClient(bootstrap_servers=endpoints.bootstrap_servers)
    admin.create_topics({"kept": {"num_partitions": 1, "replication_factor": 1}})
    admin.close()
    produce(endpoints, b"a record")
    insert(endpoints, "a row")
    for pid in pids(servers):
        assert pid is not None
        psutil.Process(pid).send_signal(signal.SIGKILL)
    began = time.monotonic()
    again = servers_of(home).up()
    print(f"\nstart after SIGKILL of both: {time.monotonic() - began:.1f} s")
    assert again == endpoints
    assert produced(again) == [b"a record"]
    assert inserted(again) == ["a row"]


def _up(home: Path, results: "multiprocessing.Queue[tuple[Endpoints, tuple[int | None, int | None]]]") -> None:
    servers = servers_of(home)
    results.put((servers.up(), pids(servers)))


def test_down_leaves_no_process_and_concurrent_ups_start_one_pair(home: Path) -> None:
    """Down ends everything, a background process too; of two ups at once in two processes one starts, both find the same."""
    servers = servers_of(home)
    servers.up()
    processes.start_background(home, "relay", ["sleep", "1000"], {"PATH": "/usr/bin:/bin"}, settle_s=0)
    relay = processes.running(home, "relay")
    assert relay is not None
    assert servers.down() is True
    assert processes_under(home) == []
    assert not psutil.pid_exists(relay) or psutil.Process(relay).status() == psutil.STATUS_ZOMBIE
    assert not (home / "postgres" / "socket").exists()
    assert servers.down() is False

    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[tuple[Endpoints, tuple[int | None, int | None]]] = context.Queue()
    both = [context.Process(target=_up, args=(home, results)) for _ in range(2)]
    began = time.monotonic()
    for each in both:
        each.start()
    found = [results.get(timeout=60) for _ in both]
    for each in both:
        each.join()
    print(f"\nsecond start, by two processes at once: {time.monotonic() - began:.1f} s")
    assert found[0] == found[1]
    assert None not in found[0][1]


def test_recycled_pid_is_neither_found_nor_ended(home: Path) -> None:
    """A record whose pid now belongs to another process is not taken for ours, and stop leaves that process alone."""
    stranger = subprocess.Popen(["sleep", "1000"])
    try:
        record = home / "run" / "projector.json"
        created = psutil.Process(stranger.pid).create_time()
        record.write_text(json.dumps({"argv": ["partner-ledger"], "pid": stranger.pid, "created": created - 60}))
        assert processes.running(home, "projector") is None
        assert processes.stop(home, "projector", timeout=1) is False
        assert stranger.poll() is None
        assert not record.exists()
    finally:
        stranger.kill()
        stranger.wait()


def test_process_whose_record_was_cut_off_is_found(home: Path) -> None:
    """If the starter is killed between making a process and noting its pid, the process is still found and ended."""
    argv = [sys.executable, "-c", "import time; time.sleep(1000)"]
    pid = processes.start_background(home, "projector", argv, {})
    (home / "run" / "projector.json").write_text(json.dumps({"argv": argv}))
    assert processes.running(home, "projector") == pid
    assert processes.stop(home, "projector", timeout=5) is True
    assert processes.running(home, "projector") is None


def test_process_that_ends_at_once_is_reported_with_its_log(home: Path) -> None:
    """The error has the exit code, the log's path and its last lines."""
    argv = [sys.executable, "-c", "import sys; sys.exit('the reason')"]
    with pytest.raises(ServiceUnreachable, match=r"(?s)relay ended at once with exit code 1.*relay\.log.*the reason"):
        processes.start_background(home, "relay", argv, {}, settle_s=10)


def test_two_homes_do_not_meet(home: Path, tmp_path: Path) -> None:
    """A second home has servers of its own, with a path too long for a socket too; ending one leaves the other."""
    first, other_home = servers_of(home), tmp_path / ("a-long-name" * 9) / "home"
    other = servers_of(other_home)
    try:
        endpoints, other_endpoints = first.up(), other.up()
        assert not set(vars(endpoints).values()) & set(vars(other_endpoints).values())
        assert not set(pids(first)) & set(pids(other))
        socket_folder = other._postgres.socket_folder
        assert socket_folder.stat().st_mode & 0o777 == 0o700
        before = pids(first)
        assert other.down() is True
        assert not socket_folder.exists()
        assert first.up() == endpoints
        assert pids(first) == before
    finally:
        other.down()
    shutil.rmtree(other_home)


def test_start_cut_off_anywhere_is_mended_by_the_next(tmp_path: Path) -> None:
    """An up killed again and again during its first start leaves nothing that keeps the next one from finishing."""
    home = tmp_path / "home"
    for seconds in (0.6, 1.2, 2.5, 4.0):
        starter = subprocess.Popen([sys.executable, "-c", START_SCRIPT, str(home)], stdout=subprocess.DEVNULL)
        time.sleep(seconds)
        starter.kill()
        starter.wait()
    servers = servers_of(home)
    try:
        insert(servers.up(), "made")
        assert len([each for each in processes_under(home) if each.name() == "java"]) == 1
    finally:
        servers.down()
    assert processes_under(home) == []
    assert not list(home.glob("*/formatting-*"))
    assert not list(home.glob("*/initialising-*"))


def test_named_servers_are_used_and_not_stopped(home: Path, tmp_path: Path) -> None:
    """With both servers named nothing is started under the home, and down stops neither of them."""
    endpoints = servers_of(home).up()
    named = Servers(
        Settings(home=tmp_path / "empty", kafka=endpoints.bootstrap_servers, database_url=endpoints.database_url)
    )
    assert named.up().bootstrap_servers == endpoints.bootstrap_servers
    assert named.up().admin_database_url == endpoints.database_url
    assert named.down() is False
    assert named.status().kafka.running
    assert named.status().postgres.running
    assert not (tmp_path / "empty").exists()


def test_named_server_that_does_not_answer_is_said(tmp_path: Path) -> None:
    """The error names the server and hides the password."""
    settings = Settings(
        home=tmp_path, kafka="127.0.0.1:1", database_url="postgresql://me:secret@127.0.0.1:1/x", wait_timeout_s=1
    )
    with pytest.raises(
        ServiceUnreachable, match=r"PostgreSQL at postgresql://me:\*\*\*@127\.0\.0\.1:1/x does not answer"
    ):
        Servers(settings, say=print).up()


def test_interrupted_up_is_taken_up_by_the_next(tmp_path: Path) -> None:
    """Ctrl-C during a first start ends the command soon, and the next up finishes it."""
    home = tmp_path / "home"
    starter = subprocess.Popen([sys.executable, "-c", START_SCRIPT, str(home)], stderr=subprocess.DEVNULL)
    servers = servers_of(home)
    eventually(lambda: servers.status().kafka.pid is not None, 60)  # it has begun, and needs a second or two
    starter.send_signal(signal.SIGINT)
    assert starter.wait(timeout=20) != 0
    try:
        insert(servers.up(), "made")
    finally:
        servers.down()
