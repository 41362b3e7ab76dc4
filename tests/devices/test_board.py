from __future__ import annotations

import os
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, cast

import msgspec
import pytest

from prunnet_export._imports import installed_version
from prunnet_export.devices._board import private_folder
from prunnet_export.devices._frames import GREETING, SCRATCH, Answer, Ask, Hello, Put, Stored
from prunnet_export.devices._protocol import (
    ErrorReply,
    FingerprintReply,
    FingerprintRequest,
    LatencyRequest,
    Reply,
    Request,
)
from tests.devices._sshd import descendants, wait_until

Start = Callable[..., "Keeper"]
TinyModel = Callable[..., Path]
MAIN = "from prunnet_export.devices import _board, _local; _local._EXIT_S = 0.5; _board.main()"
SMALL = 10_000  # bytes that a file may have where there is no room


class Keeper:
    """The board's process without ssh."""

    def __init__(self, cache: Path, modules: Path | None, main: str) -> None:
        path = [folder for folder in (modules, os.environ.get("PYTHONPATH")) if folder]
        self.process = subprocess.Popen(
            [sys.executable, "-c", main],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "XDG_CACHE_HOME": str(cache), "PYTHONPATH": os.pathsep.join(map(str, path))},
        )
        self.to, self.out, self.err = (
            cast("IO[bytes]", pipe) for pipe in (self.process.stdin, self.process.stdout, self.process.stderr)
        )
        line = self.out.readline()
        assert line.startswith(GREETING)
        self.hello = msgspec.json.decode(line.removeprefix(GREETING), type=Hello)
        self.folder = Path(self.hello.folder)

    def say(self, message: Put | Ask, content: bytes = b"") -> None:
        self.to.write(msgspec.json.encode(message) + b"\n" + content)
        self.to.flush()

    def put(self, name: str, content: bytes) -> Stored:
        self.say(Put(name=name, size=len(content)), content)
        return msgspec.json.decode(self.out.readline(), type=Stored)

    def ask(self, request: Request, *, timeout: float = 60, output: str | None = None) -> tuple[Answer, bytes, bytes]:
        """The answer, the reply and the output."""
        self.say(Ask(request=msgspec.Raw(msgspec.json.encode(request)), timeout=timeout, output=output))
        answer = msgspec.json.decode(self.out.readline(), type=Answer)
        reply, _, wanted = (self.out.read(size) for size in (answer.reply, answer.errors, answer.output))
        return answer, reply, wanted

    def ended(self) -> str:
        """Waits for the end; what stood on standard error."""
        self.process.wait(20)
        return self.err.read().decode()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts keepers whose folders lie in one cache."""
    started: list[Keeper] = []

    def begin(
        cache: Path = tmp_path / "cache",
        modules: Path | None = None,
        main: str = MAIN,
    ) -> Keeper:
        started.append(Keeper(cache, modules, main))
        return started[-1]

    yield begin
    for keeper in started:
        keeper.process.kill()
        keeper.process.wait()
        for pipe in (keeper.to, keeper.out, keeper.err):
            pipe.close()


def long_request(model: Path) -> LatencyRequest:
    return LatencyRequest(runtime="onnxruntime", model=str(model), samples=10**9, seconds=60)


def test_greets_with_a_private_folder_and_removes_it(start: Start, tmp_path: Path) -> None:
    keeper = start()
    assert (keeper.hello.version, keeper.hello.error) == (installed_version("prunnet-export"), "")
    assert keeper.folder.parent == tmp_path / "cache" / "prunnet-export"
    assert stat.S_IMODE(keeper.folder.stat().st_mode) == stat.S_IRWXU
    assert keeper.put('models/x/a b\'s "file".bin', b"content") == Stored()
    assert (keeper.folder / 'models/x/a b\'s "file".bin').read_bytes() == b"content"
    keeper.to.close()
    assert keeper.ended() == ""
    assert keeper.process.returncode == 0
    assert not keeper.folder.exists()


def test_it_shows_that_it_is_there_while_a_file_arrives(start: Start) -> None:
    keeper = start(main=MAIN.replace("_board.main", "_board.HEARTBEAT_S = 0.2; _board.main"))
    keeper.say(Put(name="models/x", size=7), b"con")
    assert keeper.out.readline() == b"\n"
    keeper.to.write(b"tent")
    keeper.to.flush()
    while not (line := keeper.out.readline()).strip():
        pass
    assert msgspec.json.decode(line, type=Stored) == Stored()
    assert (keeper.folder / "models" / "x").read_bytes() == b"content"


def test_a_request_is_answered_and_its_files_are_gone_afterwards(start: Start) -> None:
    keeper = start()
    keeper.put(f"{SCRATCH}/inputs/x.npy", b"0" * 2_500_000)
    keeper.put("models/y", b"kept")
    answer, reply, _ = keeper.ask(FingerprintRequest(), timeout=60, output=f"{SCRATCH}/outputs/x.npy")
    assert answer == Answer(code=0, reply=len(reply), errors=0, output=0)
    assert isinstance(msgspec.json.decode(reply, type=Reply), FingerprintReply)
    assert [file.name for file in keeper.folder.rglob("*")] == ["models", "y"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_tidies_up_too(start: Start, number: signal.Signals) -> None:
    keeper = start()
    keeper.process.send_signal(number)
    keeper.ended()
    assert not keeper.folder.exists()


def test_a_host_that_hangs_up_takes_the_worker_with_it(start: Start, tiny_model: TinyModel) -> None:
    keeper = start()
    keeper.say(Ask(request=msgspec.Raw(msgspec.json.encode(long_request(tiny_model()))), timeout=60))
    wait_until(lambda: any("_worker" in command for command in descendants(keeper.process.pid).values()))
    workers = list(descendants(keeper.process.pid))
    keeper.to.close()
    assert keeper.ended() == ""
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)
    assert not keeper.folder.exists()


def test_a_transfer_that_breaks_off_leaves_nothing(start: Start) -> None:
    keeper = start()
    keeper.say(Put(name="models/x", size=10**6), b"half")
    keeper.to.close()
    assert keeper.ended() == ""
    assert not keeper.folder.exists()


def test_a_worker_whose_time_is_up_is_killed_and_the_next_one_answers(start: Start, tiny_model: TinyModel) -> None:
    keeper = start()
    assert keeper.ask(long_request(tiny_model()), timeout=0.2)[0] == Answer()
    assert not descendants(keeper.process.pid)
    assert keeper.ask(FingerprintRequest())[0].code == 0


def test_an_engine_that_hangs_at_its_end_is_not_waited_for(start: Start, tmp_path: Path) -> None:
    source = "import atexit, time; atexit.register(time.sleep, 60); raise ImportError('x')"
    (tmp_path / "onnxruntime.py").write_text(source)
    keeper = start(modules=tmp_path)
    answer, reply, _ = keeper.ask(LatencyRequest(runtime="onnxruntime", model="x"), timeout=30)
    assert answer.code == -signal.SIGKILL
    assert isinstance(msgspec.json.decode(reply, type=Reply), ErrorReply)


def test_what_a_power_cut_left_is_removed_and_what_lives_is_not(start: Start) -> None:
    living, dead = start(), start()
    dead.put("models/x", b"content")
    dead.process.kill()
    dead.process.wait()
    assert dead.folder.exists()
    other = dead.folder.with_name("a" * 32)
    other.mkdir()
    again = start()
    assert [living.folder.exists(), dead.folder.exists(), again.folder.exists(), other.exists()] == [1, 0, 1, 1]


def test_a_file_system_without_locks_takes_nothing_for_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(9, os.strerror(9))

    monkeypatch.setattr("fcntl.flock", refuse)
    with private_folder(tmp_path) as first, private_folder(tmp_path) as second:
        assert first.is_dir()
        assert second.is_dir()
    assert not list(tmp_path.iterdir())


def test_a_cache_folder_that_cannot_be_made_is_said(start: Start, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    keeper = start(tmp_path / "file")
    assert (keeper.hello.folder, keeper.hello.error) == ("", "not a directory")
    assert keeper.ended() == ""


def test_no_room_is_an_answer_and_the_next_message_is_understood(start: Start, tiny_model: TinyModel) -> None:
    keeper = start()
    resource.prlimit(keeper.process.pid, resource.RLIMIT_FSIZE, (SMALL, SMALL))
    assert keeper.put("models/large", b"0" * 5_000_000).error == "file too large"
    assert not (keeper.folder / "models/large").exists()
    assert keeper.put("models/small", b"0" * 100) == Stored()
    assert keeper.put("models/small/beneath a file", b"0" * 100).error == "file exists"
    assert keeper.ask(FingerprintRequest(), output="models/small/x")[0] == Answer(error="file exists")
    assert keeper.ask(LatencyRequest(runtime="x", model=str(tiny_model())))[0].code == 0


def test_a_request_of_another_version_is_the_workers_to_refuse(start: Start) -> None:
    keeper = start()
    keeper.say(Ask(request=msgspec.Raw(b'{"type":"of tomorrow"}'), timeout=60))
    answer = msgspec.json.decode(keeper.out.readline(), type=Answer)
    reply = msgspec.json.decode(keeper.out.read(answer.reply), type=Reply)
    assert isinstance(reply, ErrorReply)
    assert "same version" in reply.hint
