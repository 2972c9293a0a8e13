"""The one place that wires: settings to servers, adapters to ports, background processes to a home.

Nothing else constructs an adapter. A command asks for a `Runtime`; what it needs is started or connected on first use.
Kafka's client is imported where it is used: most answers need none, and it takes a quarter of a command's start.
"""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from eventsourcing.persistence import OperationalError
from psycopg2.extensions import parse_dsn

from consumers.parked import RetryOutcome, retry_parked
from consumers.rebuild import Plan, Rebuild, Rebuilt, Telling
from consumers.tier_changes import TierChanges
from domain.application import Ledger, Patience
from domain.errors import ServiceUnreachable
from domain.heads import SignedHead
from domain.recording import LedgerStore, RefusedRow
from infra.audit.deciding_again import DecidedAgain, decide_again
from infra.audit.task import OutsideHead, Task
from infra.embedded import processes
from infra.embedded.servers import BACKGROUND_STOP_TIMEOUT_S, Endpoints, Servers
from infra.postgres.audited_store import PostgresAuditedStore
from infra.postgres.event_log import PostgresEventLog
from infra.postgres.events import PostgresEvents
from infra.postgres.migrate import is_prepared, migrate
from infra.postgres.projections.read_models import PostgresReadModels
from infra.postgres.projections.rebuilds import PostgresBuilds
from infra.postgres.projections.store import PostgresProjectionStore
from infra.postgres.staging import PostgresFeedStaging
from infra.postgres.tree import PostgresTree
from infra.settings import PREFIX, Settings
from infra.signing import SigningKey, load_signing_key
from producers.importer import FeedStaging, Importer
from producers.topics import layouts
from producers.tree_heads import HeadsTopic
from projections.queries import ReadModels
from projections.recorded import Events

if TYPE_CHECKING:
    from infra.replay.rehearsing import Rehearsal, Request
    from infra.replay.rehearsing import Telling as Rehearsing
    from infra.replay.sweeping import Sweep, SweepRequest
    from infra.tape.checking import Checked, OnChecked
    from infra.tape.making import Made, OnProgress
    from infra.tape.reading import RecordedTape

RELAY, PROJECTOR = "relay", "projector"
BACKGROUND_PROCESSES = (RELAY, PROJECTOR)
"""What every ledger needs; further projectors are `projector-2` and so on."""

Say = Callable[[str], None]
OnWait = Callable[[int, int], None]
"""Called while waiting for the projections, with the position applied and the one waited for."""


class ProjectionsStuck(ServiceUnreachable):
    """The projections have not moved for a while, though relay and projector run."""


class Runtime:
    """One ledger: its servers, and what is connected to them."""

    def __init__(self, settings: Settings, say: Say) -> None:
        self.settings = settings
        self.say = say
        self.servers = Servers(settings, say)

    @cached_property
    def endpoints(self) -> Endpoints:
        """Start what is not up (servers, relay, projector), bring the schema up to date; give where all of it is.

        Where relay and projector run, whoever started them has seen Kafka answer and its topics made: it is not asked again.
        """
        home = self.settings.home
        if all(processes.running(home, name) for name in BACKGROUND_PROCESSES) and (found := self.servers.found()):
            prepare_store(found)
            return found
        endpoints = self.servers.up()
        prepare(self.settings, endpoints)
        for name in BACKGROUND_PROCESSES:
            self.start(name)
        return endpoints

    def start(self, name: str) -> None:
        """Start a relay or projector of the home in the background, unless it runs."""
        home = self.settings.home
        if processes.running(home, name) is None:
            argv = [sys.executable, "-m", "infra.cli.app", "run", PROJECTOR if name.startswith(PROJECTOR) else name]
            # In the home, so that a .env beside the caller does not count twice; and watched by `wait_until_projected`.
            processes.start_background(home, name, argv, environment_of(self.settings), settle_s=0, cwd=home)
            self.say(f"Started the {name}; its log is {processes.log_path(home, name)}.")

    def up(self, projectors: int | None = None) -> Endpoints:
        """Start what is not up, as `endpoints` does on its first use; then have so many projectors, or as many as there were."""
        endpoints = self.endpoints
        home = self.settings.home
        there = projectors_of(home)
        numbers = range(2, (projectors or 0) + 1)
        wanted = [PROJECTOR, *(f"{PROJECTOR}-{number}" for number in numbers)] if projectors else there
        for name in there:
            if name not in wanted:
                processes.stop(home, name, BACKGROUND_STOP_TIMEOUT_S)
                self.say(f"Stopped the {name}.")
        for name in wanted:
            self.start(name)
        return endpoints

    @cached_property
    def ledger(self) -> Ledger:
        """The application, on the application's login."""
        return make_ledger(self.settings, self.endpoints, self.patience)

    @cached_property
    def patience(self) -> Patience:
        """What waits while PostgreSQL is away, and gives up after the time set."""
        return _Patience(self.settings.wait_timeout_s, self.say, self._give_up_if_stopped)

    @cached_property
    def read_models(self) -> ReadModels:
        """The projections, on the reader's login."""
        return PostgresReadModels(self.endpoints.read_database_url)

    @cached_property
    def events(self) -> Events:
        """The events themselves, on the reader's login: what explanations and histories cite."""
        return PostgresEvents(self.endpoints.read_database_url)

    def retry_parked(self, stream: str) -> RetryOutcome:
        """Try to apply a parked stream again, on the projector's login."""
        store = PostgresProjectionStore(self.endpoints.projector_database_url)
        try:
            return retry_parked(store, stream)
        finally:
            store.close()

    @cached_property
    def builds(self) -> PostgresBuilds:
        """The builds of the projections, on the projector's login."""
        return PostgresBuilds(self.endpoints.projector_database_url)

    def rebuild(self, plan: Plan, telling: Telling) -> Rebuilt:
        """Make projections anew from Kafka and the new build live, or a past state beside it."""
        from infra.rebuild_process import RebuildProcesses, work_in_batches

        work_in_batches()
        builds = self.builds
        filling = RebuildProcesses(self.settings, self.endpoints, builds.dropped_records, telling.note)
        try:
            rebuilt = Rebuild(plan, builds, filling, telling).run()
        finally:
            builds.close()
        for name in projectors_of(self.settings.home):  # one that stopped at another topic's build can go on now
            self.start(name)
        return rebuilt

    def relayed(self) -> int:
        """Give the position up to which events are on Kafka."""
        from infra.kafka.ledger_topics import relayed_position

        return relayed_position(self.endpoints.bootstrap_servers, self.settings.topic_prefix)

    def tier_changes(self) -> TierChanges:
        """Give the public topic of tier changes."""
        from infra.kafka.tier_changes import KafkaTierChanges

        topic = layouts(self.settings.kafka_partitions, self.settings.topic_prefix).tier_changes.name
        return KafkaTierChanges(self.endpoints.bootstrap_servers, topic)

    @cached_property
    def tree(self) -> PostgresTree:
        """The hash tree over the events, on the reader's login."""
        return PostgresTree(self.endpoints.read_database_url)

    def growing_tree(self) -> PostgresTree:
        """Give the tree on the application's login, which may store hashes; close it afterwards."""
        return PostgresTree(self.endpoints.database_url)

    def tree_heads(self) -> HeadsTopic:
        """Give the topic of signed tree heads."""
        from infra.kafka.tree_heads import KafkaTreeHeads

        topic = layouts(self.settings.kafka_partitions, self.settings.topic_prefix).tree_heads
        return KafkaTreeHeads(self.endpoints.bootstrap_servers, topic, self.settings.kafka_replication_factor)

    def signing_key(self) -> SigningKey:
        """Give the key that signs tree heads, made on first use."""
        return load_signing_key(self.settings.signing_key_path, self.settings.home, self.say)

    def audit_task(self, outside: SignedHead | None) -> Task:
        """Say what an audit is to verify: the ledger as it stands now."""
        held = None if outside is None else outside_head(outside)
        return audit_task(self.settings, self.endpoints, held)

    def decide_again(self, on_progress: OnWait) -> DecidedAgain:
        """Decide all that is recorded now again, on the reader's login; `on_progress` hears how far it is, and how far it goes."""
        store = PostgresAuditedStore(self.endpoints.read_database_url, self.settings.timezone)
        try:
            head, _ = store.head()
            return decide_again(store, head.position, lambda read: on_progress(read, head.position))
        finally:
            store.close()

    def tape_folder(self, named: Path | None) -> Path:
        """Give the folder of the tape: the one named, or the ledger's own."""
        return (self.settings.home / "tape" if named is None else named).absolute()

    def make_tape(self, folder: Path, *, anew: bool, on_progress: "OnProgress") -> "Made":
        """Make a tape of the recorded facts, or top it up."""
        from infra.kafka.event_source import topic_identity
        from infra.tape.making import Sources, make
        from infra.tape.manifest import TapeSource

        endpoints, settings = self.endpoints, self.settings
        topics = layouts(settings.kafka_partitions, settings.topic_prefix)
        identity = topic_identity(endpoints.bootstrap_servers, topics.events.name)
        source = TapeSource(
            self.ledger_id, identity.cluster_id, identity.topic, identity.topic_id, topics.events.partitions
        )
        sources = Sources(
            source,
            endpoints.bootstrap_servers,
            topics.relay_checkpoint.name,
            endpoints.read_database_url,
            settings.timezone,
        )
        return make(folder, sources, anew=anew, wait_s=settings.wait_timeout_s, say=self.say, on_progress=on_progress)

    def check_tape(self, folder: Path, on_checked: "OnChecked") -> "Checked":
        """Compare a tape with the ledger, row by row."""
        from infra.tape.checking import check

        store = PostgresAuditedStore(self.endpoints.read_database_url, self.settings.timezone)
        try:
            return check(folder, self.ledger_id, store, on_checked)
        finally:
            store.close()

    def tape(self, folder: Path, *, top_up: bool, telling: "Rehearsing") -> "RecordedTape":
        """Open a tape of this ledger for a replay (port: `projections.facts_by_stream.RecordedFacts`).

        What was recorded since is added first, and a tape is made where there is none; with `top_up` False it is read as it is.
        """
        from infra.tape.reading import RecordedTape

        if not top_up:
            return RecordedTape.open(folder, self.ledger_id)
        telling.stage("Adding to the tape what is new")
        made = self.make_tape(folder, anew=False, on_progress=telling.note)
        return RecordedTape(folder, made.manifest)

    def what_if(self, request: "Request", telling: "Rehearsing") -> "list[Rehearsal]":
        """Decide the facts of a tape under other programmes, and hold what comes of it against the projections."""
        from infra.replay.rehearsing import Live, rehearse

        recorded = self._recorded(request, telling)
        return rehearse(recorded, recorded.manifest.facts, Live(self.read_models, self.events), request, telling)

    def sweep(self, request: "SweepRequest", telling: "Rehearsing") -> "Sweep":
        """Decide the facts of a tape under the programmes of each point of a sweep."""
        from infra.replay.sweeping import sweep

        recorded = self._recorded(request, telling)
        return sweep(recorded, recorded.manifest.facts, self.read_models, request, telling)

    def _recorded(self, request: "Request | SweepRequest", telling: "Rehearsing") -> "RecordedTape":
        """Open the tape, and wait until the projections have applied what is on it."""
        from infra.tape.manifest import many_files

        recorded = self.tape(request.tape, top_up=request.top_up, telling=telling)
        if many := many_files(recorded.manifest):
            self.say(many)
        telling.stage("Waiting for the projections", recorded.manifest.position)
        self.wait_until_projected(telling.note, recorded.position)
        return recorded

    @cached_property
    def ledger_id(self) -> str:
        """The ledger's id, by the login that only reads."""
        tree = PostgresTree(self.endpoints.read_database_url)
        try:
            return str(tree.ledger_id())
        finally:
            tree.close()

    def importer(self) -> tuple[Importer, FeedStaging]:
        """Make an importer and the staging that it uses; close the staging afterwards."""
        staging = PostgresFeedStaging(self.endpoints.database_url)
        return Importer(self.ledger, staging, self.settings.import_batch_facts), staging

    def refused_rows(self, key: str) -> Iterator[RefusedRow]:
        """Give what a run of an import has refused, in order and never all of it at once."""
        staging = PostgresFeedStaging(self.endpoints.database_url)
        try:
            yield from staging.refused_rows(key)
        finally:
            staging.close()

    def finish_imports(self, keys: Collection[str]) -> None:
        """Note that the results of these imports were told. Where that fails, the next run tells them once more."""
        try:
            staging = PostgresFeedStaging(self.endpoints.database_url)
            staging.finish(keys)
            staging.close()
        except ServiceUnreachable as error:
            self.say(f"The same import told again will give the same result once more: {error}")

    def last_position(self) -> int:
        """Give the last position of the store."""
        store: LedgerStore = self.ledger.recorder  # type: ignore[assignment]  # our factory makes no other recorder
        return store.head().position

    def wait_until_projected(self, on_wait: OnWait, position: int | None = None) -> int:
        """Wait until the projections have applied (or parked) what the store holds now, or all up to a position; give it.

        Raises:
            ServiceUnreachable: nothing moved for `wait_timeout_s`; what was recorded is safe.

        """
        try:
            return self._wait_until_projected(on_wait, position)
        except ServiceUnreachable:
            self._give_up_if_stopped()
            raise

    def _wait_until_projected(self, on_wait: OnWait, position: int | None) -> int:
        target = self.last_position() if position is None else position
        seen, moved = -1, time.monotonic()
        pause_s = 0.01
        while True:
            standing = self.read_models.standing()
            reached = standing.applied + standing.waiting
            on_wait(min(reached, target), target)
            # More than a position may be applied before all up to it is: partitions do not wait for one another.
            if reached >= (target if position is None else max(target, standing.position)):
                return target
            self._check_background()
            if reached != seen:
                seen, moved = reached, time.monotonic()
            elif time.monotonic() - moved > self.settings.wait_timeout_s:
                raise ProjectionsStuck(
                    f"The projections stand at {reached} of {target} events and have not moved for"
                    f" {self.settings.wait_timeout_s} s. What was recorded is safe; see the logs in"
                    f" {self.settings.home / 'logs'}."
                )
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.5, 0.2)

    def _give_up_if_stopped(self) -> None:
        """Say so at once where somebody has stopped the ledger meanwhile: `down` takes the records of what it stops away."""
        if not set(processes.recorded(self.settings.home)) & set(BACKGROUND_PROCESSES):
            raise ServiceUnreachable(
                "The ledger was stopped meanwhile (`partner-ledger down`); what was recorded is safe, run the same command"
                " again to go on."
            )

    def _check_background(self) -> None:
        """Say at once why nothing will come, where relay or projector has stopped."""
        home = self.settings.home
        for name, instead in ((RELAY, [RELAY]), (PROJECTOR, projectors_of(home))):
            if not any(processes.running(home, each) for each in instead):
                log = processes.log_path(home, name)
                raise ServiceUnreachable(
                    f"The {name} has stopped; what was recorded is safe. The end of its log {log}:\n{processes.last_lines(log, 3)}"
                )

    def close(self) -> None:
        """Let the application's connections go; what runs in the background stays up."""
        if "ledger" in self.__dict__:
            self.ledger.close()

    def down(self) -> bool:
        """Stop relay, projector and the embedded servers; False if nothing ran."""
        return self.servers.down()


def projectors_of(home: Path) -> list[str]:
    """Name the projectors of a home, also those that have ended by themselves; the first one belongs to every ledger."""
    further = [name for name in processes.recorded(home) if name.startswith(f"{PROJECTOR}-")]
    return [PROJECTOR, *sorted(further, key=lambda name: int(name.removeprefix(f"{PROJECTOR}-")))]


def environment_of(settings: Settings) -> dict[str, str]:
    """Give the environment in which another process has the same settings, whatever this one's own says."""
    environment = {name: value for name, value in os.environ.items() if not name.upper().startswith(PREFIX)}
    for name, value in settings.model_dump(mode="json").items():
        if value is not None:
            environment[PREFIX + name.upper()] = str(value)
    return environment


def prepare(settings: Settings, endpoints: Endpoints) -> None:
    """Bring the store's schema up to date and make the topics; cheap where both are there."""
    from infra.kafka.admin import ensure_topics

    prepare_store(endpoints)
    topics = layouts(settings.kafka_partitions, settings.topic_prefix)
    ensure_topics(endpoints.bootstrap_servers, topics.all, settings.kafka_replication_factor)


def prepare_store(endpoints: Endpoints) -> None:
    """Bring the store's schema up to date."""
    logins = {
        "application": _login(endpoints.database_url),
        "reader": _login(endpoints.read_database_url),
        "projector": _login(endpoints.projector_database_url),
    }
    migrate(endpoints.admin_database_url, logins=logins)


def _login(url: str) -> str:
    return str(parse_dsn(url).get("user") or os.environ.get("PGUSER") or os.environ.get("USER") or "postgres")


def audit_task(settings: Settings, endpoints: Endpoints, outside: OutsideHead | None = None) -> Task:
    """Say what an audit is to verify: the ledger as it stands now, by the login that only reads."""
    topics = layouts(settings.kafka_partitions, settings.topic_prefix)
    store = PostgresAuditedStore(endpoints.read_database_url, settings.timezone)
    try:
        head, highest_position = store.head()
    finally:
        store.close()
    return Task(
        read_database_url=endpoints.read_database_url,
        bootstrap_servers=endpoints.bootstrap_servers,
        timezone=settings.timezone,
        events_topic=topics.events.name,
        tier_changes_topic=topics.tier_changes.name,
        checkpoint_topic=topics.relay_checkpoint.name,
        head=head,
        highest_position=highest_position,
        outside=outside,
    )


def outside_head(signed: SignedHead) -> OutsideHead:
    """Give what a signed tree head says of the events."""
    return OutsideHead(signed.head.size, signed.head.root, signed.head.streams_root)


def make_ledger(settings: Settings, endpoints: Endpoints, patience: Patience) -> Ledger:
    """Make the application on the event store of an endpoint."""
    environment = {
        "PERSISTENCE_MODULE": "infra.postgres.factory",
        "POSTGRES_LEDGER_URL": endpoints.database_url,
        "POSTGRES_LEDGER_TIMEZONE": settings.timezone,
    }
    return Ledger(environment, patience=patience)


class _Patience:
    """Waits while PostgreSQL is away, saying so once, and gives up after a time without an answer."""

    def __init__(self, timeout_s: int, say: Say, check: Callable[[], None]) -> None:
        self._timeout_s = timeout_s
        self._say = say
        self._check = check
        self._since: float | None = None
        self._last = 0.0

    def __call__(self, error: OperationalError) -> None:
        self._check()
        now = time.monotonic()
        if self._since is None or now - self._last > self._timeout_s:
            self._since = now
            self._say(f"PostgreSQL does not answer; waiting up to {self._timeout_s} s for it. Nothing is lost.")
        self._last = now
        if now - self._since > self._timeout_s:
            self._since = None
            raise ServiceUnreachable(
                f"PostgreSQL did not answer for {self._timeout_s} s ({str(error).strip()});"
                " what was recorded is safe, run the same command again when it is back."
            ) from error
        time.sleep(0.25)


def run_in_foreground(name: str, settings: Settings) -> None:
    """Run relay or projector in this process until SIGTERM or Ctrl-C, against the servers that run."""
    from infra.projector_process import run_projector
    from infra.relay_process import run_relay

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    # Kafka's client logs, with tracebacks, what reaches us as an exception and is said once.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    servers = Servers(settings, logging.info)
    endpoints = servers.status().endpoints or servers.up()  # started by `up`, they run already
    prepare(settings, endpoints)
    {RELAY: run_relay, PROJECTOR: run_projector}[name](settings, endpoints, stop)


def progress_figures(settings: Settings, endpoints: Endpoints) -> dict[str, int | None]:
    """Give how far store, relay and projections are; a ledger that was never used has not even tables: all null."""
    from infra.kafka.ledger_topics import relayed_position

    if not is_prepared(endpoints.read_database_url):
        return dict.fromkeys(("events", "relayed", "projected", "parked", "lag"))
    events = PostgresEventLog(endpoints.read_database_url).last_position()
    standing = PostgresReadModels(endpoints.read_database_url).standing()
    return {
        "events": events,
        "relayed": relayed_position(endpoints.bootstrap_servers, settings.topic_prefix),
        "projected": standing.applied,
        "parked": standing.parked,
        "lag": events - standing.applied - standing.waiting,
    }
