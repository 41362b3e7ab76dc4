"""The cores of the affinity and of CPU quotas, with fake roots and with a real control group."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from prunnet_export import _cores
from prunnet_export._cores import affinity_cores, quota_cores, threads_under_quota, usable_cores
from prunnet_export._files import PACKAGE_HOME

V2 = "30 23 0:26 {root} /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "32 31 0:29 {root} /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
    "33 31 0:30 {root} /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n"
)
OTHER = "22 27 0:21 / /proc rw - proc proc rw\n\nnot a mount\n"


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_cores, "affinity_cores", lambda: 8)


def fake_root(root: Path, *, groups: str, mounts: str, files: dict[str, str]) -> Path:
    files = {"proc/self/cgroup": groups, "proc/self/mountinfo": OTHER + mounts, **files}
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def v2(root: Path, path: str, *, top: str = "/", **quotas: str) -> Path:
    files = {f"sys/fs/cgroup/{folder.replace('__', '/')}/cpu.max": text for folder, text in quotas.items()}
    return fake_root(root, groups=f"0::{path}\n", mounts=V2.format(root=top), files=files)


def v1(root: Path, path: str, *, top: str = "/", **quotas: tuple[int, int]) -> Path:
    files: dict[str, str] = {}
    for folder, (quota, period) in quotas.items():
        place = f"sys/fs/cgroup/cpu,cpuacct/{folder.replace('__', '/')}"
        files |= {f"{place}/cpu.cfs_quota_us": f"{quota}\n", f"{place}/cpu.cfs_period_us": f"{period}\n"}
    groups = f"9:cpuset:/elsewhere\n4:cpu,cpuacct:{path}\n0::/\n"
    return fake_root(root, groups=groups, mounts=V1.format(root=top), files=files)


@pytest.mark.parametrize(
    ("text", "quota", "cores"),
    [
        ("50000 100000\n", 0.5, 1),
        ("250000 100000\n", 2.5, 2),
        ("1600000 100000\n", 16, 8),
        ("max 100000\n", None, 8),
        ("", None, 8),
        ("100000 0\n", None, 8),
    ],
)
def test_version_2(tmp_path: Path, text: str, quota: float | None, cores: int) -> None:
    root = v2(tmp_path, "/app", app=text)
    assert (quota_cores(root), usable_cores(root)) == (quota, cores)
    assert threads_under_quota(root) == (cores if cores < 8 else None)


@pytest.mark.parametrize(
    ("quota_us", "quota", "cores"), [(50_000, 0.5, 1), (300_000, 3, 3), (-1, None, 8), (0, None, 8)]
)
def test_version_1(tmp_path: Path, quota_us: int, quota: float | None, cores: int) -> None:
    root = v1(tmp_path, "/app", app=(quota_us, 100_000))
    assert (quota_cores(root), usable_cores(root)) == (quota, cores)


def test_the_smallest_quota_on_the_way_up_counts(tmp_path: Path) -> None:
    above = v2(tmp_path / "2", "/pod/app", pod="200000 100000", pod__app="max 100000", other="1000 100000")
    assert quota_cores(above) == 2
    below = v1(tmp_path / "1", "/pod/app", pod=(400_000, 100_000), pod__app=(150_000, 50_000))
    assert quota_cores(below) == 3


@pytest.mark.parametrize("path", ["/", "/docker/abc", "/docker/abc/worker", "/../other"])
@pytest.mark.parametrize("version", [1, 2])
def test_a_container_that_sees_its_own_group_as_the_top(tmp_path: Path, version: int, path: str) -> None:
    # The field "root" of the mount is the container's group. The path is that of the host, or of a namespace.
    text = {"sys/fs/cgroup/cpu.max": "150000 100000"}
    if version == 1:
        place = "sys/fs/cgroup/cpu,cpuacct"
        text = {f"{place}/cpu.cfs_quota_us": "150000", f"{place}/cpu.cfs_period_us": "100000"}
    groups = f"4:cpu,cpuacct:{path}\n0::{path}\n"
    mounts = (V1 if version == 1 else V2).format(root="/docker/abc")
    assert quota_cores(fake_root(tmp_path, groups=groups, mounts=mounts, files=text)) == 1.5


def test_both_versions_at_once(tmp_path: Path) -> None:
    v2(tmp_path, "/", **{"": "300000 100000"})
    files = {
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "200000",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
    }
    root = fake_root(
        tmp_path, groups="4:cpu,cpuacct:/\n0::/\n", mounts=V1.format(root="/") + V2.format(root="/"), files=files
    )
    assert quota_cores(root) == 2


def test_a_folder_with_a_space(tmp_path: Path) -> None:
    mounts = V2.format(root="/").replace("/sys/fs/cgroup", r"/my\040groups")
    root = fake_root(tmp_path, groups="0::/\n", mounts=mounts, files={"my groups/cpu.max": "100000 100000"})
    assert quota_cores(root) == 1


def test_a_machine_without_control_groups(tmp_path: Path) -> None:
    assert (quota_cores(tmp_path), usable_cores(tmp_path), threads_under_quota(tmp_path)) == (None, 8, None)


@pytest.fixture
def real_group() -> Iterator[Path]:
    """A new control group with half a core, of whichever version this machine lets us make."""
    for top, unified in ((Path("/sys/fs/cgroup"), True), (Path("/sys/fs/cgroup/cpu"), False)):
        group = top / f"prunnet-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if unified and (group / "cpu.max").exists():
                (group / "cpu.max").write_text("50000 100000")
                yield group
                return
            if not unified and (group / "cpu.cfs_quota_us").exists():
                (group / "cpu.cfs_period_us").write_text("100000")
                (group / "cpu.cfs_quota_us").write_text("50000")
                yield group
                return
        finally:
            group.rmdir()
    pytest.skip("no control group with a CPU quota can be made here")


def test_a_real_quota(real_group: Path) -> None:
    code = (
        "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid()));"
        "from prunnet_export._cores import quota_cores, usable_cores; print(quota_cores(), usable_cores())"
    )
    arguments = [sys.executable, "-c", code, str(real_group / "cgroup.procs")]
    done = subprocess.run(arguments, cwd=PACKAGE_HOME, capture_output=True, text=True, check=True)
    quota, cores = done.stdout.split()
    assert 0 < float(quota) <= 0.5
    assert int(cores) == max(1, math.floor(float(quota)))


def test_the_affinity_and_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {3, 5}, raising=False)
    assert affinity_cores() == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    assert affinity_cores() == os.cpu_count()
