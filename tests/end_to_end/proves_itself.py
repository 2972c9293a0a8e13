"""A ledger that proves itself: all that can be verified is, and every decision made again is the recorded one."""

from tests.end_to_end.command_line import CommandLine


def check_proves_itself(ledger: CommandLine) -> None:
    """Run `audit verify` and `replay verify`; both must have looked at every event, and found nothing."""
    position = ledger.done("status")["events"]
    audited = ledger.done("audit", "verify")
    assert (audited["ok"], audited["events"], audited["findings"]) == (True, position, [])
    replayed = ledger.done("replay", "verify")
    assert (replayed["ok"], replayed["position"], replayed["differences"]) == (True, position, [])
    assert replayed["events"] == position == sum(replayed["rows"].values())
    assert replayed["facts"] > 0
    assert replayed["totals"]["sales"] == audited["totals"]["sales"], "added up from Kafka and by deciding again"
