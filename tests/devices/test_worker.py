from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest

from prunnet_export._errors import (
    InvalidInput,
    MissingExtra,
    PrunnetError,
    UnknownName,
    Unreachable,
    UnsupportedPrecision,
)
from prunnet_export.devices import _memory, _worker
from prunnet_export.devices._base import raise_again
from prunnet_export.devices._fingerprint import fingerprint
from prunnet_export.devices._memory import PeakMemory
from prunnet_export.devices._photo import photograph
from prunnet_export.devices._protocol import (
    EmbedReply,
    EmbedRequest,
    ErrorReply,
    Fingerprint,
    FingerprintReply,
    FingerprintRequest,
    LatencyReply,
    LatencyRequest,
    MemoryReply,
    MemoryRequest,
    PlacementReply,
    PlacementRequest,
    Reply,
    Request,
)
from prunnet_export.devices._serving import serve
from prunnet_export.preprocessing import Preprocessing
from prunnet_export.runtimes import Batch
from prunnet_export.runtimes.onnxruntime import OnnxSession

TinyModel = Callable[..., Path]


def ask(request: Request) -> Reply:
    return _worker.answer(msgspec.json.encode(request))


@pytest.mark.parametrize(("samples", "at_least"), [(30, 5), (7, 7), (2, 5), (1, 1)])
def test_as_many_samples_as_asked_for(samples: int, at_least: int, tiny_model: TinyModel) -> None:
    model = str(tiny_model())
    reply = serve(LatencyRequest(runtime="onnxruntime", model=model, samples=samples, at_least=at_least, warmup=1))
    assert isinstance(reply, LatencyReply)
    assert len(reply.samples) == max(samples, at_least)
    assert all(sample > 0 for sample in reply.samples)


def test_time_that_is_up_leaves_what_the_bound_needs(tiny_model: TinyModel) -> None:
    reply = serve(
        LatencyRequest(runtime="onnxruntime", model=str(tiny_model()), samples=10**6, at_least=29, seconds=1e-9)
    )
    assert isinstance(reply, LatencyReply)
    assert len(reply.samples) == 29


def test_inputs_are_fresh(monkeypatch: pytest.MonkeyPatch, tiny_model: TinyModel) -> None:
    seen: list[bytes] = []
    run = OnnxSession.run

    def watch(self: OnnxSession, images: Batch) -> Batch:
        seen.append(images.tobytes())
        return run(self, images)

    monkeypatch.setattr(OnnxSession, "run", watch)
    serve(LatencyRequest(runtime="onnxruntime", model=str(tiny_model()), samples=16, warmup=0))
    assert len(set(seen)) == 8
    assert all(seen[index] != seen[index + 1] for index in range(15))


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_memory_grows_with_the_model(runtime: str, tiny_model: TinyModel) -> None:
    model = str(tiny_model(size=64, width=4096, dim=4096))  # 64 MiB of weights
    small, large = (
        serve(MemoryRequest(runtime=runtime, model=file, threads=1))
        for file in (str(tiny_model(name="small.onnx")), model)
    )
    assert isinstance(small, MemoryReply)
    assert isinstance(large, MemoryReply)
    assert large.peak_mb > small.peak_mb + 40
    assert large.source.startswith("VmHWM")


def test_peak_is_seen_after_the_memory_is_given_back() -> None:
    peak = PeakMemory()
    block = np.ones(64 * 2**20, np.uint8)
    del block
    assert peak.growth_mb() >= 60


def test_peak_without_proc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("prunnet_export.devices._memory._STATUS", tmp_path / "none")
    peak = PeakMemory()
    assert peak.source == "ru_maxrss"
    assert peak.process_mb() > 1


def test_peak_on_windows(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def ask(process: ctypes.c_void_p, counters: Any, size: int) -> int:
        assert process.value == 2**64 - 1  # this process
        assert size == 72
        counters._obj.now, counters._obj.peak = 3 * 2**20, 5 * 2**20
        return 1

    monkeypatch.setattr(_memory, "_STATUS", tmp_path / "none")
    monkeypatch.setattr(_memory, "WINDOWS", True)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: SimpleNamespace(K32GetProcessMemoryInfo=ask))
    peak = PeakMemory()
    assert (peak.source, peak.base_mb, peak.process_mb(), peak.growth_mb()) == ("PeakWorkingSetSize", 3, 5, 2)


def test_a_system_that_does_not_know_the_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(_memory, "_STATUS", tmp_path / "none")
    monkeypatch.setitem(sys.modules, "resource", None)
    with pytest.raises(Unreachable, match="does not say how much memory"):
        PeakMemory()


def test_embeds_in_batches_with_a_rest(tiny_model: TinyModel, tmp_path: Path) -> None:
    images = np.random.default_rng(3).random((7, 3, 16, 16), np.float32)
    np.save(tmp_path / "in.npy", images)
    request = EmbedRequest(
        runtime="onnxruntime",
        model=str(tiny_model()),
        inputs=str(tmp_path / "in.npy"),
        outputs=str(tmp_path / "out.npy"),
        batch_size=3,
    )
    assert serve(request) == EmbedReply(count=7, dim=8)
    assert np.load(tmp_path / "out.npy").shape == (7, 8)


def test_pickled_inputs_are_not_executed(tiny_model: TinyModel, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return (os.mkdir, (str(tmp_path / "boom"),))

    np.save(tmp_path / "in.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    reply = ask(
        EmbedRequest(
            runtime="onnxruntime",
            model=str(tiny_model()),
            inputs=str(tmp_path / "in.npy"),
            outputs=str(tmp_path / "o"),
        )
    )
    assert isinstance(reply, ErrorReply)
    assert reply.kind == "InvalidInput"
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize("content", [b"", b"no array", b"\x93NUMPY\x01\x00"])
def test_inputs_that_are_no_array(content: bytes, tiny_model: TinyModel, tmp_path: Path) -> None:
    (tmp_path / "in.npy").write_bytes(content)
    reply = ask(
        EmbedRequest(
            runtime="onnxruntime",
            model=str(tiny_model()),
            inputs=str(tmp_path / "in.npy"),
            outputs=str(tmp_path / "o"),
        )
    )
    assert isinstance(reply, ErrorReply)
    assert (reply.kind, "\n" in reply.message) == ("InvalidInput", False)


def test_placement_and_fingerprint(tiny_model: TinyModel) -> None:
    nodes = ask(PlacementRequest(runtime="openvino", model=str(tiny_model())))
    assert isinstance(nodes, PlacementReply)
    assert set(nodes.nodes) == {"CPU"}
    first, second = ask(FingerprintRequest()), ask(FingerprintRequest())
    assert isinstance(first, FingerprintReply)
    assert first == second
    assert first.fingerprint.cores >= 1
    assert first.fingerprint.id in str(first.fingerprint)


@pytest.mark.parametrize(("quota", "changed"), [(None, False), (2.0, False), (3.0, False), (0.5, True)])
def test_a_quota_below_the_cores_makes_another_device(
    monkeypatch: pytest.MonkeyPatch, quota: float | None, changed: bool
) -> None:
    home = "prunnet_export.devices._fingerprint"
    monkeypatch.setattr(f"{home}.affinity_cores", lambda: 2)
    monkeypatch.setattr(f"{home}.quota_cores", lambda: None)
    plain = fingerprint()
    monkeypatch.setattr(f"{home}.quota_cores", lambda: quota)
    limited = fingerprint()
    assert (limited != plain, limited.id != plain.id) == (changed, changed)
    assert ("quota of 0.5" in str(limited)) is changed
    document = msgspec.json.encode(limited)
    assert (b"quota" in document) is changed
    assert msgspec.json.decode(document, type=Fingerprint) == limited


def test_the_id_is_the_hash_of_the_facts() -> None:
    facts = msgspec.to_builtins(fingerprint())
    identity = facts.pop("id")
    assert hashlib.sha256(msgspec.json.encode(facts, order="sorted")).hexdigest()[:12] == identity


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{}",
        b"[1, 2",
        b'{"type": "shell", "command": "true"}',
        b'{"type": "latency", "runtime": "onnxruntime", "models": []}',
        b'{"type": "latency", "runtime": "onnxruntime", "models": ["m"], "pool": 1}',
        b'{"type": "memory", "runtime": "onnxruntime", "model": "m", "surprise": 1}',
        b'{"type": "memory", "runtime": "onnxruntime", "model": "m", "threads": 0}',
    ],
)
def test_a_hostile_request_is_an_error_reply(document: bytes) -> None:
    reply = _worker.answer(document)
    assert isinstance(reply, ErrorReply)
    assert reply.kind == "InvalidInput"


def test_unknown_runtime_names_the_known_ones() -> None:
    reply = ask(PlacementRequest(runtime="onnxrutime", model="m"))
    assert isinstance(reply, ErrorReply)
    assert reply.kind == "UnknownName"
    assert "onnxruntime" in reply.hint


def test_a_fixed_batch_is_not_measured_as_batch_one(tiny_model: TinyModel) -> None:
    with pytest.raises(InvalidInput, match="exactly 4"):
        serve(LatencyRequest(runtime="onnxruntime", model=str(tiny_model(batch=4))))


@pytest.mark.parametrize("batch", [4, "batch"])
def test_batches_are_timed_whole(batch: int | str, tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def infer(_session: OnnxSession, images: Batch) -> Batch:
        sizes.append(len(images))
        return images

    monkeypatch.setattr(OnnxSession, "_infer", infer)
    request = LatencyRequest(runtime="onnxruntime", model=str(tiny_model(batch=batch)), batch_size=4, samples=3)
    reply = serve(request)
    assert isinstance(reply, LatencyReply)
    assert len(reply.samples) == 3
    assert set(sizes) == {4}
    assert [reply.decode, reply.resize, reply.network] == [[], [], []]


@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_query_from_a_photograph_is_timed_in_parts(batch_size: int, tiny_model: TinyModel, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(photograph((300, 400)))
    reply = serve(
        LatencyRequest(
            runtime="onnxruntime",
            model=str(tiny_model()),
            threads=1,
            batch_size=batch_size,
            photo=str(photo),
            preprocessing=Preprocessing(crop=16, resize=18),
            samples=20,
            warmup=2,
        )
    )
    assert isinstance(reply, LatencyReply)
    parts = (reply.decode, reply.resize, reply.network)
    assert [len(part) for part in parts] == [len(reply.samples)] * 3 == [20] * 3
    # A pause of the process between two readings of the clock belongs to no part. So the typical query is compared.
    shares = [sum(of_query) / sample for *of_query, sample in zip(*parts, reply.samples, strict=True)]
    assert max(shares) <= 1 + 1e-9
    assert median(shares) > 0.95


def test_a_photograph_needs_the_preprocessing_of_the_model(tiny_model: TinyModel, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(photograph(64))
    for steps in (None, Preprocessing(crop=18, resize=18)):
        reply = ask(
            LatencyRequest(runtime="onnxruntime", model=str(tiny_model()), photo=str(photo), preprocessing=steps)
        )
        assert isinstance(reply, ErrorReply)
        assert reply.kind == "InvalidInput"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(28, "No space left on device"), "StorageError"),
        (MemoryError(), "Unreachable"),
        (KeyError("x"), "PrunnetError"),
    ],
)
def test_every_error_becomes_a_reply(error: Exception, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Request) -> Reply:
        raise error

    monkeypatch.setattr(_worker, "serve", fail)
    reply = ask(FingerprintRequest())
    assert isinstance(reply, ErrorReply)
    assert reply.kind == kind


@pytest.mark.parametrize(
    "error",
    [
        UnknownName("runtime", "x", ["y"]),
        MissingExtra("openvino", "openvino"),
        UnsupportedPrecision("m", hint="h"),
    ],
)
def test_errors_cross_the_border_unchanged(error: PrunnetError) -> None:
    with pytest.raises(type(error)) as caught:
        raise_again(ErrorReply(kind=type(error).__name__, message=error.message, hint=error.hint))
    assert (caught.value.message, caught.value.hint, str(caught.value)) == (
        error.message,
        error.hint,
        str(error),
    )
    assert caught.value.exit_code == error.exit_code


@pytest.mark.parametrize(
    "kind", ["SystemExit", "os", "", "object", "GateFailed", "VerificationFailed", "Interrupted", "PeerFailed"]
)
def test_a_foreign_error_class_is_not_looked_up(kind: str) -> None:
    with pytest.raises(PrunnetError) as caught:
        raise_again(ErrorReply(kind=kind, message="m"))
    assert type(caught.value) is PrunnetError


def test_standard_output_is_the_reply_alone_and_torch_stays_out(tmp_path: Path) -> None:
    script = tmp_path / "chatty.py"
    script.write_text(
        "import os, sys\n"
        "from prunnet_export.devices import _worker\n"
        "answer = _worker.answer\n"
        "def noisy(document):\n"
        "    print('from python'); sys.stdout.flush(); os.write(1, b'from C')\n"
        "    reply = answer(document)\n"
        "    assert 'torch' not in sys.modules\n"
        "    return reply\n"
        "_worker.answer = noisy\n"
        "_worker.main()\n"
    )
    document = msgspec.json.encode(FingerprintRequest())
    done = subprocess.run([sys.executable, script], input=document, capture_output=True, check=True)
    assert isinstance(msgspec.json.decode(done.stdout, type=Reply), FingerprintReply)
    assert b"from python" in done.stderr
    assert b"from C" in done.stderr
