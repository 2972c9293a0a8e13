"""A what-if's facts folded by as many processes as wanted; none is left when it ends, whatever ends it.

Each process reads the recorded facts by itself and is given one piece after the other, so that all have work to the end. A
process ends with whoever started it: its pipe is closed then.
"""

import gc
import os
import pickle
import signal
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.resource_tracker import ensure_running
from threading import current_thread, main_thread
from typing import Any, NamedTuple

import msgspec

from domain.errors import IntegrityFault, LedgerError
from projections.facts_by_stream import RecordedFacts
from projections.what_if import Folded, FoldedPiece, Linked, fold_linked, fold_piece
from projections.what_if_result import Gathering, countries_seated_by_time
from projections.what_if_rules import Rules

OnFolded = Callable[[int], None]
"""Called with the number of facts folded so far."""

END_S = 5.0
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that end a command in order, where it has a handler for them."""


class Job(msgspec.Struct, frozen=True, array_like=True):
    """What a process is to fold: a piece, or linked partners."""

    piece: str | None
    linked: list[Linked]


class Done(msgspec.Struct, frozen=True, array_like=True, tag="done"):
    """What a job came to: of a piece, or of linked partners."""

    piece: FoldedPiece | None
    linked: list[Folded]


class Failed(msgspec.Struct, frozen=True, array_like=True, tag="failed"):
    """Why a job could not be done: one sentence."""

    sentence: str


_encode = msgspec.msgpack.Encoder().encode
_JOBS = msgspec.msgpack.Decoder(Job)
_ANSWERS: msgspec.msgpack.Decoder[Done | Failed] = msgspec.msgpack.Decoder(Done | Failed)


Keep = Callable[[Folded], Folded]
"""What of a piece's result is kept: applied where it was folded, so that the rest is never sent. A function of a module."""


def all_of(folded: Folded) -> Folded:
    """Keep everything."""
    return folded


def fold_all(
    recorded: RecordedFacts, sets: Sequence[Rules], workers: int, on_folded: OnFolded, keep: Keep = all_of
) -> Gathering:
    """Fold all recorded facts, which can be sent to other processes, under each set of rules.

    Raises:
        LedgerError: the facts cannot be read, or a process was ended by somebody.

    """
    gathering = Gathering(sets)
    whole = countries_seated_by_time(recorded, sets)
    pieces = recorded.pieces()
    with _Workers((recorded, sets, frozenset(whole), keep), min(workers, max(1, len(pieces)))) as processes:
        for job, done in processes.do([Job(piece, []) for piece in pieces]):
            assert job.piece is not None
            assert done.piece is not None
            gathering.take_piece(job.piece, done.piece)
            on_folded(gathering.facts)
        for _, done in processes.do([Job(None, list(linked)) for linked in gathering.linked.values()]):
            gathering.take_linked(done.linked)
    return gathering


_Given = tuple[RecordedFacts, Sequence[Rules], Collection[str], Keep]
"""What every process is given as it starts."""


class _Worker(NamedTuple):
    process: Any
    pipe: Connection


class _Workers:
    """Processes at work, seen from the one that started them."""

    def __init__(self, given: "_Given", count: int) -> None:
        self._given = given
        self._count = count
        self._workers: list[_Worker] = []

    def __enter__(self) -> "_Workers":
        context = get_context("spawn")
        try:
            for _ in range(self._count):
                here, there = context.Pipe()
                process = context.Process(target=work, args=(there,), daemon=True)
                with _no_interrupt():
                    process.start()
                    self._workers.append(_Worker(process, here))
                there.close()
            for worker in self._workers:
                _send(worker, pickle.dumps(self._given))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End them at once, whatever they do: they hold nothing that would have to be put in order."""
        for worker in self._workers:
            worker.process.kill()
            worker.pipe.close()
        for worker in self._workers:
            worker.process.join(END_S)

    def do(self, jobs: Sequence[Job]) -> Iterator[tuple[Job, Done]]:
        """Have jobs done, the first ones first; give what each came to, as it comes.

        Raises:
            LedgerError: a process has failed, or was ended by somebody.

        """
        waiting = deque(jobs)
        busy: dict[Any, tuple[_Worker, Job]] = {}
        for worker in self._workers:
            if waiting:
                busy[worker.pipe] = (worker, _give(worker, waiting.popleft()))
        while busy:
            for pipe in wait(list(busy)):
                worker, job = busy.pop(pipe)
                answer = _answer(worker)
                if waiting:
                    busy[pipe] = (worker, _give(worker, waiting.popleft()))
                yield job, answer


@contextmanager
def _no_interrupt() -> Iterator[None]:
    """Let Ctrl-C, and being told to end, wait: a process that is interrupted half started ends with a traceback of its own.

    The mask is for the new process, which has it until it ignores the signal. Here another thread may take the signal, and
    this one would be interrupted all the same: so it is noted, and raised when the process has started.
    """
    if current_thread() is not main_thread():
        yield
        return
    ensure_running()  # otherwise it starts with the first process, and lets the signal through
    came: list[int] = []
    handlers = {number: handler for number in ENDING if callable(handler := signal.getsignal(number))}
    for number in handlers:
        signal.signal(number, lambda number, _frame: came.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])


def _give(worker: _Worker, job: Job) -> Job:
    _send(worker, _encode(job))
    return job


def _send(worker: _Worker, message: bytes) -> None:
    try:
        worker.pipe.send_bytes(message)
    except OSError:
        raise _ended(worker) from None


def _answer(worker: _Worker) -> Done:
    try:
        answer = _ANSWERS.decode(worker.pipe.recv_bytes())
    except (EOFError, OSError):
        raise _ended(worker) from None
    if isinstance(answer, Failed):
        raise IntegrityFault(answer.sentence)
    return answer


def _ended(worker: _Worker) -> LedgerError:
    worker.process.join(END_S)
    code = worker.process.exitcode
    how = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
    return LedgerError(f"A process of the what-if has ended ({how}); nothing was changed, run it once more.")


def work(pipe: Connection) -> None:
    """Do jobs until the pipe is closed; Ctrl-C is for the process that started this one, which ends it.

    What all jobs need comes through the pipe as well: what a process is started with, whoever starts it has to get rid of, even
    where the process has ended before it read it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.disable()  # facts, events and standings form no cycles, and are freed as they go
    try:
        given: _Given = pickle.loads(pipe.recv_bytes())
        recorded, sets, whole, keep = given
        while True:
            job = _JOBS.decode(pipe.recv_bytes())
            if job.piece is not None:
                piece = fold_piece(recorded.facts(job.piece), sets, whole)
                done = Done(FoldedPiece(piece.facts, [keep(each) for each in piece.folded], piece.linked), [])
            else:
                done = Done(None, [keep(each) for each in fold_linked(job.linked, sets)])
            pipe.send_bytes(_encode(done))
    except LedgerError as error:
        with suppress(OSError):
            pipe.send_bytes(_encode(Failed(str(error))))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(0)  # whoever started this process has ended
