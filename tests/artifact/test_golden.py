from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.artifact import GoldenEntry, GoldenPair, read_golden, write_golden
from tests._asserts import assert_one_line

_DRAW = np.random.default_rng(0)
PAIR = GoldenPair(b"a PNG", _DRAW.integers(0, 256, (2, 3, 3), np.uint8), _DRAW.normal(size=4).astype(np.float32))


def test_plain_files_without_headers(tmp_path: Path) -> None:
    assert write_golden(tmp_path, PAIR) == GoldenEntry()
    assert (tmp_path / "golden" / "pixels.u8").read_bytes() == PAIR.pixels.tobytes()
    assert np.fromfile(tmp_path / "golden" / "output.f32", "<f4").tolist() == PAIR.output.tolist()
    found = read_golden(tmp_path, GoldenEntry(), size=(2, 3), dim=4)
    assert found.image == PAIR.image
    np.testing.assert_array_equal(found.pixels, PAIR.pixels, strict=True)
    np.testing.assert_array_equal(found.output, PAIR.output, strict=True)


@pytest.mark.parametrize(
    ("size", "dim", "message"), [((2, 4), 4, "18 bytes, the manifest asks for 24"), ((2, 3), 5, "16 bytes, the")]
)
def test_another_length_is_refused(size: tuple[int, int], dim: int, message: str, tmp_path: Path) -> None:
    write_golden(tmp_path, PAIR)
    with pytest.raises(InvalidInput, match=message) as caught:
        read_golden(tmp_path, GoldenEntry(), size=size, dim=dim)
    assert_one_line(caught.value)


@pytest.mark.parametrize("name", ["input.png", "pixels.u8", "output.f32"])
def test_a_missing_file_is_named(name: str, tmp_path: Path) -> None:
    write_golden(tmp_path, PAIR)
    (tmp_path / "golden" / name).unlink()
    with pytest.raises(InvalidInput, match=name):
        read_golden(tmp_path, GoldenEntry(), size=(2, 3), dim=4)
