from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.evaluating._zeros import layers_in_place
from prunnet_export.runtimes import Model, find_runtime
from prunnet_export.runtimes.ethos_u import EthosU
from prunnet_export.runtimes.ethos_u import _runtime as module_of
from prunnet_export.runtimes.litert import LiteRt, read_tflite
from prunnet_export.target import find_target
from tests.runtimes._embedders import CROP, compile_inputs, embedder, in_torch, inputs, masks
from tests.runtimes.litert._files import converted_before, in_int8, norm_operators

pytest.importorskip("ethosu.vela")
pytest.importorskip("litert_torch")

NAMES = ("model_vela.tflite", "vela.csv", "vela.txt")
BUILT: dict[str, bytes] = {}
Compile = Callable[..., Path]


@pytest.fixture
def compiled(tmp_path: Path, tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Compile:
    """Compiles a subnetwork anew, in a folder of its own."""

    def compile_(pattern: str = "unstructured", capacity: float = 0.4, **options: str) -> Path:
        converted_before(monkeypatch, pattern, capacity)
        folder = Path(mkdtemp(dir=tmp_path))
        given = compile_inputs(embedder(pattern, capacity), **options)
        names = EthosU().compile(tiny_model(size=CROP), folder, precision="int8", inputs=given)
        assert names == NAMES
        return folder / names[0]

    return compile_


@pytest.fixture
def model(compiled: Compile, tmp_path: Path) -> Path:
    """A compiled subnetwork that a test may damage."""
    if not BUILT:
        folder = compiled().parent
        BUILT.update({file.name: file.read_bytes() for file in folder.iterdir()})
    for name, content in BUILT.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path / NAMES[0]


def milliseconds(model: Path) -> float:
    estimate = EthosU().estimate_ms(Model(model, "ethos-u"))
    assert estimate is not None
    return estimate[0]


def test_a_network_becomes_one_command_stream(compiled: Compile, capfd: pytest.CaptureFixture[str]) -> None:
    model = compiled()
    assert {file.name for file in model.parent.iterdir()} == {"model.tflite", *NAMES}
    assert model.with_name("model.tflite").read_bytes() == in_int8()
    by_processor = ("QUANTIZE", "DEQUANTIZE", *norm_operators())
    assert read_tflite(model).operators == ("QUANTIZE", "ethos-u", *by_processor[1:])
    assert EthosU().placement(Model(model, "ethos-u", "int8")) == {"NPU": 29, "CPU": len(by_processor)}
    assert capfd.readouterr() == ("", "")


def test_the_report_names_what_the_processor_runs_and_nothing_of_this_machine(model: Path) -> None:
    report = model.with_name("vela.txt").read_text()
    assert report.startswith(f"Vela {EthosU().version()}\n")
    for operator in ("QUANTIZE", "DEQUANTIZE", *norm_operators()):
        assert f"operator: {operator}," in report
    for name in NAMES:
        content = model.with_name(name).read_bytes()
        assert str(Path.home()).encode() not in content
        assert str(model.parent).encode() not in content
        assert str(Path(module_of.__file__).parents[2]).encode() not in content


def test_estimates_rise_with_the_capacity_and_fall_with_zeros(compiled: Compile) -> None:
    dense = milliseconds(compiled("channel", 1.0))
    assert milliseconds(compiled("channel", 0.4)) < 0.9 * dense
    assert milliseconds(compiled("unstructured", 0.4)) < 0.9 * dense


def test_an_estimate_says_whose_it_is(model: Path) -> None:
    estimate = EthosU().estimate_ms(Model(model, "ethos-u"))
    assert estimate is not None
    assert 0.01 < estimate[0] < 10
    assert estimate[1] == (
        f"Vela {EthosU().version()} for Ethos_U55_256 (Ethos_U55_High_End_Embedded, Shared_Sram, 500 MHz); "
        f"{2 + len(norm_operators())} operators on the processor are not counted"
    )


def test_estimates_are_of_the_accelerator_that_is_asked_for(compiled: Compile) -> None:
    small = EthosU().estimate_ms(Model(compiled(accelerator="ethos-u55-32"), "ethos-u"))
    large = EthosU().estimate_ms(
        Model(
            compiled(
                **{
                    "accelerator": "ethos-u85-512",
                    "system-config": "Ethos_U85_SYS_DRAM_Mid",
                    "memory-mode": "Dedicated_Sram_384KB",
                }
            ),
            "ethos-u",
        )
    )
    assert small is not None
    assert large is not None
    assert small[0] > large[0]
    assert "Ethos_U55_32" in small[1]
    assert "Ethos_U85_512 (Ethos_U85_SYS_DRAM_Mid, Dedicated_Sram_384KB, 1000 MHz)" in large[1]


def test_the_targets_options_are_those_of_vela(compiled: Compile, model: Path) -> None:
    target = find_target("ethos-u55")
    assert target.runtime == "ethos-u"
    assert milliseconds(compiled(**target.options)) == milliseconds(model)


def test_builds_are_the_same_byte_for_byte(compiled: Compile) -> None:
    first, second = compiled(), compiled(accelerator="ethos-u55-256")
    for name in NAMES:
        assert first.with_name(name).read_bytes() == second.with_name(name).read_bytes()


def test_files_of_the_users_folder_are_not_imported(
    compiled: Compile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "csv.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path)
    assert compiled().is_file()


def test_the_twin_is_the_int8_file(model: Path) -> None:
    twin = EthosU().twin(Model(model, "ethos-u", "int8"))
    assert twin is not None
    assert (twin.runtime, twin.precision) == ("litert", "int8")
    assert twin.file.name not in NAMES
    session = LiteRt().open(Model(twin.file, "litert", "int8"), threads=1)
    got = np.concatenate([session.run(image[None]) for image in inputs(4)])
    assert (got * in_torch(embedder(), inputs(4))).sum(axis=1).min() > 0.99


def test_without_its_file_there_is_no_twin(tmp_path: Path) -> None:
    assert EthosU().twin(Model(tmp_path / NAMES[0], "ethos-u", "int8")) is None


def test_zeros_are_in_their_places(model: Path) -> None:
    places = masks("unstructured", 0.4)
    weights = EthosU().read_weights(Model(model, "ethos-u"))
    assert layers_in_place(places, weights.values()) == len(places) > 0


def test_nothing_here_runs_it(model: Path) -> None:
    assert "firmware" in EthosU().obstacle()
    with pytest.raises(InvalidInput, match="firmware") as caught:
        EthosU().open(Model(model, "ethos-u", "int8"))
    assert "litert" in caught.value.hint


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accelerator": "ethos-u99"}, "invalid choice: 'ethos-u99'"),
        ({"acelerator": "ethos-u55-32"}, "no option 'acelerator'"),
        ({"system-config": "Ethos_U55_High_End_Embedded"}, "'system-config' alone"),
        ({"system-config": "Nowhere", "memory-mode": "Shared_Sram"}, "System_Config.Nowhere not found"),
    ],
)
def test_options_that_vela_does_not_have_are_one_line(
    options: dict[str, str], message: str, compiled: Compile, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        compiled(**options)
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 250
    assert caught.value.hint
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("content", [None, b"", b"garbage", b"\xff\xfe"])
def test_damaged_files_are_one_line(name: str, content: bytes | None, model: Path) -> None:
    if content is None:
        model.with_name(name).unlink()
    else:
        model.with_name(name).write_bytes(content)
    use = EthosU().estimate_ms if name == "vela.csv" else EthosU().placement
    with pytest.raises(InvalidInput) as caught:
        use(Model(model, "ethos-u", "int8"))
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_a_report_of_another_model_is_noticed(model: Path) -> None:
    report = model.with_name("vela.txt")
    count = 2 + len(norm_operators())
    report.write_text(report.read_text().replace(f"CPU operators = {count}", "CPU operators = 0"))
    with pytest.raises(InvalidInput, match=f"leaves {count} operators to the processor"):
        EthosU().placement(Model(model, "ethos-u", "int8"))


def test_is_found_by_its_name_and_gains_from_zeros() -> None:
    runtime = find_runtime("ethos-u")
    assert isinstance(runtime, EthosU)
    assert runtime.ignored("unstructured") is None
