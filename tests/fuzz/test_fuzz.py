"""Every file that is read, damaged in thousands of ways: it is read or refused with a documented error.

``PRUNNET_FUZZ_SEED`` repeats a run, whose seed is in the message of a failure.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.fuzz._cases import CASES
from tests.fuzz._isolated import damage
from tests.fuzz._mutators import MUTATORS

_FIXED = 20_26
_COUNT = 107  # of each seed; with all cases and both seeds they are 10,000
_ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", sorted(CASES))
def test_an_undamaged_file_is_read(name: str, tmp_path: Path) -> None:
    CASES[name].read(CASES[name].make(tmp_path))


@pytest.mark.parametrize("mutator", MUTATORS)
def test_each_kind_of_damage_changes_the_file(mutator: object) -> None:
    assert callable(mutator)
    before = bytes(range(256)) * 4 + b" 123"
    after = [bytearray(before) for _ in range(20)]
    for seed, content in enumerate(after):
        mutator(content, np.random.default_rng(seed))
    assert sum(content != before for content in after) > 10


def test_the_seed_decides_the_damage(tmp_path: Path) -> None:
    case = CASES["npy"]
    file = case.make(tmp_path)
    content, found = file.read_bytes(), []
    for seed, number in ((1, 1), (1, 1), (1, 2), (2, 1)):
        damage(case, file, content, seed, number)
        found.append(file.read_bytes())
    assert found[0] == found[1]
    assert len(set(found)) == 3


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is limited by Linux's means")
@pytest.mark.parametrize("chosen", ["fixed", "free"])
@pytest.mark.parametrize("name", sorted(CASES))
def test_damaged_files_are_read_or_refused(name: str, chosen: str, tmp_path: Path) -> None:
    seed = _FIXED if chosen == "fixed" else int(os.environ.get("PRUNNET_FUZZ_SEED") or secrets.randbelow(2**31))
    ran = subprocess.run(
        [sys.executable, "-m", "tests.fuzz._isolated", name, str(seed), str(_COUNT), str(tmp_path)],
        cwd=_ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(_ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    outcome = json.loads(ran.stdout)
    assert not outcome["failures"], f"{name}, seed {seed}: {outcome['failures']}"
    assert outcome["refused"] > _COUNT // 20 or name == "metrics"  # a line that is damaged ends the metrics
    assert outcome["read"] + outcome["refused"] == _COUNT
