"""The how-to for servers of one's own: its logins suffice, and relay and projector run with them."""

import os
import re
import signal
import subprocess
import sys
import time

from psycopg2.errors import DuplicateObject

from infra.bootstrap import environment_of
from infra.settings import Settings
from tests.docs.pages import DOCS, marked, write_tutorial_feed
from tests.end_to_end.command_line import CommandLine
from tests.servers import execute, fresh_ledger, superuser_url

SETUP = marked(DOCS / "how-to" / "own-servers.md", "run by tests/docs/test_own_servers.py")
PATIENCE_S = 60.0


def set_up(own: str) -> Settings:
    """Run the page's SQL as an administrator, with names of this test's own; give settings that name the logins."""
    sql = re.sub(r"\bledger(_owner|_app|_reader|_projector)?\b", lambda found: f"{own}{found[1] or ''}", SETUP.text)
    for statement in filter(str.strip, sql.split(";")):
        try:
            execute(superuser_url(), statement)
        except DuplicateObject:
            assert "ROLE partner_ledger_" in statement, "only the groups may be there: they are the server's"
    settings = fresh_ledger()

    def url(login: str) -> str:
        return re.sub(r"//[^@]*@/[^?]*", f"//{own}_{login}@/{own}", str(settings.database_url))

    return settings.model_copy(
        update={
            "admin_database_url": url("owner"),
            "database_url": url("app"),
            "read_database_url": url("reader"),
            "projector_database_url": url("projector"),
        }
    )


class Service:
    """`run relay` or `run projector` under a supervisor."""

    def __init__(self, settings: Settings, name: str) -> None:
        self._log = settings.home / f"{name}-service-{time.monotonic_ns()}.log"
        with self._log.open("w") as log:
            argv = [sys.executable, "-m", "infra.cli.app", "run", name]
            self._process = subprocess.Popen(
                argv, env=environment_of(settings), stdout=log, stderr=log, cwd=settings.home
            )

    def has_said(self, words: str) -> None:
        """Wait until its log has these words."""
        deadline = time.monotonic() + PATIENCE_S
        while words not in (said := self._log.read_text()):
            assert self._process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.05)

    def stop(self) -> int:
        """End it as a supervisor does; give its exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(PATIENCE_S)


def test_the_least_rights_suffice() -> None:
    """Four logins as the page makes them: services and commands run; once the schema is there, without the owner's login."""
    settings = set_up(f"own_{os.getpid()}")
    services = [Service(settings, "relay"), Service(settings, "projector")]
    line = CommandLine(settings)
    try:
        services[0].has_said("Relaying from position 1 on.")
        services[1].has_said("Projector started")
        assert line.done("import", write_tutorial_feed(settings.home / "feed"))["recorded"] == 9
        assert line.done("tiers")["tiers"] == {"bronze": 2, "silver": 1}
        line.down()
        assert [service.stop() for service in services] == [0, 0]

        without_owner = settings.model_copy(update={"admin_database_url": None})
        services = [Service(without_owner, "relay"), Service(without_owner, "projector")]
        services[0].has_said("Relaying from position 16 on.")
        services[1].has_said("Projector started")
    finally:
        line.down()
        assert [service.stop() for service in services] == [0, 0]
