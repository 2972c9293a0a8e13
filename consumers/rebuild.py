"""A rebuild: all projections, or one, made anew from Kafka beside the live build, compared with it, and then live instead.

The new build is filled by projectors like any other, on partitions that are given to them and with an end: what is a repeat,
what parks and what the ledger has dropped is decided in one place for both. Nothing is published. Until the switch nobody
sees anything of it; whatever stops a rebuild leaves the live build as it was.

    fill, by several processes        no indexes yet
    make the indexes
    catch up                          to where Kafka, or the live build, is now
    compare                           all that both builds have, page by page; and once more, if much came meanwhile
    hold the projectors               no batch is under way
        catch up the rest, compare the rest
        switch
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from decimal import Decimal
from typing import NamedTuple, Protocol

from consumers.projector import TopicIdentity
from domain.errors import IntegrityFault, Refused

BEHIND_WHEN_HELD = 5_000
"""Records that may be left for the time when projectors are held: a second's work at most."""
ROUNDS = 5
"""After so many rounds of catching up the rest is left for that time all the same."""


class Plan(NamedTuple):
    """What is to be rebuilt: these projections, by so many processes, up to a position (None: all there is)."""

    projections: Sequence[str]
    workers: int
    whole: bool
    """All projections, not only some of them."""
    until: int | None = None


class LiveBuild(NamedTuple):
    """The build that answers now."""

    number: int
    tables_version: int
    topic: TopicIdentity | None
    next_offsets: Mapping[int, int]


class Difference(NamedTuple):
    """A row that one build has and the other has not, or has otherwise; `position` is None where a row has none."""

    projection: str
    table: str
    position: int | None
    new: str | None
    live: str | None


class Totals(NamedTuple):
    """Control totals of one build: rows by table; number and sum of sales and of bonus lines by currency."""

    rows: Mapping[str, int]
    sales: Mapping[str, tuple[int, Decimal]]
    bonus_lines: Mapping[str, tuple[int, Decimal]]


class Comparison(NamedTuple):
    """How the new build compares with the live one, up to the position that both have."""

    up_to: int
    differing: Mapping[str, int]
    """The number of rows that differ, by table; a row that is otherwise counts on both sides."""
    differences: Sequence[Difference]
    """The first few of each table."""
    applied_anew: int
    """Events that are parked in the live build and applied in the new one."""
    live: Totals
    new: Totals

    @property
    def equal(self) -> bool:
        """Tell whether nothing differs."""
        return not self.differing


class Rebuilt(NamedTuple):
    """What a rebuild came to."""

    name: str
    """The schema of the new build."""
    replaced: int | None
    evidence: str | None
    """The schema that the live build was kept in, as it differs."""
    position: int
    events: int
    parked: int
    tables_version: int
    topic: TopicIdentity
    compared: Comparison | None
    not_compared: str | None
    totals: Totals


class Switching(Protocol):
    """The time when no projector writes, which ends with the switch, or without it if something is raised."""

    def live(self) -> LiveBuild | None:
        """Give the live build as it is now."""
        ...

    def compare_rest(self, name: str, live: LiveBuild, plan: Plan, before: Comparison) -> Comparison:
        """Compare what came since, and what has no position; gives both together."""
        ...

    def bookkeeping_differs(self, name: str, live: LiveBuild) -> bool:
        """Tell whether the builds have read, applied or parked otherwise."""
        ...

    def switch(self, name: str, live: LiveBuild | None, plan: Plan, *, keep: bool) -> str | None:
        """Make the new build live; the other one is dropped, or kept under the name that is given."""
        ...


class Builds(Protocol):
    """The builds in the database. Adapter: `infra.postgres.projections.rebuilds.PostgresBuilds`."""

    tables_version: int

    def begin(self) -> None:
        """Be the one rebuild, and clear away what one that ended before its end has left."""
        ...

    def live(self) -> LiveBuild | None:
        """Give the live build; None where there is none."""
        ...

    def create(self, *, indexed: bool) -> str:
        """Create a build; gives its schema."""
        ...

    def index(self, name: str, say: Callable[[str], None]) -> None:
        """Make the indexes.

        Raises:
            CannotIndex: some rows do not fit them.

        """
        ...

    def compare(
        self, name: str, live: LiveBuild, plan: Plan, before: Comparison | None, note: Callable[[int, int], None]
    ) -> Comparison:
        """Compare what both builds have by position, as far as it was not compared before.

        `note` is called with the position reached and the last one.
        """
        ...

    def switching(self) -> AbstractContextManager[Switching]:
        """Hold the projectors, and let them go on at the end."""
        ...

    def standing(self, name: str) -> tuple[int, int, int]:
        """Give a build's last position, the events applied and the records parked."""
        ...

    def next_offsets(self, name: str) -> Mapping[int, int]:
        """Give how far a build has read."""
        ...

    def totals(self, name: str, plan: Plan) -> Totals:
        """Give a build's control totals."""
        ...

    def keep_as(self, name: str, past: str, plan: Plan) -> None:
        """Give a build of a past state the name it is asked for by."""
        ...

    def clear(self, name: str) -> None:
        """Drop a build, unless it is live."""
        ...


class Filling(Protocol):
    """Fills builds from the topic. Adapter: `infra.rebuild_process.RebuildProcesses`."""

    def identity(self) -> TopicIdentity:
        """Ask Kafka which topic this is now."""
        ...

    def ends(self) -> Mapping[int, int]:
        """Ask Kafka where the partitions end now."""
        ...

    def by_processes(self, name: str, plan: Plan, ends: Mapping[int, int]) -> None:
        """Fill a build by several processes."""
        ...

    def here(self, name: str, plan: Plan, ends: Mapping[int, int]) -> None:
        """Fill the rest of a build."""
        ...


class Telling(Protocol):
    """Who is told how it goes on."""

    def stage(self, doing: str, total: int | None = None) -> None:
        """Begin something, of so many steps if that is known."""
        ...

    def note(self, done: int, total: int) -> None:
        """Tell of so many steps done."""
        ...


class CannotIndex(Exception):
    """Some rows do not fit the indexes: one event of them cannot be applied, and which one only an index can tell."""


class Rebuild:
    """One rebuild, from its plan to what came of it."""

    def __init__(self, plan: Plan, builds: Builds, filling: Filling, telling: Telling) -> None:
        self._plan = plan
        self._builds = builds
        self._filling = filling
        self._telling = telling

    def run(self) -> Rebuilt:
        """Make the projections anew; gives what came of it.

        Raises:
            Refused: another rebuild is at work, or one projection alone cannot be rebuilt on this live build.
            ServiceUnreachable: Kafka or PostgreSQL does not answer; the live build is as it was.
            OSError: PostgreSQL has no space left on its disk; the live build is as it was.

        """
        self._telling.stage("Looking at Kafka and the live build")
        self._builds.begin()
        topic = self._filling.identity()
        self._check_alone(topic)
        name = self._filled()
        try:
            return self._switched(topic, name) if self._plan.until is None else self._past(topic, name)
        except BaseException:
            self._builds.clear(name)
            raise

    def _check_alone(self, topic: TopicIdentity) -> None:
        """One projection moves into a build with the others as they are: all have to be of one topic and version."""
        live, version = self._builds.live(), self._builds.tables_version
        if self._plan.whole or self._plan.until is not None:
            return
        if live is None or live.topic is None:
            why = "there is no live build yet"
        elif live.tables_version != version:
            why = f"the live build has tables of version {live.tables_version}, not {version}"
        elif live.topic != topic:
            why = "the live build was filled from another topic"
        else:
            return
        raise self._not_alone(why)

    def _not_alone(self, why: str) -> Refused:
        return Refused(f"{self._plan.projections[0]} cannot be rebuilt alone: {why}. Rebuild all: `replay rebuild`.")

    def _filled(self) -> str:
        """Fill a new build without indexes and make them; where that cannot be, once more with the indexes there."""
        builds, telling = self._builds, self._telling
        for indexed in (False, True):
            ends = self._ends()
            name = builds.create(indexed=indexed)
            try:
                telling.stage("Reading the events", sum(ends.values()))
                self._filling.by_processes(name, self._plan, ends)
                telling.stage("Making the indexes")
                builds.index(name, telling.stage)
                return name
            except CannotIndex as error:
                builds.clear(name)
                telling.stage(f"Beginning again with indexes, as a row does not fit ({error})")
            except BaseException:
                builds.clear(name)
                raise
        raise AssertionError("with the indexes there no row is written that does not fit them")

    def _ends(self) -> Mapping[int, int]:
        """Give where to read to: one projection alone stands where the others do, in the live build."""
        if self._plan.whole or self._plan.until is not None:
            return self._filling.ends()
        live = self._builds.live()
        return {} if live is None else live.next_offsets

    def _past(self, topic: TopicIdentity, name: str) -> Rebuilt:
        builds, plan = self._builds, self._plan
        totals = builds.totals(name, plan)
        position, events, parked = builds.standing(name)
        past = f"past_{plan.until}"
        builds.keep_as(name, past, plan)
        why_not = "a past state is not compared"
        return Rebuilt(past, None, None, position, events, parked, builds.tables_version, topic, None, why_not, totals)

    def _switched(self, topic: TopicIdentity, name: str) -> Rebuilt:
        builds, plan = self._builds, self._plan
        compared: Comparison | None = None
        for _ in range(ROUNDS):
            self._catch_up(name)
            live = builds.live()
            why_not = self._not_comparable(live)
            if live is not None and why_not is None:
                self._telling.stage("Comparing with the live build")
                compared = builds.compare(name, live, plan, compared, self._telling.note)
            if self._left(name) <= BEHIND_WHEN_HELD:  # comparing takes its time, too
                break
        self._telling.stage("Switching")
        with builds.switching() as switching:
            now = switching.live()
            if (now and now.number) != (live and live.number):
                raise Refused("Another build was made live meanwhile; rebuild once more.")
            self._read_the_rest(name, now, topic)
            if now is not None and compared is not None:
                compared = switching.compare_rest(name, now, plan, compared)
            if not plan.whole and now is not None and switching.bookkeeping_differs(name, now):
                raise self._not_alone("other events are parked in the live build than from the topic anew")
            position, events, parked = builds.standing(name)
            evidence = switching.switch(name, now, plan, keep=compared is not None and not compared.equal)
        replaced = None if now is None else now.number
        totals = compared.new if compared is not None else builds.totals(name, plan)
        version = builds.tables_version
        return Rebuilt(name, replaced, evidence, position, events, parked, version, topic, compared, why_not, totals)

    def _not_comparable(self, live: LiveBuild | None) -> str | None:
        version = self._builds.tables_version
        if live is None or live.topic is None:
            return "there was no live build, or nothing in it"
        if live.tables_version != version:
            return f"the live build had tables of version {live.tables_version}, the new one has {version}"
        return None

    def _catch_up(self, name: str) -> None:
        """Read what came meanwhile, if it is much."""
        left = self._left(name)
        if left > BEHIND_WHEN_HELD:
            self._telling.stage("Catching up", left)
            self._filling.here(name, self._plan, self._ends())

    def _left(self, name: str) -> int:
        """Count what is to be read yet: offsets, of which some are no records."""
        here = self._builds.next_offsets(name)
        return sum(max(0, end - here.get(partition, 0)) for partition, end in self._ends().items())

    def _read_the_rest(self, name: str, live: LiveBuild | None, topic: TopicIdentity) -> None:
        """Read on to where the live build is, which stands still now. One projection alone may not be ahead of the others."""
        if live is None or live.topic != topic:
            return
        here, there = self._builds.next_offsets(name), live.next_offsets
        if not self._plan.whole and any(offset > there.get(partition, 0) for partition, offset in here.items()):
            raise IntegrityFault("The new build has read further than the live one; rebuild once more.")
        behind = {partition: end for partition, end in there.items() if end > here.get(partition, 0)}
        if behind:
            self._filling.here(name, self._plan, behind)
