from __future__ import annotations

from dataclasses import replace

import pytest

from prunnet_export.benchmarks.page._neighbours import _is_image
from prunnet_export.evaluating import ChosenImages
from prunnet_export.preprocessing import Preprocessing
from tests._inputs import array_split, retrieval_data
from tests.evaluating.test_reference import REFERENCE


@pytest.mark.parametrize("pixels", [False, True])
def test_an_image_is_known_by_its_file_or_by_its_pixels(*, pixels: bool) -> None:
    split = array_split(3)
    files = tuple(split.encoded(index) for index in range(3))
    steps = Preprocessing(crop=4, resize=4)
    images = ChosenImages(retrieval_data(), steps, 3, 3)
    reference = replace(REFERENCE, images=files)
    kept = reference.without_files(steps) if pixels else reference
    assert (kept.images != files) == pixels
    assert [_is_image(files[index], kept, index, images) for index in range(3)] == [True] * 3
    assert not _is_image(files[0], kept, 1, images)
