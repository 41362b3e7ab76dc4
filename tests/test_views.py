from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from prunnet_export.views import _box, view


def photo(width: int = 40, height: int = 30) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    return Image.fromarray(pixels)


def test_view_0_is_the_image() -> None:
    image = photo()
    assert view(image, seed=3, view=0, index=7, flip=True) is image


def test_views_are_those_of_every_release() -> None:
    views = [view(photo(), seed=3, view=number, index=7, flip=True) for number in (1, 2, 3)]
    assert [one.size for one in views] == [(34, 26), (30, 22), (38, 27)]
    digests = [hashlib.sha256(one.tobytes()).hexdigest()[:8] for one in views]
    assert digests == ["0520d36a", "05293a96", "095f0879"]


@pytest.mark.parametrize("changed", [{"seed": 4}, {"view": 2}, {"index": 8}])
def test_every_part_of_the_seed_matters(changed: dict[str, int]) -> None:
    numbers = {"seed": 3, "view": 1, "index": 7}
    one, other = (view(photo(), flip=False, **given) for given in (numbers, {**numbers, **changed}))
    assert one.tobytes() != other.tobytes()


def test_half_of_the_views_are_mirrored_and_none_where_that_is_wrong() -> None:
    mirrored = 0
    for index in range(200):
        plain, flipped = (view(photo(), seed=0, view=1, index=index, flip=flip) for flip in (False, True))
        turned = flipped.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        assert plain.tobytes() in {flipped.tobytes(), turned.tobytes()}
        mirrored += plain.tobytes() != flipped.tobytes()
    assert 70 < mirrored < 130


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(0, 2**32))
def test_the_box_is_inside_and_has_half_of_the_area(width: int, height: int, seed: int) -> None:
    left, top, right, bottom = _box(width, height, np.random.default_rng(seed))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    if min(width, height) >= 100:  # smaller sides are rounded by more than a percent
        across, down = (right - left) / width, (bottom - top) / height
        assert across * down >= 0.5 * 0.98
        assert 3 / 4 * 0.98 <= across / down <= 4 / 3 * 1.02
