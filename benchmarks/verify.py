"""`audit verify`: events a second, all of it verified by two processes, and the most memory that each of them takes.

The time begins with the two processes: starting them is in it, the command's own start is not.
"""

from benchmarks.filled import endpoints_of, last_position, relayed
from benchmarks.measuring import Bench, Spent
from benchmarks.projector import project
from infra.audit.verifying import Verified, verify
from infra.bootstrap import audit_task
from tests.servers import execute


def measure(bench: Bench) -> None:
    """Verify a filled ledger a few times; it is clean."""
    settings = relayed(bench.events)
    endpoints = endpoints_of(settings)
    project(settings, last_position(settings))
    execute(
        endpoints.admin_database_url, "VACUUM ANALYZE ledger.event, ledger.identity"
    )  # as autovacuum has, by and by
    came_to: list[Verified] = []

    def run() -> Spent:
        verified = verify(audit_task(settings, endpoints), lambda _name, _done: None)
        assert verified.ok, verified.findings[:3]
        came_to.append(verified)
        return Spent(verified.events, verified.seconds)

    bench.rate("the whole ledger, by two processes", "events/s", run)
    for name in ("store", "kafka"):
        bench.values(f"resident memory, {name}, at most", "MB", [verified.peak_mb[name] for verified in came_to])
