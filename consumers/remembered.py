"""What one projector remembers of its streams from batch to batch, so that the database is asked for each of them once."""

from collections.abc import Callable, Collection, Mapping

from consumers.sequencing import Applied, ParkedStream, Sequenced, StreamState

MOST_STREAMS = 200_000
"""So many states take about 60 MB."""


class Remembered:
    """What is known of the streams of this process's partitions: asked for once, then kept up from batch to batch.

    A retry by somebody else changes it behind our back; the partition's row tells, and all of it is forgotten.
    """

    def __init__(self, committed: Applied, settle: Callable[[], None]) -> None:
        self._committed = committed
        self._settle = settle
        self._states: dict[str, StreamState | None] = {}
        self._parked: dict[int, set[ParkedStream]] = {}

    def stream_states(self, streams: Collection[str]) -> Mapping[str, StreamState]:
        """Give the last applied version of those streams that have one."""
        states = self._states
        unknown = [stream for stream in streams if stream not in states]
        if unknown:
            if len(states) > MOST_STREAMS:
                self._settle()  # what the batch under way changes is known here alone
                states.clear()
                unknown = list(streams)
            states.update(dict.fromkeys(unknown))
            states.update(self._committed.stream_states(unknown))
        return {stream: state for stream in streams if (state := states[stream]) is not None}

    def parked_streams(self, partitions: Collection[int]) -> Collection[ParkedStream]:
        """Give the streams that are parked in these partitions."""
        unknown = [partition for partition in partitions if partition not in self._parked]
        if unknown:
            self._parked.update({partition: set() for partition in unknown})
            for parked in self._committed.parked_streams(unknown):
                self._parked[parked[0]].add(parked)
        return set().union(*(self._parked[partition] for partition in partitions))

    def applied_hashes(self, positions: Collection[int]) -> Mapping[int, bytes]:
        """Give the leaf hashes of the events applied at these positions, those of the batch under way included."""
        self._settle()
        return self._committed.applied_hashes(positions)

    def note(self, sequenced: Sequenced) -> None:
        """Remember what a batch changes."""
        self._states.update(sequenced.streams)
        for record, _ in sequenced.park:
            self._parked[record.partition].add((record.partition, record.stream))
