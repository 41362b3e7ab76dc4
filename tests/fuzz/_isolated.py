"""Reading damaged files in processes of their own: ``python -m tests.fuzz._isolated CASE SEED COUNT FOLDER``.

This process imports everything once and forks. A child reads one damaged file after another and reports each. If it
dies, the next child goes on. Memory is limited to 1 GiB more than at the start, and time to 20 seconds a file.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from prunnet_export._errors import PrunnetError
from tests.fuzz._cases import CASES, Case
from tests.fuzz._mutators import write_damaged

_MEMORY = 2**30
_SECONDS = 20
_FAILURES = 5  # after so many, a case ends


@dataclass
class Outcome:
    """What came of the damaged versions of a file.

    Attributes:
        read: How many were read.
        refused: How many were refused with a documented error.
        failures: What else happened, by the number of the version.
    """

    read: int
    refused: int
    failures: dict[int, str]


def outcomes(case: Case, seed: int, count: int, folder: Path) -> Outcome:
    """Read ``count`` damaged versions of a file."""
    file = case.make(folder)
    content, first = file.read_bytes(), 0
    found = Outcome(0, 0, {})
    while first < count and len(found.failures) < _FAILURES:
        first = _run_child(lambda start, out: _read_all(case, file, content, (seed, start, count), out), first, found)
    return found


def damage(case: Case, file: Path, content: bytes, seed: int, number: int) -> None:
    """Put one damaged version at its place; the number and the seed decide it."""
    write_damaged(file, content, np.random.default_rng([seed, number, *case.name.encode()]))


def _read_all(case: Case, file: Path, content: bytes, plan: tuple[int, int, int], out: int) -> None:
    seed, start, count = plan
    for number in range(start, count):
        damage(case, file, content, seed, number)
        signal.alarm(_SECONDS)
        word = _word(case.read, file)
        signal.alarm(0)
        os.write(out, f"{word}\n".encode())


def _word(read: Callable[[Path], object], file: Path) -> str:
    try:
        read(file)
    except PrunnetError as error:
        if error.exit_code in {2, 3} and "\n" not in error.message:
            return "refused"
        return f"exit code {error.exit_code}: {error.message!r}"
    except BaseException as error:  # noqa: BLE001  # this is what is looked for
        last = traceback.extract_tb(error.__traceback__)[-1]
        places = [one for one in traceback.extract_tb(error.__traceback__) if "prunnet_export" in one.filename]
        place = places[-1] if places else last
        return f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}: {str(error)[:200]!r}"
    return "read"


def _run_child(read_all: Callable[[int, int], None], first: int, found: Outcome) -> int:
    """Read on from a number in a new process; returns the number from which the next one has to go on."""
    source, out = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(source)
        _limit_memory()
        try:
            read_all(first, out)
        finally:
            os._exit(0)
    os.close(out)
    with os.fdopen(source, encoding="utf-8", errors="replace") as reports:
        for line in reports:
            word = line.rstrip("\n")
            found.read += word == "read"
            found.refused += word == "refused"
            if word not in {"read", "refused"}:
                found.failures[first] = word
            first += 1
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        found.failures[first] = "it hangs" if number == signal.SIGALRM else f"killed by {signal.Signals(number).name}"
        first += 1
    return first


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    most = pages * os.sysconf("SC_PAGE_SIZE") + _MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def main() -> None:
    """Print the outcome of a case as JSON."""
    name, seed, count, folder = sys.argv[1:]
    sys.stdout.write(json.dumps(asdict(outcomes(CASES[name], int(seed), int(count), Path(folder)))))


if __name__ == "__main__":
    main()
