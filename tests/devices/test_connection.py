"""What a board may not do, without sshd."""

from __future__ import annotations

import io
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from prunnet_export._errors import InvalidInput, PrunnetError, Unreachable
from prunnet_export.devices import _connection, embed, layer_times, measure_latency, peak_memory_mb, placement
from prunnet_export.devices._ssh import SshDevice
from prunnet_export.runtimes import Model
from tests.devices._hostile import Hostile

TinyModel = Callable[..., Path]
IMAGES = np.zeros((2, 3, 16, 16), np.float32)
ROOM = 2**30  # bytes that a request may take beside what the tests have taken


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    """Memory is short, so a request that believes a size fails."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + ROOM, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture(autouse=True)
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """A silent board is given up after a second."""
    for name, seconds in (("_SILENCE_S", 1.0), ("_ANSWER_S", 2.0), ("_HANG_UP_S", 1.0)):
        monkeypatch.setattr(_connection, name, seconds)


def refused(ask: Callable[[], object], message: str) -> None:
    """The request fails with exit code 3, in one line, and soon."""
    begin = time.monotonic()
    with pytest.raises(PrunnetError, match=message) as caught:
        ask()
    assert type(caught.value) is Unreachable or caught.value.exit_code == Unreachable.exit_code
    assert caught.value.hint
    assert "\n" not in caught.value.message + caught.value.hint
    assert len(caught.value.message) < 3000
    assert time.monotonic() - begin < 20


@pytest.mark.parametrize(
    "program",
    [
        """greet(); asked(); send(b'{"code":0,"reply":-1}\\n'); flood()""",
        """greet(); asked(); send(b'{"code":0,"reply":4611686018427387904}\\n'); flood()""",
        """greet(); asked(); send(b'{"code":0,"reply":16777217}\\n'); flood()""",
        """greet(); asked(); send(b'{"code":0,"reply":2,"errors":-1}\\n{}'); flood()""",
        """greet(); asked(); send(b'{"code":0,"reply":0,"errors":70000}\\n'); flood()""",
        """greet(); asked(); send(b'{"code":0,"reply":2,"output":5}\\n{}'); flood()""",
        """greet(); asked(); send(b'garbage\\xff\\n'); host.read()""",
        """greet(); asked(); send(b'{"z":' + b"[" * 60000 + b"\\n"); host.read()""",
        """greet(); asked(); send(b'{"error":"\\xff\\xfe"}\\n'); host.read()""",
        """greet(); asked(); send(b'{"error":"' + b"x" * 2000 + b'"}\\n'); host.read()""",
        """greet(); asked(); flood()""",
    ],
)
def test_an_answer_that_is_none(program: str, hostile: Hostile) -> None:
    refused(hostile(program).fingerprint, "sent what is no answer")


@pytest.mark.parametrize(
    "program",
    [
        "flood()",
        "greet(filler='x' * 70_000)",
        """send(b'prunnet-export {"version":"' + b"y" * 60000 + b'"}\\n'); host.read()""",
        """send(b'prunnet-export {"version":' + b"[" * 60000 + b"\\n"); host.read()""",
        "for _ in range(2000): send(b'prunnet-export\\n')",
        "exit(255)",
    ],
)
def test_a_greeting_that_is_none(program: str, hostile: Hostile) -> None:
    refused(hostile(program).fingerprint, "no greeting|ssh cannot connect")


def test_a_flood_of_errors_is_not_kept(hostile: Hostile) -> None:
    program = "for _ in range(1500): os.write(2, bytes(2**20))\nos.write(2, b'\\nPermission denied\\n'); exit(255)"
    refused(hostile(program).fingerprint, "does not let us in")


def test_a_greeting_after_a_prompt_without_line_feed_is_found(hostile: Hostile) -> None:
    device = hostile("send(b'\\033[0mWelcome to prunnet-export \\033[1m'); greet(); asked(); flood()")
    refused(device.fingerprint, "sent what is no answer")  # so it was greeted


@pytest.mark.parametrize(
    "program",
    [
        """send(b'prunnet-export {"version":')""",
        "greet()",
        "greet(); asked()",
        """greet(); asked(); send(b'{"code":0,')""",
        """greet(); asked(); send(b'{"code":0,"reply":9}\\n{')""",
    ],
)
def test_a_board_that_falls_silent(program: str, hostile: Hostile) -> None:
    refused(hostile(f"{program}; time.sleep(60)").fingerprint, "was silent for 1 s")


def test_heartbeats_prove_life_only_until_the_time_is_up(hostile: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_connection, "_GRACE_S", -57.0)
    device = hostile("greet(); asked()\nwhile True: send(b'\\n'); time.sleep(0.1)")
    refused(device.fingerprint, "did not answer within 3 s")


@pytest.mark.parametrize("width", [8, 50_000])
def test_a_file_that_is_not_taken(width: int, hostile: Hostile, tiny_model: TinyModel) -> None:
    device = hostile("greet(); time.sleep(60)")
    refused(lambda: placement(device, Model(tiny_model(width=width), "onnxruntime")), "was silent for 1 s")


@pytest.mark.parametrize(
    "kind",
    ["GateFailed", "VerificationFailed", "Interrupted", "PrunnetError", "PeerFailed", "ConnectionLostError", "Nope"],
)
def test_a_board_does_not_choose_the_exit_code(kind: str, hostile: Hostile) -> None:
    device = hostile(f"""answer(b'{{"type":"error","kind":"{kind}","message":"' + b"x" * 100_000 + b'"}}')""")
    refused(device.fingerprint, r"^xx.*on ssh://board\)$")


def test_a_board_may_say_that_an_input_is_wrong(hostile: Hostile) -> None:
    device = hostile("""answer(b'{"type":"error","kind":"InvalidInput","message":"no"}')""")
    with pytest.raises(InvalidInput, match=r"no \(on ssh://board\)"):
        device.fingerprint()


@pytest.mark.parametrize(
    "reply", [r"\xff\xfe{{{", r"""{"type":"error","kind":"\xff","message":"x"}""", '{"type":' + "[" * 3000, ""]
)
def test_a_reply_that_is_none(reply: str, hostile: Hostile) -> None:
    refused(hostile(f"answer(b'''{reply}''')").fingerprint, "no reply")


def npy(array: npt.NDArray[np.generic], **options: bool) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def claimed(header: str) -> bytes:
    return b"\x93NUMPY\x01\x00\x76\x00" + header.encode().ljust(0x75) + b"\n"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"garbage",
        b"PK\x05\x06" + bytes(18),
        npy(np.zeros((1, 7), np.float32)),
        npy(np.zeros((2, 8), np.float64)),
        npy(np.zeros((2, 8), ">f4")),
        npy(np.zeros((2, 8), "S4")),
        npy(np.zeros((8, 2), np.float32).T),
        npy(np.zeros((2, 8), np.float32)) + b"more",
        npy(np.zeros((2, 8), np.float32))[:-1],
        npy(np.array([{}], object), allow_pickle=True),
        claimed("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 100000), }"),
        claimed("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 8), }"),
        claimed("(" * 100),
        claimed("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (-1, 1e9)}"),
    ],
)
def test_embeddings_that_are_none(content: bytes, hostile: Hostile, tiny_model: TinyModel) -> None:
    device = hostile(f"""answer(b'{{"type":"embed-reply","count":2,"dim":8}}', {content!r})""")
    model = Model(tiny_model(), "onnxruntime")
    refused(lambda: embed(device, model, IMAGES), "did not write 2 embeddings of 8 numbers")


@pytest.mark.parametrize("value", [0.5, np.nan])
def test_embeddings_are_what_the_board_wrote(value: float, hostile: Hostile, tiny_model: TinyModel) -> None:
    content = npy(np.full((2, 8), value, np.float32))
    device = hostile(f"""answer(b'{{"type":"embed-reply","count":2,"dim":8}}', {content!r})""")
    np.testing.assert_array_equal(embed(device, Model(tiny_model(), "onnxruntime"), IMAGES), np.full((2, 8), value))


@pytest.mark.parametrize(
    ("ask", "reply"),
    [
        (measure_latency, '"latency-reply","samples":[],"runtime_version":"1"'),
        (measure_latency, '"latency-reply","samples":[-1,2],"runtime_version":"1"'),
        (measure_latency, '"latency-reply","samples":[0],"runtime_version":"1"'),
        (measure_latency, f'"latency-reply","samples":[{",".join(["1e308"] * 200)}],"runtime_version":"1"'),
        (measure_latency, f'"latency-reply","samples":[1],"runtime_version":"{"v" * 1000}"'),
        (placement, '"placement-reply","nodes":{"CPU":-5}'),
        (peak_memory_mb, '"memory-reply","peak_mb":-1e300,"source":"x"'),
        (peak_memory_mb, '"memory-reply","peak_mb":1e400,"source":"x"'),
        (layer_times, '"layer-times-reply","milliseconds":{"a":1e300}'),
        (embed, '"embed-reply","count":2,"dim":0'),
        (embed, '"embed-reply","count":2,"dim":100000000'),
    ],
)
def test_figures_that_cannot_be(
    ask: Callable[..., object], reply: str, hostile: Hostile, tiny_model: TinyModel
) -> None:
    device, model = hostile(f"""answer(b'{{"type":{reply}}}')"""), Model(tiny_model(), "onnxruntime")
    more = (IMAGES,) if ask is embed else ()
    refused(lambda: ask(device, [model] if ask is measure_latency else model, *more), "no reply")


def test_a_connection_that_failed_is_made_again(hostile: Hostile) -> None:
    device = hostile("greet(); asked(); send(b'x\\n'); host.read()")
    for _ in range(2):
        refused(device.fingerprint, "sent what is no answer")
    assert isinstance(device, SshDevice)
