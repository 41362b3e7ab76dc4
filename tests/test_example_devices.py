"""The examples for devices without Python: their resize gives Pillow's bytes, and their vectors are the golden ones.

These tests are slow. ``make test-devices`` fetches what they need from npm; it needs g++, CMake, stb and Node.js.
"""

from __future__ import annotations

import json
import os
import shutil
import struct
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prunnet_export.artifact import Manifest, read_manifest
from prunnet_export.preprocessing import Preprocessing
from tests._cli import environment, shell, tiny_data, tiny_network
from tests._tools import TOOLS, needs

__all__ = ["environment", "tiny_data", "tiny_network"]

EXAMPLES = Path(__file__).parents[1] / "examples" / "devices"
STB = Path(os.environ.get("PRUNNET_TESTS_INCLUDE", "/usr/include")) / "stb" / "stb_image.h"
HAS_CXX = all(map(shutil.which, ("g++", "cmake"))) and STB.is_file()
HAS_NODE = shutil.which("node") is not None and (TOOLS / "node_modules" / "onnxruntime-node").is_dir()
CLOSE = 1e-4

needs_cxx = needs("CXX", there=HAS_CXX, reason="make test-devices needs or fetches it")
needs_node = needs("NODE", there=HAS_NODE, reason="make test-devices needs or fetches it")
pytestmark = pytest.mark.slow

Crop = Callable[[Preprocessing, Image.Image], bytes]
Export = Callable[[str, str], tuple[Path, Manifest]]


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """The output of a command that succeeds."""
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, cwd=cwd, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


CPP_DRIVER = """
#include <cstdio>
#include <cstdlib>
#include "preprocess.hpp"
int main(int, char** w) {
    Image image{std::atoi(w[1]), std::atoi(w[2]), {}};
    image.rgb.resize(3ULL * image.height * image.width);
    FILE* in = std::fopen(w[8], "rb");
    if (std::fread(image.rgb.data(), 1, image.rgb.size(), in) != image.rgb.size()) return 1;
    const Image out = cropped(image, {w[3], std::atoi(w[4]), std::atoi(w[5]), std::atoi(w[6]), std::atoi(w[7])});
    FILE* to = std::fopen(w[9], "wb");
    std::fwrite(out.rgb.data(), 1, out.rgb.size(), to);
    return std::fclose(to);
}
"""

JS_DRIVER = """
import { readFileSync, writeFileSync } from "node:fs";
import { cropped } from "./preprocess.mjs";
const [height, width, fit, fh, fw, ch, cw, from, to] = process.argv.slice(2);
const image = { height: +height, width: +width, rgb: new Uint8Array(readFileSync(from)) };
writeFileSync(to, cropped(image, { fit, resize: [+fh, +fw], crop: [+ch, +cw] }).rgb);
"""


def words_of(steps: Preprocessing) -> list[str]:
    return [steps.fit, *map(str, (*steps.frame, *steps.size))]


@pytest.fixture(scope="module", params=[pytest.param("cpp", marks=needs_cxx), pytest.param("js", marks=needs_node)])
def crop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Crop:
    """Resizes and crops an image by the code of an example."""
    home = tmp_path_factory.mktemp(request.param)
    if request.param == "cpp":
        (home / "driver.cpp").write_text(CPP_DRIVER, encoding="utf-8")
        flags = ["-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", f"-I{EXAMPLES}"]
        run("g++", *flags, home / "driver.cpp", "-o", home / "driver")
        command = [str(home / "driver")]
    else:
        (home / "driver.mjs").write_text(JS_DRIVER, encoding="utf-8")
        shutil.copy(EXAMPLES / "preprocess.mjs", home)
        command = ["node", str(home / "driver.mjs")]

    def by_example(steps: Preprocessing, image: Image.Image) -> bytes:
        (home / "in").write_bytes(image.tobytes())
        size = (str(image.height), str(image.width))
        run(*command, *size, *words_of(steps), home / "in", home / "out")
        return (home / "out").read_bytes()

    return by_example


CASES = [
    ((60, 40), Preprocessing(crop=32, resize=36)),
    ((37, 91), Preprocessing(crop=32, resize=32)),
    ((20, 15), Preprocessing(crop=32, resize=40)),  # larger
    ((36, 36), Preprocessing(crop=31, resize=36)),  # only cropped
    ((300, 201), Preprocessing(crop=(64, 32), resize=(72, 33))),
    ((85, 70), Preprocessing(crop=(64, 32), resize=(64, 32), fit="squash")),
    ((85, 70), Preprocessing(crop=(24, 48), resize=(24, 48), fit="pad")),
    ((5, 400), Preprocessing(crop=16, resize=16, fit="pad")),
    ((4, 900), Preprocessing(crop=16, resize=16)),  # so long that its middle is cut out first
    ((900, 3), Preprocessing(crop=(16, 24), resize=(16, 24))),
    ((1, 1), Preprocessing(crop=8, resize=9)),
    ((45, 75), Preprocessing(crop=20, resize=30)),  # sides of 50, and of 12.5 at another size: half to even
    ((30, 75), Preprocessing(crop=5, resize=5)),
]


@pytest.mark.parametrize(("size", "steps"), CASES, ids=str)
def test_resized_to_the_same_bytes_as_in_pillow(size: tuple[int, int], steps: Preprocessing, crop: Crop) -> None:
    draw = np.random.default_rng(size)
    image = Image.fromarray(draw.choice(np.array([0, 1, 127, 254, 255], np.uint8), (*size, 3)))
    assert crop(steps, image) == steps.cropped(image).tobytes()


@pytest.fixture(scope="module")
def export(
    tiny_network: Path, tiny_data: Path, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Export:
    """Makes an artifact for a target in a precision."""

    @cache
    def make(target: str, precision: str) -> tuple[Path, Manifest]:
        place = tmp_path_factory.mktemp("dist") / target
        given = [f"--network={tiny_network}", f"--data={tiny_data}", "--min-recall=0", "--threads=1", f"--out={place}"]
        words = [f"--target={target}", f"--precision={precision}", "--budget-ms=1000", "--query-images=pixels"]
        ran = shell(environment, "prunnet-export", *words, *given)
        assert ran.code == 0, ran.err
        return place, read_manifest(place)

    return make


@pytest.fixture(scope="module", params=["fp32", "int8"])
def for_onnxruntime(request: pytest.FixtureRequest, export: Export) -> tuple[Path, Manifest]:
    """An artifact for ONNX Runtime."""
    return export("x86-onnxruntime", request.param)


@pytest.fixture(scope="module", params=["fp32", "int8"])
def for_openvino(request: pytest.FixtureRequest, export: Export) -> tuple[Path, Manifest]:
    """An artifact for OpenVINO."""
    return export("x86-openvino", request.param)


@pytest.fixture(scope="module")
def by_openvino(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program of the C++ example, built as its CMakeLists.txt says, with the OpenVINO of this environment."""
    import openvino

    build, cmake = tmp_path_factory.mktemp("build"), Path(openvino.__file__).parent / "cmake"
    run("cmake", "-S", EXAMPLES, "-B", build, f"-DOpenVINO_DIR={cmake}")
    run("cmake", "--build", build)
    return build / "embed_openvino"


def golden_words(place: Path, manifest: Manifest) -> list[str | Path]:
    assert manifest.golden is not None
    return [place / manifest.entry, place / manifest.golden.image, *words_of(manifest.preprocessing)]


@needs_cxx
def test_cpp_gives_the_golden_vector_from_the_png(for_openvino: tuple[Path, Manifest], by_openvino: Path) -> None:
    place, manifest = for_openvino
    assert manifest.golden is not None
    said = run(by_openvino, *golden_words(place, manifest), place / manifest.golden.output)
    assert float(said.removeprefix("largest difference ")) <= CLOSE
    printed = [float(line) for line in run(by_openvino, *golden_words(place, manifest)).splitlines()]
    golden = np.fromfile(place / manifest.golden.output, "<f4")
    np.testing.assert_allclose(printed, golden, rtol=0, atol=CLOSE)


@needs_cxx
def test_cpp_reads_an_artifact_for_onnx_runtime_too(export: Export, by_openvino: Path) -> None:
    place, manifest = export("x86-onnxruntime", "fp32")
    assert manifest.golden is not None
    said = run(by_openvino, *golden_words(place, manifest), place / manifest.golden.output)
    assert float(said.removeprefix("largest difference ")) <= CLOSE


@needs_cxx
def test_cpp_fails_for_another_vector(for_openvino: tuple[Path, Manifest], by_openvino: Path, tmp_path: Path) -> None:
    place, manifest = for_openvino
    (tmp_path / "other.f32").write_bytes(struct.pack("<f", 0.25) * manifest.network.embedding_dim)
    words = [by_openvino, *golden_words(place, manifest), tmp_path / "other.f32"]
    assert subprocess.run([str(word) for word in words], capture_output=True, check=False).returncode == 1


@pytest.fixture
def embed_mjs(tmp_path: Path) -> Path:
    """The JavaScript example, beside its packages."""
    for name in ("embed.mjs", "preprocess.mjs"):
        shutil.copy(EXAMPLES / name, tmp_path)
    (tmp_path / "node_modules").symlink_to(TOOLS / "node_modules")
    return tmp_path / "embed.mjs"


@needs_node
def test_javascript_gives_the_golden_vector_from_the_png(
    for_onnxruntime: tuple[Path, Manifest], embed_mjs: Path
) -> None:
    place, manifest = for_onnxruntime
    assert manifest.golden is not None
    assert float(run("node", embed_mjs, place).removeprefix("largest difference ")) <= CLOSE
    printed = json.loads(run("node", embed_mjs, place, place / manifest.golden.image))
    golden = np.fromfile(place / manifest.golden.output, "<f4")
    np.testing.assert_allclose(printed, golden, rtol=0, atol=CLOSE)
