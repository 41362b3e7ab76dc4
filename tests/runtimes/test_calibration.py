from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.runtimes import Batch, CompileInputs
from prunnet_export.runtimes._calibration import MAX_IMAGES, MIN_IMAGES, calibration_images


def batches(*sizes: int) -> Iterator[Batch]:
    """Images that are filled with their number over 1000."""
    first = 0
    for size in sizes:
        numbers = np.arange(first, first + size, dtype=np.float32) / 1000
        yield np.broadcast_to(numbers[:, None, None, None], (size, 3, 4, 4))
        first += size


@pytest.mark.parametrize("sizes", [(MIN_IMAGES,), (3, 1, 0, 40), (250, 50), (299, 2), (250, 250), (1,) * 400])
def test_the_first_images_are_taken_one_by_one(sizes: tuple[int, ...]) -> None:
    images = calibration_images(CompileInputs(images=lambda: batches(*sizes)))
    assert {image.shape for image in images} == {(1, 3, 4, 4)}
    numbers = [round(float(image[0, 0, 0, 0]) * 1000) for image in images]
    assert numbers == list(range(min(MAX_IMAGES, sum(sizes))))


def test_no_more_images_are_made_than_are_taken() -> None:
    def endless() -> Iterator[Batch]:
        yield from batches(200, 100)
        pytest.fail("a batch beyond the last image was asked for")

    assert len(calibration_images(CompileInputs(images=endless))) == MAX_IMAGES


@pytest.mark.parametrize("given", [None, CompileInputs()])
def test_without_inputs_it_is_said_what_is_missing(given: CompileInputs | None) -> None:
    with pytest.raises(InvalidInput, match="needs real images") as caught:
        calibration_images(given)
    assert "prunnet-export" in caught.value.hint


@pytest.mark.parametrize("sizes", [(), (0,), (MIN_IMAGES - 1,), (2, 2)])
def test_too_few_images(sizes: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match=f"{sum(sizes)} calibration images; INT8 needs {MIN_IMAGES}"):
        calibration_images(CompileInputs(images=lambda: batches(*sizes)))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_an_image_that_is_not_finite(value: float) -> None:
    [broken] = [batch.copy() for batch in batches(MIN_IMAGES)]
    broken[-1, 2, 3, 3] = value
    with pytest.raises(InvalidInput, match="NaN or infinity"):
        calibration_images(CompileInputs(images=lambda: [broken]))


@pytest.mark.parametrize(("factor", "shown"), [(255, r"0\.\.1\.785"), (-1, r"-0\.007\.\.")])
def test_images_that_were_scaled_otherwise(factor: float, shown: str) -> None:
    with pytest.raises(InvalidInput, match=shown):
        calibration_images(CompileInputs(images=lambda: [batch * np.float32(factor) for batch in batches(MIN_IMAGES)]))


@pytest.mark.parametrize(
    "batch",
    [
        np.zeros((8, 3, 4, 4)),
        np.zeros((8, 3, 4, 4), np.uint8),
        np.zeros((3, 4, 4), np.float32),
        np.zeros((8, 1, 4, 4), np.float32),
        np.zeros((8, 4, 4, 3), np.float32),
    ],
)
def test_a_batch_of_something_else(batch: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match=f"a calibration batch is {batch.dtype}"):
        calibration_images(CompileInputs(images=lambda: [batch]))
