"""One process for each machine of a matrix. It exports and measures the machine's cells, one after the other.

An export changes the state of torch for the whole process, and an engine may end its process. So cells of several
machines do not share one.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait

from prunnet_export._child import call_in_child
from prunnet_export._errors import Unreachable
from prunnet_export._interrupts import block_interrupts, raise_interrupts
from prunnet_export.benchmarks._results import Result
from prunnet_export.benchmarks.matrix._cells import Cell

_LOG = logging.getLogger(__name__)
_STOP_S = 10.0  # seconds for a process to remove its temporary files


@dataclass(frozen=True)
class _Line:
    """A line that a process logs, with its level."""

    level: int
    text: str


def run_cells(queues: Sequence[Sequence[Cell]], *, at_once: int) -> Generator[Result, None, None]:
    """The results of cells, in the order in which they are done. Close the iterator to end the processes.

    Args:
        queues: The cells of each machine.
        at_once: How many machines work at the same time.
    """
    waiting = deque(queue for queue in queues if queue)
    busy: dict[Connection, _Machine] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < at_once:
                machine = _Machine(waiting.popleft())
                busy[machine.connection] = machine
            for connection in wait(list(busy)):
                machine = busy[connection]  # type: ignore[index]  # wait() returns what it was given
                if (result := machine.receive()) is None:
                    continue
                yield result
                del busy[connection]  # type: ignore[arg-type]
                if machine.go_on():
                    busy[machine.connection] = machine
    finally:
        for machine in busy.values():  # all at once, because each may take seconds
            machine.interrupt()
        for machine in busy.values():
            machine.stop()


class _Machine:
    """The process of one machine, and the cells that it has to do."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._cells = deque(cells)
        self._start()

    def receive(self) -> Result | None:
        """The result of the current cell; None after a line that the process logs, which is logged here too."""
        cell = self._cells[0]
        try:
            reply: Result | _Line = self.connection.recv()
        except (EOFError, OSError):
            return self._ended(cell)
        if isinstance(reply, _Line):
            _LOG.log(reply.level, "%s: %s", cell.name, reply.text)
            return None
        return reply

    def go_on(self) -> bool:
        """Begin with the next cell, in a new process if this one has ended; returns whether there is one."""
        self._cells.popleft()
        if not self._cells:
            self.stop()
            return False
        if self._process.is_alive():
            self._send()
        else:
            self.stop()
            self._start()
        return True

    def interrupt(self) -> None:
        """Ask the process to end. It removes its temporary files first."""
        self._process.terminate()

    def stop(self) -> None:
        """End the process, after some seconds in any case."""
        self.interrupt()
        self._process.join(_STOP_S)
        self._process.kill()
        self._process.join()
        self._process.close()
        self.connection.close()

    def _start(self) -> None:
        # A fork can hang while threads of torch or an engine run.
        context = get_context("spawn")
        self.connection, other = context.Pipe()
        self._process = context.Process(target=call_in_child, args=(__name__, serve.__name__, other))
        with block_interrupts():
            self._process.start()
        other.close()
        self._send()

    def _send(self) -> None:
        _LOG.info("%s", self._cells[0].name)
        with suppress(OSError):  # the process has ended, which receive() sees
            self.connection.send(self._cells[0])

    def _ended(self, cell: Cell) -> Result:
        """The result of a cell whose process has ended without one."""
        self._process.join(_STOP_S)
        code = self._process.exitcode
        how = signal.Signals(-code).name if code is not None and code < 0 else f"the code {code}"
        return Result(
            name=cell.name,
            status="error",
            exit_code=Unreachable.exit_code,
            message=f"its process on this machine ended with {how}",
            hint="the system may have run out of memory, or an engine crashed",
            target=cell.target,
            network=cell.network,
            device=cell.device,
            budget=cell.budget,
        )


class _Sender(logging.Handler):
    """Sends log records to the process that shows them."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record."""
        with suppress(OSError):
            self._connection.send(_Line(record.levelno, record.getMessage()))


def serve(connection: Connection) -> None:
    """Run the cells that arrive, until the other process closes the connection or ends."""
    with suppress(KeyboardInterrupt):
        raise_interrupts()
        os.dup2(2, 1)  # an engine that prints must not change the report on stdout
        logger = logging.getLogger("prunnet_export")
        logger.addHandler(_Sender(connection))
        logger.setLevel(logging.INFO)
        logger.propagate = False
        from prunnet_export.benchmarks.matrix._bench import Bench

        bench = Bench()
        with suppress(EOFError, OSError):
            while True:
                connection.send(bench.run(connection.recv()))
    sys.stderr.flush()
