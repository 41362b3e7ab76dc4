from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from prunnet_export._errors import InvalidInput, StorageError, UnknownName, Unreachable
from prunnet_export.devices import (
    Device,
    LocalDevice,
    Timed,
    _local,
    embed,
    find_device,
    measure_latency,
    measure_samples,
    peak_memory_mb,
    placement,
)
from prunnet_export.devices._pipes import Reader
from prunnet_export.devices._protocol import (
    EmbedRequest,
    FingerprintRequest,
    LatencyReply,
    LatencyRequest,
    PlacementReply,
    Reply,
    Request,
)
from prunnet_export.preprocessing import Preprocessing
from prunnet_export.query import Query
from prunnet_export.runtimes import Model
from prunnet_export.runtimes.onnxruntime import OnnxRuntime

TinyModel = Callable[..., Path]


class Scripted(Device):
    """Answers what it was given and keeps the requests."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.requests: list[Request] = []
        self.timeouts: list[float] = []

    def run(self, request: Request, *, timeout: float = 60) -> Reply:
        assert timeout > 0
        self.requests.append(request)
        self.timeouts.append(timeout)
        return LocalDevice().run(request) if isinstance(request, FingerprintRequest) else self.replies.pop(0)


def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str) -> None:
    """Puts another program in the worker's place."""
    (tmp_path / "stand_in.py").write_text(source)
    monkeypatch.setattr(_local, "_WORKER", "stand_in")
    monkeypatch.setattr(_local, "PACKAGE_HOME", tmp_path)


@pytest.fixture(params=["events", "threads"])
def _both_ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows waits for no pipe, and reads them in threads."""
    if request.param == "threads":
        monkeypatch.delattr("select.poll")


def test_two_models_measured_side_by_side_in_fresh_processes(tiny_model: TinyModel) -> None:
    models = [
        Model(tiny_model(), "onnxruntime"),
        Model(tiny_model(name="large.onnx", size=96, width=64), "onnxruntime"),
    ]
    small, large = measure_latency(LocalDevice(), models, threads=1, runs=2, samples=40, warmup=5)
    assert (small.n, small.runs, small.threads, small.source, small.batch) == (80, 2, 1, "measured", 1)
    assert small.percentile_ms < large.percentile_ms <= large.upper_ms
    assert small.runtime_version == OnnxRuntime().version()
    assert small.device == LocalDevice().fingerprint().id


def test_every_run_takes_what_the_bound_needs(tiny_model: TinyModel) -> None:
    device = Scripted(*(LatencyReply(samples=[1.0] * 10, runtime_version="1") for _ in range(3)))
    (report,) = measure_latency(device, [Model(tiny_model(), "onnxruntime")], samples=1)
    requests = [request for request in device.requests if isinstance(request, LatencyRequest)]
    assert [request.at_least for request in requests] == [10, 10, 10]
    assert (report.n, report.upper_ms) == (30, 1.0)


def test_a_request_ends_some_day_and_not_before_what_it_has_to_measure(tiny_model: TinyModel) -> None:
    device = Scripted(LatencyReply(samples=[1.0] * 2995, runtime_version="1"), PlacementReply(nodes={"CPU": 1}))
    model = Model(tiny_model(), "onnxruntime")
    measure_latency(device, [model], runs=1, percentile=99.9)
    placement(device, model)
    measured, _fingerprint, placed = device.timeouts
    assert measured > placed + 2995 * 10
    assert 600 < placed < 24 * 3600


def test_embeds_as_the_engine_does(tiny_model: TinyModel) -> None:
    model = tiny_model()
    images = np.random.default_rng(0).random((5, 3, 16, 16), np.float32)
    ours = embed(LocalDevice(), Model(model, "onnxruntime"), images, threads=1, batch_size=2)
    here = OnnxRuntime().open(Model(model, "onnxruntime"), threads=1).run(images)
    np.testing.assert_allclose(ours, here, atol=1e-6)


@pytest.mark.usefixtures("_both_ways")
def test_memory_and_placement(tiny_model: TinyModel) -> None:
    memory = peak_memory_mb(LocalDevice(), Model(tiny_model(), "onnxruntime"), threads=1)
    assert 0 < memory.peak_mb < 100
    assert set(placement(LocalDevice(), Model(tiny_model(), "onnxruntime"))) == {"CPU"}


def test_relative_paths_are_of_this_folder(tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    monkeypatch.chdir(model.parent)
    assert placement(LocalDevice(), Model(Path(model.name), "onnxruntime"))


def test_files_beside_the_user_are_not_imported(tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_model()
    (model.parent / "msgspec.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(model.parent)
    assert LocalDevice().fingerprint().cores >= 1


def test_errors_of_the_worker_are_raised_here(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"garbage")
    with pytest.raises(InvalidInput, match="broken") as caught:
        placement(LocalDevice(), Model(tmp_path / "broken.onnx", "onnxruntime"))
    assert caught.value.hint
    with pytest.raises(UnknownName, match="no-such"):
        placement(LocalDevice(), Model(tmp_path / "broken.onnx", "no-such"))


def test_a_killed_worker_is_unreachable_and_names_the_signal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script(monkeypatch, tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(Unreachable, match="SIGKILL") as caught:
        LocalDevice().fingerprint()
    assert "memory" in caught.value.hint


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import sys; sys.exit('no room')", "code 1 and no reply: no room"),
        ("", "code 0 and no reply"),
        ("print('<html>')", "code 0 and no reply"),
        ("import sys; sys.stdin.close()", "no reply"),
        ("print('[' * 100_000)", "no reply"),
        ("while True: print('x' * 2**16)", "it writes without end"),
        ("import os; [os.write(2, b'noise\\n' * 10_000) for _ in range(500)]; exit('the end')", "no reply: the end"),
    ],
)
@pytest.mark.usefixtures("_both_ways")
def test_a_worker_without_a_reply_is_unreachable(
    source: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script(monkeypatch, tmp_path, source)
    with pytest.raises(Unreachable, match=message):
        LocalDevice().fingerprint()


@pytest.mark.usefixtures("_both_ways")
def test_a_worker_that_hangs_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script(monkeypatch, tmp_path, "import time; time.sleep(60)")
    begin = time.monotonic()
    with pytest.raises(Unreachable, match=r"within 0\.5 s"):
        LocalDevice().run(FingerprintRequest(), timeout=0.5)
    assert time.monotonic() - begin < 10


def test_ctrl_c_kills_the_worker_and_is_raised(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script(monkeypatch, tmp_path, "import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(60)")

    def interrupt(*_: object) -> None:
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(Reader, "rest", interrupt)
    with pytest.raises(KeyboardInterrupt):
        LocalDevice().fingerprint()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_whole_queries_are_measured_beside_inferences(tiny_model: TinyModel) -> None:
    models = [Model(tiny_model(), "onnxruntime")] * 2
    query = Query(scope="end-to-end", batch_size=2, photo_px=(300, 400))
    timed = [Timed(query, Preprocessing(crop=16, resize=18)), Timed()]
    whole, alone = measure_samples(LocalDevice(), models, threads=1, runs=2, samples=20, warmup=2, timed=timed)
    report = whole.report()
    assert (report.scope, report.batch, report.photo_px, report.n) == ("end-to-end", 2, (300, 400), 40)
    assert sum(part.mean_ms for part in report.parts) == pytest.approx(report.mean_ms, rel=0.05)
    assert (alone.query, alone.parts_ms, alone.report().parts) == (Query(), {}, [])
    assert report.p50_ms > alone.report().p50_ms


@pytest.mark.parametrize(
    ("query", "reply"),
    [
        (Query(), LatencyReply(samples=[1.0] * 29, decode=[1.0] * 29, runtime_version="1")),
        (Query(scope="end-to-end", photo_px=64), LatencyReply(samples=[1.0] * 29, runtime_version="1")),
        (
            Query(scope="end-to-end", photo_px=64),
            LatencyReply(samples=[2.0] * 29, decode=[1.0] * 29, resize=[1.0], network=[1.0] * 29, runtime_version="1"),
        ),
    ],
)
def test_parts_that_are_not_those_of_the_samples_are_refused(query: Query, reply: LatencyReply) -> None:
    device, timed = Scripted(reply), Timed(query, Preprocessing(crop=16, resize=18))
    with pytest.raises(Unreachable, match="did not time the parts"):
        measure_latency(device, [Model(Path("m"), "onnxruntime")], runs=1, timed=timed)


def test_another_reply_than_asked_for_is_unreachable(tiny_model: TinyModel) -> None:
    with pytest.raises(Unreachable, match="PlacementReply"):
        measure_latency(Scripted(PlacementReply(nodes={})), [Model(tiny_model(), "onnxruntime")])


@pytest.mark.parametrize(
    "wrong",
    [
        {"runs": 0},
        {"samples": 0},
        {"percentile": 100},
        {"confidence": 0.5},
        {"warmup": -1},
        {"seconds": float("nan")},
    ],
)
def test_impossible_measurements_are_refused_before_anything_runs(wrong: dict[str, float]) -> None:
    device = Scripted()
    with pytest.raises(InvalidInput):
        measure_latency(device, [Model(Path("m"), "onnxruntime")], **wrong)  # type: ignore[arg-type]  # of mixed types
    assert not device.requests


def test_no_models_are_refused() -> None:
    with pytest.raises(InvalidInput, match="0 models"):
        measure_latency(Scripted(), [])


def test_a_full_disk_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(np, "save", full)
    with pytest.raises(StorageError, match="no space"):
        embed(LocalDevice(), Model(Path("m"), "onnxruntime"), np.zeros((1, 3, 4, 4), np.float32))


@pytest.mark.parametrize("name", ["ssh:/user@host", "gpu", "", "../local"])
def test_other_devices_are_unknown(name: str) -> None:
    with pytest.raises(UnknownName, match="device"):
        find_device(name)


def test_local_is_known_and_shows_itself() -> None:
    assert repr(find_device("local")) == "LocalDevice()"


def test_requests_stay_readable() -> None:
    with pytest.raises(TypeError):
        EmbedRequest("onnxruntime")  # type: ignore[call-arg]  # keyword-only on purpose


def test_worker_takes_the_interpreter_that_runs_us(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    popen = subprocess.Popen

    def watch(args: list[str], **rest: object) -> object:
        seen.extend(args)
        return popen(args, **rest)  # type: ignore[call-overload]  # passed through as given

    monkeypatch.setattr(subprocess, "Popen", watch)
    LocalDevice().fingerprint()
    assert seen[0] == sys.executable


def test_a_folder_whose_name_is_not_utf8(tiny_model: TinyModel, tmp_path: Path) -> None:
    folder = tmp_path / "caf\udce9"
    folder.mkdir()
    model = Model(tiny_model().rename(folder / "tiny.onnx"), "onnxruntime")
    [report] = measure_latency(LocalDevice(), [model], samples=10, runs=1, percentile=50.0)
    assert report.n >= 10
    images = np.zeros((2, 3, 16, 16), np.float32)
    assert embed(LocalDevice(), model, images).shape == (2, 8)
    with pytest.raises(InvalidInput, match=r"nosuch\.onnx") as caught:
        placement(LocalDevice(), Model(folder / "nosuch.onnx", "onnxruntime"))
    caught.value.message.encode()
