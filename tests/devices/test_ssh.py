from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from prunnet_export._errors import InvalidInput, PrunnetError, StorageError, UnknownName, Unreachable, UsageError
from prunnet_export.devices import (
    Device,
    LocalDevice,
    Timed,
    _connection,
    embed,
    layer_times,
    measure_latency,
    peak_memory_mb,
    placement,
)
from prunnet_export.devices._connection import Connection
from prunnet_export.devices._frames import Stored
from prunnet_export.devices._protocol import EmbedReply, EmbedRequest, FingerprintRequest, LatencyRequest
from prunnet_export.devices._ssh import SshDevice
from prunnet_export.preprocessing import Preprocessing
from prunnet_export.query import Query
from prunnet_export.runtimes import Model
from prunnet_export.runtimes.openvino import OpenVino
from tests.devices._sshd import Board, needs_sshd, wait_until

TinyModel = Callable[..., Path]
Reach = Callable[..., SshDevice]

pytestmark = needs_sshd
IMAGES = np.random.default_rng(0).random((5, 3, 16, 16), np.float32)


@pytest.fixture(autouse=True)
def path(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts the ssh that knows the board first."""
    monkeypatch.setenv("PATH", str(board.bin), prepend=":")


@pytest.fixture(scope="module")
def kept(board: Board) -> Iterator[SshDevice]:
    """A connection that tests share which do not spoil it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(board.bin), prepend=":")
        device = SshDevice(board.url())
        device.fingerprint()
    yield device
    device.close()
    assert not board.left()


@pytest.fixture
def reach(board: Board) -> Iterator[Reach]:
    """Devices on the board, each with a connection of its own; what they leave there fails the test."""
    before = board.left()
    made: list[SshDevice] = []

    def make(python: str | Path = sys.executable) -> SshDevice:
        made.append(SshDevice(board.url(python)))
        return made[-1]

    yield make
    for device in made:
        device.close()
    assert set(board.left()) <= set(before)


@pytest.fixture
def puts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that are copied from now on."""
    names: list[str] = []
    put = Connection.put

    def watch(self: Connection, name: str, content: bytes) -> Stored:
        names.append(name)
        return put(self, name, content)

    monkeypatch.setattr(Connection, "put", watch)
    return names


def fails(device: Device, message: str, kind: type[PrunnetError] = Unreachable) -> str:
    """The hint of the error of a request that has to fail with one line."""
    with pytest.raises(kind, match=message) as caught:
        device.run(FingerprintRequest())
    return one_line(caught.value)


def one_line(error: PrunnetError) -> str:
    assert "\n" not in error.message + error.hint
    assert error.hint
    return error.hint


# -- what it answers ---------------------------------------------------------------------------------------------------


def test_it_is_this_machine(kept: SshDevice) -> None:
    assert kept.fingerprint() == LocalDevice().fingerprint()


def test_embeds_and_places_as_this_machine_does(kept: SshDevice, tiny_model: TinyModel, tmp_path: Path) -> None:
    model = tiny_model()
    names = OpenVino().compile(model, tmp_path, precision="fp32")
    for runtime, file in (("onnxruntime", model), ("openvino", tmp_path / names[0])):
        here, there = (
            embed(device, Model(file, runtime), IMAGES, threads=1, batch_size=2) for device in (LocalDevice(), kept)
        )
        np.testing.assert_array_equal(there, here)
        assert placement(kept, Model(file, runtime)) == placement(LocalDevice(), Model(file, runtime))


def test_measures(kept: SshDevice, tiny_model: TinyModel) -> None:
    models = [
        Model(tiny_model(), "onnxruntime"),
        Model(tiny_model(name="large.onnx", size=96, width=64), "onnxruntime"),
    ]
    small, large = measure_latency(kept, models, threads=1, runs=2, samples=40, warmup=5)
    assert (small.n, small.runs, small.source) == (80, 2, "measured")
    assert small.percentile_ms < large.percentile_ms
    assert small.device == LocalDevice().fingerprint().id
    assert 0 < peak_memory_mb(kept, models[0], threads=1).peak_mb < 100


def test_measures_from_a_photograph(kept: SshDevice, tiny_model: TinyModel) -> None:
    timed = Timed(Query(scope="end-to-end", photo_px=(300, 400)), Preprocessing(crop=16, resize=18))
    [report] = measure_latency(kept, [Model(tiny_model(), "onnxruntime")], threads=1, runs=2, samples=20, timed=timed)
    assert [part.name for part in report.parts] == ["decode", "resize", "network"]
    assert sum(part.p50_ms for part in report.parts) == pytest.approx(report.p50_ms)


def test_any_name_of_a_file_is_a_name(kept: SshDevice, tiny_model: TinyModel) -> None:
    model = tiny_model(name='it\'s a "model"; $(touch boom) `x` \\ *.v1.onnx')
    assert set(placement(kept, Model(model, "onnxruntime"))) == {"CPU"}


def test_a_model_is_copied_once_and_inputs_each_time(
    kept: SshDevice, tiny_model: TinyModel, puts: list[str], board: Board
) -> None:
    model = tiny_model(width=24)
    first, second = (embed(kept, Model(model, "onnxruntime"), IMAGES, threads=1) for _ in range(2))
    placement(kept, Model(Path(shutil.copy(model, model.with_name("copy.onnx"))).rename(model), "onnxruntime"))
    np.testing.assert_array_equal(first, second)
    assert [name.split("/")[0] for name in puts] == ["models", "scratch", "scratch"]
    assert not list(board.folder.glob("cache/prunnet-export/*/scratch"))


def test_a_model_that_changes_is_copied_again(kept: SshDevice, tiny_model: TinyModel, puts: list[str]) -> None:
    for dim in (8, 4):
        assert embed(kept, Model(tiny_model(dim=dim, width=40), "onnxruntime"), IMAGES, threads=1).shape == (5, dim)
    assert len({name for name in puts if name.startswith("models/")}) == 2


def test_files_of_the_model_travel_and_others_do_not(
    kept: SshDevice, tiny_model: TinyModel, tmp_path: Path, puts: list[str]
) -> None:
    names = OpenVino().compile(tiny_model(width=48), tmp_path, precision="fp32")
    (tmp_path / "model.data").mkdir()
    (tmp_path / "model.data" / "part").write_bytes(b"x")
    (tmp_path / "engine.json").write_bytes(b"x")
    assert placement(kept, Model(tmp_path / names[0], "openvino"))
    assert sorted(name.split("/", 2)[2] for name in puts) == ["model.bin", "model.xml"]
    files = tuple(tmp_path / name for name in (*names, "engine.json", "model.data/part"))
    assert placement(kept, Model(tmp_path / names[0], "openvino", files=files))
    assert sorted(name.split("/", 2)[2] for name in puts[2:]) == [
        "engine.json", "model.bin", "model.data/part", "model.xml",
    ]  # fmt: skip


def test_a_folder_can_be_the_model(kept: SshDevice, tmp_path: Path, puts: list[str]) -> None:
    (tmp_path / "m.package" / "deep").mkdir(parents=True)
    (tmp_path / "m.package" / "deep" / "weights").write_bytes(b"x")
    with pytest.raises(PrunnetError, match=r"m\.package"):
        placement(kept, Model(tmp_path / "m.package", "onnxruntime"))
    assert [name.split("/", 2)[2] for name in puts] == ["m.package/deep/weights"]


def test_errors_of_the_worker_name_the_file_here_and_the_board(kept: SshDevice, tmp_path: Path) -> None:
    for name in ("broken.onnx", "broken.npy"):
        (tmp_path / name).write_bytes(b"garbage")
    with pytest.raises(InvalidInput, match=r"broken\.onnx.* \(on ssh://[^/]*\)$"):
        placement(kept, Model(tmp_path / "broken.onnx", "onnxruntime"))
    with pytest.raises(InvalidInput) as caught:
        kept.run(
            EmbedRequest(
                runtime="onnxruntime",
                model=str(tmp_path / "broken.onnx"),
                inputs=str(tmp_path / "broken.npy"),
                outputs=str(tmp_path / "o.npy"),
            )
        )
    assert caught.value.message.startswith(f"{tmp_path}/broken.npy: not a .npy file")
    with pytest.raises(UnknownName, match=r"no-such.*on ssh://"):
        placement(kept, Model(tmp_path / "broken.onnx", "no-such"))
    with pytest.raises(InvalidInput, match="does not time"):
        layer_times(kept, Model(tmp_path / "broken.onnx", "onnxruntime"))


def test_files_that_are_not_here_are_said_before_anything_is_copied(kept: SshDevice, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"none\.onnx: No such file"):
        placement(kept, Model(tmp_path / "none.onnx", "onnxruntime"))
    with pytest.raises(InvalidInput, match="nowhere"):
        placement(kept, Model(tmp_path / "nowhere" / "none.onnx", "onnxruntime"))


def test_outputs_that_cannot_be_written_here_are_a_fault_here(
    kept: SshDevice, tiny_model: TinyModel, tmp_path: Path
) -> None:
    np.save(tmp_path / "in.npy", IMAGES)
    request = EmbedRequest(
        runtime="onnxruntime",
        model=str(tiny_model()),
        inputs=str(tmp_path / "in.npy"),
        outputs=str(tmp_path / "no" / "out.npy"),
    )
    with pytest.raises(StorageError, match=r"no/out\.npy"):
        kept.run(request)
    assert kept.run(msgspec.structs.replace(request, outputs=str(tmp_path / "o.npy"))) == EmbedReply(count=5, dim=8)


def test_a_slow_worker_is_given_up_and_the_connection_is_not(kept: SshDevice, tiny_model: TinyModel) -> None:
    connection = kept._connection
    with pytest.raises(Unreachable, match=r"within 0\.2 s \(on ssh://"):
        kept.run(LatencyRequest(runtime="onnxruntime", model=str(tiny_model()), samples=10**9), timeout=0.2)
    assert kept.run(FingerprintRequest())
    assert kept._connection is connection


# -- what is wrong with the way there ----------------------------------------------------------------------------------


def test_the_users_configuration_is_honoured(board: Board, monkeypatch: pytest.MonkeyPatch) -> None:
    config = board.folder / "alias_config"
    alias = f"Host box\n  HostName 127.0.0.1\n  Port {board.port}\n  RemoteCommand false\n  LocalForward 1 x:1\n"
    config.write_text(f"{alias}{(board.folder / 'ssh_config').read_text()}")
    monkeypatch.setenv("SSH_CONFIG", str(config))
    device = SshDevice(f"ssh://box?python={sys.executable}")
    assert device.fingerprint() == LocalDevice().fingerprint()
    device.close()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("/key", "/stranger"), ("does not let us in", "a key that needs no password")),
        (("/known_hosts", "/no_hosts"), ("host key of ssh://.* is not known", "connect once by hand: ssh -l ")),
        (("/known_hosts", "/changed_hosts"), ("host key of ssh://.* has changed", "ssh-keygen -R '[127.0.0.1]:")),
    ],
)
def test_keys_that_do_not_fit(
    change: tuple[str, str], told: tuple[str, str], board: Board, reach: Reach, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = (board.folder / "stranger.pub").read_text().split()[:2]
    (board.folder / "changed_hosts").write_text(f"[127.0.0.1]:{board.port} {' '.join(stranger)}\n")
    config = board.folder / "wrong_config"
    config.write_text((board.folder / "ssh_config").read_text().replace(*change))
    monkeypatch.setenv("SSH_CONFIG", str(config))
    message, hint = told
    assert hint in fails(reach(), message)


def test_nobody_listens() -> None:
    assert "sshd" in fails(SshDevice("ssh://127.0.0.1:1"), "refuses the connection")


def test_no_such_host() -> None:
    fails(SshDevice("ssh://no-such-host.invalid"), "no host is called 'no-such-host.invalid'")


def test_no_ssh_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="ssh is not installed"):
        SshDevice("ssh://host").fingerprint()


# -- what is wrong with the board --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "message", "hint"),
    [
        (['exec "$0-none" "$@"'], r"ended with code 127|there is no ", "?python="),
        (["exit 3"], "ended with code 3 and no greeting", "on the board: "),
        (
            ["echo 'Illegal instruction' >&2", "exit 132"],
            "code 132 and no greeting: Illegal instruction",
            "on the board: ",
        ),
        ([f'exec {sys.executable} -I -S "$@"'], "is not installed for", "pip install 'prunnet-export[RUNTIME]=="),
        (["export PYTHONPATH={old}"], "is older than", "pip install"),
        (["export PYTHONPATH={broken}"], "lacks msgspec", "pip install"),
        (["""echo 'prunnet-export {"version":"0.0.9"}'"""], r"is 0\.0\.9 on ssh://", "both sides"),
        (["yes | head -n 100000"], "no greeting", "on the board: "),
        (
            ["export XDG_CACHE_HOME=/dev/null"],
            "no cache folder can be made.*: not a directory",
            "free some space there",
        ),
    ],
)
def test_what_is_there_instead(lines: list[str], message: str, hint: str, board: Board, reach: Reach) -> None:
    old, broken = board.folder / "old", board.folder / "broken"
    for folder in (old / "prunnet_export" / "devices", broken):
        folder.mkdir(parents=True, exist_ok=True)
    for file in ("__init__.py", "devices/__init__.py"):
        (old / "prunnet_export" / file).touch()
    (broken / "msgspec.py").write_text("raise ModuleNotFoundError(\"No module named 'msgspec'\", name='msgspec')")
    python = board.python(
        "instead", *(line.replace("{old}", str(old)).replace("{broken}", str(broken)) for line in lines)
    )
    assert hint in fails(reach(python), message)


def test_no_such_interpreter(reach: Reach) -> None:
    assert "?python=" in fails(reach("/no/such/python"), "there is no /no/such/python on ssh://")
    assert "?python=" in fails(reach("no-such-python"), "there is no no-such-python on ssh://")


def test_what_login_scripts_print_is_passed_over(board: Board, reach: Reach) -> None:
    python = board.python("chatty", "echo Welcome; printf 'to {}'; echo; echo warning >&2")
    assert reach(python).fingerprint() == LocalDevice().fingerprint()


def test_a_board_that_never_greets(board: Board, reach: Reach, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_connection, "_GREETING_S", 1.0)
    fails(reach(board.python("silent", "exec cat >/dev/null")), "did not answer within 1 s")
    wait_until(lambda: not any("cat" in command for command in board.sessions().values()))


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (
            "raise ModuleNotFoundError('No module named onnxruntime', name='onnxruntime')",
            (r"onnxruntime is not installed \(on ssh://", "on the board: pip install 'prunnet-export[onnxruntime]'"),
        ),
        (
            "raise ImportError('x.so: wrong ELF class')",
            (r"cannot be loaded: x\.so: wrong ELF class \(on ssh://", "for this machine"),
        ),
        ("import os; os.kill(os.getpid(), 9)", (r"killed by SIGKILL \(on ssh://", "memory")),
        ("import os; os.kill(os.getpid(), 11)", (r"killed by SIGSEGV \(on ssh://", "crashed")),
        ("import os; os._exit(7)", (r"code 7 and no reply \(on ssh://", "again")),
    ],
)
def test_engines_that_fail_there(
    source: str, told: tuple[str, str], board: Board, reach: Reach, tiny_model: TinyModel
) -> None:
    modules = board.folder / "modules"
    modules.mkdir(exist_ok=True)
    (modules / "onnxruntime.py").write_text(source)
    python = board.python("engine", f"export PYTHONPATH={modules}:$PYTHONPATH PYTHONDONTWRITEBYTECODE=1")
    message, hint = told
    with pytest.raises(Unreachable, match=message) as caught:
        placement(reach(python), Model(tiny_model(), "onnxruntime"))
    assert hint in one_line(caught.value)
    assert caught.value.exit_code == 3


def test_no_room_there(board: Board, reach: Reach, tiny_model: TinyModel) -> None:
    device = reach(board.python("full", "ulimit -f 2000"))  # of 512 or 1024 bytes
    model, wide = tiny_model(), tiny_model(name="wide.onnx", dim=2048)
    with pytest.raises(Unreachable, match=r"no room for .* MB on ssh://.*file too large") as caught:
        embed(device, Model(model, "onnxruntime"), np.zeros((1000, 3, 16, 16), np.float32))
    assert "there" in one_line(caught.value)
    with pytest.raises(Unreachable, match=r"cannot write .*/outputs\.npy: .*\(on ssh://") as caught:
        embed(device, Model(wide, "onnxruntime"), np.zeros((300, 3, 16, 16), np.float32))
    assert one_line(caught.value).startswith("on the board: ")
    assert embed(device, Model(model, "onnxruntime"), IMAGES[:1]).shape == (1, 8)


# -- what breaks on the way --------------------------------------------------------------------------------------------


def once_a_worker_runs(board: Board, then: str) -> subprocess.Popen[bytes]:
    """A process that waits for a worker on the board and acts; ``processes`` are those of the board's connections."""
    source = (
        "import os, signal\nfrom tests.devices._sshd import descendants, wait_until\n"
        f"processes = lambda: descendants({board.process.pid})\n"
        "wait_until(lambda: any('_worker' in command for command in processes().values()))\n"
    )
    return subprocess.Popen([sys.executable, "-c", source + then], cwd=Path(__file__).parents[2])


def endless(model: Path) -> LatencyRequest:
    return LatencyRequest(runtime="onnxruntime", model=str(model), samples=10**9, seconds=60)


def assert_tidy(board: Board) -> None:
    """Nothing runs or lies on the board."""
    wait_until(lambda: not board.left() and not board.sessions())


KILL = "[os.kill(process, signal.SIGKILL) for process, command in processes().items() if command.startswith('sshd')]"


def test_a_connection_that_dies_while_a_worker_runs(board: Board, reach: Reach, tiny_model: TinyModel) -> None:
    device = reach()
    device.fingerprint()
    with (
        once_a_worker_runs(board, KILL),
        pytest.raises(Unreachable, match=r"the connection to ssh://.* was lost") as caught,
    ):
        device.run(endless(tiny_model()))
    assert one_line(caught.value)
    assert caught.value.exit_code == 3
    assert_tidy(board)
    assert device.run(FingerprintRequest())  # it connects again


def test_a_board_that_falls_silent(
    board: Board, reach: Reach, tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(_connection._OPTIONS, "ServerAliveInterval", "1")
    monkeypatch.setitem(_connection._OPTIONS, "ServerAliveCountMax", "1")
    with once_a_worker_runs(board, KILL.replace("SIGKILL", "SIGSTOP")):
        try:
            with pytest.raises(Unreachable, match=r"was lost: Timeout, server .* not responding"):
                reach().run(endless(tiny_model()))
        finally:
            board.kill_sessions(signal.SIGCONT)
    assert_tidy(board)


def test_a_board_that_hangs_beyond_the_workers_time(
    board: Board, reach: Reach, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_connection, "_GRACE_S", 0.0)
    device = reach()
    device.fingerprint()
    [keeper] = [process for process, command in board.sessions().items() if "_board" in command]
    os.kill(keeper, signal.SIGSTOP)
    try:
        with pytest.raises(Unreachable, match=r"did not answer within 1 s"):
            device.run(FingerprintRequest(), timeout=1)
    finally:
        os.kill(keeper, signal.SIGCONT)
    assert_tidy(board)


@pytest.mark.parametrize("breaks", [2, 3])
def test_a_transfer_that_breaks_is_made_again_but_not_for_ever(
    breaks: int, board: Board, reach: Reach, tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, left = Connection.put, [breaks]

    def break_off(self: Connection, name: str, content: bytes) -> Stored:
        if left[0]:
            left[0] -= 1
            board.kill_sessions()
        return put(self, name, content)

    monkeypatch.setattr(Connection, "put", break_off)
    if breaks == 2:
        assert placement(reach(), Model(tiny_model(), "onnxruntime"))
    else:
        with pytest.raises(Unreachable, match="was lost") as caught:
            placement(reach(), Model(tiny_model(), "onnxruntime"))
        assert one_line(caught.value)
        assert_tidy(board)
    assert left == [0]


HOST = """
import sys
from pathlib import Path
from prunnet_export.devices import find_device
from tests.devices.test_ssh import endless

find_device(sys.argv[1]).run(endless(Path(sys.argv[2])))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_host_that_ends_leaves_nothing(number: signal.Signals, board: Board, tiny_model: TinyModel) -> None:
    words = [sys.executable, "-c", HOST, board.url(), str(tiny_model())]
    with subprocess.Popen(words, stderr=subprocess.PIPE, cwd=Path(__file__).parents[2]) as host:
        wait_until(lambda: any("_worker" in command for command in board.sessions().values()))
        host.send_signal(number)
        assert host.wait(20) == -number
        if number == signal.SIGINT:
            assert not board.left()  # it went before the host did
    assert_tidy(board)
