"""Processes that embed blocks of images. Each opens the teacher for itself."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait

from prunnet_export._child import call_in_child
from prunnet_export._errors import InvalidInput, PrunnetError, Unreachable, UsageError, is_out_of_memory
from prunnet_export._interrupts import block_interrupts
from prunnet_export.teachers._block import Task, embed_block
from prunnet_export.teachers._cache import Block
from prunnet_export.teachers._row_file import Rows
from prunnet_export.teachers._teacher import Teacher


@dataclass(frozen=True, eq=False)
class _Job:
    """What a process gets at its start: what is embedded, and the teacher that does it."""

    task: Task
    opener: Callable[[], Teacher]
    identity: str


def embed_blocks(task: Task, teacher: Teacher, blocks: Iterable[Rows], *, workers: int) -> Generator[Block, None, None]:
    """The vectors of blocks of images, in the order in which they are done.

    Close the iterator to end the processes.

    Args:
        task: What is embedded.
        teacher: The teacher.
        blocks: The images of each block; the next one is taken when a process is free.
        workers: Number of processes; with 0 this process embeds.

    Raises:
        InvalidInput: for the reasons of :func:`embed_block`, or the teacher's file has changed.
        Unreachable: a process was killed, or memory ran out.
    """
    if workers == 0:
        yield from (embed_block(task, teacher, block) for block in blocks)
        return
    job = _Job(task, teacher.opener, teacher.identity)
    busy: dict[Connection, _Worker] = {}
    try:
        for block in blocks:
            if len(busy) < workers:
                worker = _Worker(job)
                busy[worker.connection] = worker
                worker.send(block)
            else:
                worker = _first_ready(busy)
                done = worker.receive()
                worker.send(block)
                yield done
        while busy:
            worker = _first_ready(busy)
            done = worker.receive()
            del busy[worker.connection]
            worker.stop()
            yield done
    finally:
        for worker in busy.values():
            worker.stop()


class _Worker:
    """One process, seen from the process that started it."""

    def __init__(self, job: _Job) -> None:
        # A fork can hang while threads of torch or onnxruntime run.
        context = get_context("spawn")
        self.connection, other = context.Pipe()
        # The job comes later, because this module and the teacher's library take seconds to import.
        self._process = context.Process(target=call_in_child, args=(__name__, serve.__name__, other), daemon=True)
        with block_interrupts():
            self._process.start()
        other.close()
        with suppress(OSError):  # it was killed, which the first block shows
            self.connection.send(job)

    def send(self, block: Rows) -> None:
        try:
            self.connection.send(block)
        except OSError:
            raise _killed() from None

    def receive(self) -> Block:
        try:
            reply: Block | Exception = self.connection.recv()
        except (EOFError, OSError):
            raise _killed() from None
        if isinstance(reply, Exception):
            raise reply
        return reply

    def stop(self) -> None:
        """End the process, even in the middle of a block."""
        self._process.kill()
        self._process.join()
        self._process.close()
        self.connection.close()


def _first_ready(busy: dict[Connection, _Worker]) -> _Worker:
    ready = wait(list(busy))
    return next(worker for connection, worker in busy.items() if connection in ready)


def _killed() -> Unreachable:
    return Unreachable(
        "a process that computes the teacher's vectors was killed",
        hint="memory may be short: use fewer workers; the same command continues where it was",
    )


def serve(connection: Connection) -> None:
    """Take a job, and embed the blocks that arrive, until the other process closes the connection or ends."""
    teacher: Teacher | None = None
    try:
        job: _Job = connection.recv()
    except EOFError:
        return
    while True:
        try:
            block = connection.recv()
        except EOFError:
            return
        reply: Block | Exception
        try:
            teacher = teacher or _open(job)
            reply = embed_block(job.task, teacher, block)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  every error is reported, also code that exits
            reply = _portable(error)
        try:
            connection.send(reply)
        except OSError:
            return


def _open(job: _Job) -> Teacher:
    teacher = job.opener()
    if teacher.identity != job.identity:
        raise InvalidInput(f"{teacher.name} has changed since the run began", hint="run the same command again")
    return teacher


def _portable(error: BaseException) -> Exception:
    """An error that can be sent to another process: some have constructors that pickle cannot call."""
    if isinstance(error, PrunnetError):
        kind = InvalidInput if isinstance(error, UsageError) else Unreachable
        return kind(error.message, hint=error.hint)
    if is_out_of_memory(error):
        return Unreachable("memory ran out in a process that computes the teacher's vectors", hint="use fewer workers")
    return RuntimeError(f"{type(error).__name__}: {error}")
