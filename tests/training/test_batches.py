"""Batches: the same ones after an interruption, on any number of ranks and in worker processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from prunnet_export._errors import InvalidInput, Unreachable
from prunnet_export.preprocessing import Fit, Preprocessing
from prunnet_export.training._batches import Batch, Targets, TrainingBatches
from prunnet_export.training.data._arrays import ArraySplit
from prunnet_export.training.data._files import FileSplit

N = 22
PREPROCESSING = Preprocessing(crop=8, resize=10)


def _split(height: int = 12, width: int = 15) -> ArraySplit:
    pixels = np.random.default_rng(0).integers(0, 256, (N, height, width, 3), np.uint8)
    return ArraySplit(pixels, np.arange(N))  # the label says which image it is


def _batches(batch_size: int = 4, **options: Any) -> TrainingBatches:
    flip = bool(options.pop("flip", 1))
    return TrainingBatches(_split(), PREPROCESSING, batch_size=batch_size, flip=flip, **options)


def assert_same_batches(first: list[Batch], second: list[Batch]) -> None:
    assert len(first) == len(second)
    for (images, labels, _), (other_images, other_labels, _) in zip(first, second, strict=True):
        assert torch.equal(labels, other_labels)
        assert torch.equal(images, other_images)


def joined(batches: Sequence[Batch]) -> Batch:
    return Batch(torch.cat([one.images for one in batches]), torch.cat([one.labels for one in batches]))


def _labels(batches: list[Batch]) -> list[int]:
    return [int(label) for _, labels, _ in batches for label in labels]


class TestTrainingBatches:
    def test_shapes_types_and_range(self) -> None:
        batches = list(_batches().epoch(0))
        assert len(batches) == len(_batches()) == N // 4
        for images, labels, _ in batches:
            assert images.shape == (4, 3, 8, 8)
            assert images.dtype == torch.float32
            assert labels.dtype == torch.int64
            assert 0 <= float(images.min()) <= float(images.max()) <= 1
            assert images.is_contiguous(memory_format=torch.channels_last)

    def test_no_image_twice_in_an_epoch(self) -> None:
        labels = _labels(list(_batches().epoch(0)))
        assert len(set(labels)) == len(labels) == 20

    def test_same_seed_and_epoch_same_batches(self) -> None:
        assert_same_batches(list(_batches(seed=3).epoch(2)), list(_batches(seed=3).epoch(2)))

    def test_seed_and_epoch_change_order_and_crops(self) -> None:
        base, epoch, seed = (list(_batches(seed=s).epoch(e)) for s, e in ((0, 0), (0, 1), (1, 0)))
        assert _labels(base) != _labels(epoch) != _labels(seed) != _labels(base)
        pictures = [{int(y): x for xs, ys, _ in part for x, y in zip(xs, ys, strict=True)} for part in (base, epoch)]
        common = pictures[0].keys() & pictures[1].keys()
        assert any(not torch.equal(pictures[0][label], pictures[1][label]) for label in common)

    @settings(max_examples=25, deadline=None)
    @given(epoch=st.integers(0, 1000), start=st.integers(0, 5), history=st.integers(0, 3))
    def test_resumed_in_mid_epoch(self, epoch: int, start: int, history: int) -> None:
        whole = list(_batches().epoch(epoch))
        resumed = _batches()
        for before in range(history):  # what ran before does not matter
            next(iter(resumed.epoch(before)))
        assert_same_batches(list(resumed.epoch(epoch, start_batch=start)), whole[start:])

    def test_augmentation_does_not_depend_on_the_batch_size(self) -> None:
        small, large = list(_batches(2).epoch(0)), list(_batches(11).epoch(0))
        assert torch.equal(joined(small).images, joined(large).images)

    @pytest.mark.parametrize("world_size", [2, 3])
    def test_ranks_share_one_permutation(self, world_size: int) -> None:
        ranks = [list(_batches(3, rank=rank, world_size=world_size).epoch(1)) for rank in range(world_size)]
        together = [joined(step) for step in zip(*ranks, strict=True)]
        assert_same_batches(together, list(_batches(3 * world_size).epoch(1)))

    @pytest.mark.parametrize(("world_size", "accumulate"), [(1, 3), (2, 2), (3, 1)])
    def test_micro_batches_of_all_ranks_are_the_batch_in_order(self, world_size: int, accumulate: int) -> None:
        size = 12 // (world_size * accumulate)
        ranks = [list(_batches(size, rank=rank, world_size=world_size).epoch(1)) for rank in range(world_size)]
        micro_batches = [batch for together in zip(*ranks, strict=True) for batch in together]
        step = micro_batches[: world_size * accumulate]
        [whole] = _batches(12).epoch(1)
        assert_same_batches([joined(step)], [whole])

    def test_mirrored_only_where_that_keeps_the_class(self) -> None:
        square = Preprocessing(crop=12, resize=12)
        split = _split(12, 12)
        plain = torch.from_numpy(square([split.image(index) for index in range(N)]))
        for flip in (False, True):
            (images, labels, _), *_ = TrainingBatches(split, square, batch_size=N, flip=flip).epoch(0)
            same = [torch.equal(image, plain[label]) for image, label in zip(images, labels, strict=True)]
            mirrored = [torch.equal(image.flip(2), plain[label]) for image, label in zip(images, labels, strict=True)]
            assert all(one or other for one, other in zip(same, mirrored, strict=True))
            assert any(mirrored) == flip
            assert any(same)

    def test_crops_reach_every_edge_and_resize_as_the_device_does(self) -> None:
        preprocessing = Preprocessing(crop=5, resize=6)
        ramp = np.tile(np.arange(0, 240, 10, dtype=np.uint8), (12, 1))[None].repeat(
            64, axis=0
        )  # 12 x 24, rising to the right
        split = ArraySplit(ramp, np.zeros(64, np.int64))
        (images, *_), *_ = TrainingBatches(split, preprocessing, batch_size=64).epoch(0)
        starts = {round(float(image[0, 0, 0]), 4) for image in images}
        wide = Preprocessing(crop=6, resize=6).cropped(split.image(0))
        assert len(starts) == 12 - 5 + 1  # 12 columns after resizing
        assert {round(float(np.asarray(wide)[0, column, 0]) / 255, 4) for column in range(5)} & starts

    def test_torch_global_generator_is_left_alone(self) -> None:
        before = torch.get_rng_state()
        list(_batches().epoch(0))
        assert torch.equal(torch.get_rng_state(), before)

    @pytest.mark.parametrize(
        "options",
        [
            {"batch_size": 0},
            {"seed": -1},
            {"rank": 2, "world_size": 2},
            {"rank": -1},
            {"world_size": 0},
            {"workers": -1},
        ],
    )
    def test_numbers_out_of_range(self, options: dict[str, int]) -> None:
        with pytest.raises(InvalidInput) as caught:
            _batches(**options)
        assert caught.value.hint

    def test_too_few_images(self) -> None:
        with pytest.raises(InvalidInput, match="22 images do not fill a batch of 12 on 2"):
            _batches(12, world_size=2)

    @pytest.mark.parametrize(("epoch", "start"), [(-1, 0), (0, -1), (0, 6)])
    def test_no_such_batch_is_refused_before_the_first_one_is_asked_for(self, epoch: int, start: int) -> None:
        with pytest.raises(InvalidInput, match="there is no batch"):
            _batches().epoch(epoch, start_batch=start)


class TestWorkers:
    def test_same_batches_over_epochs_and_after_an_epoch_was_left(self) -> None:
        plain, served = _batches(), _batches(workers=1)
        assert_same_batches(list(served.epoch(0)), list(plain.epoch(0)))
        next(iter(served.epoch(1)))
        assert_same_batches(list(served.epoch(2, start_batch=3)), list(plain.epoch(2, start_batch=3)))

    @pytest.mark.parametrize("workers", [0, 1])
    def test_broken_image_is_named(self, tmp_path: Path, workers: int) -> None:
        for index in range(4):
            Image.new("RGB", (12, 12)).save(tmp_path / f"{index}.png")
        (tmp_path / "2.png").write_bytes(b"no image")
        split = FileSplit([tmp_path / f"{index}.png" for index in range(4)], [0, 0, 1, 1], root=tmp_path)
        with pytest.raises(InvalidInput) as caught:
            list(TrainingBatches(split, PREPROCESSING, batch_size=4, workers=workers).epoch(0))
        assert caught.value.message.startswith(f"{tmp_path / '2.png'}: not a readable image")
        assert caught.value.hint
        assert "\n" not in caught.value.message


def test_a_worker_that_was_killed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = _batches()

    class Killed:
        num_workers = 1

        def __iter__(self) -> Iterator[object]:
            raise RuntimeError("DataLoader worker (pid 1) is killed by signal: Killed.")

    monkeypatch.setattr(batches, "_loader", Killed())
    with pytest.raises(Unreachable, match="was killed") as caught:
        list(batches.epoch(0))
    assert "--workers" in caught.value.hint


class TestRectangles:
    @pytest.mark.parametrize("fit", ["crop", "squash", "pad"])
    @pytest.mark.parametrize("views", [0, 2])
    def test_images_are_as_high_and_as_wide_as_the_crop(self, fit: Fit, views: int) -> None:
        preprocessing = Preprocessing(crop=(12, 6), resize=(14, 8), fit=fit)
        targets = _Zeros(views)
        [first, *_] = TrainingBatches(_split(), preprocessing, batch_size=4, targets=targets).epoch(0)
        assert first.images.shape == (4, 3, 12, 6)

    def test_the_whole_image_moves_on_white(self) -> None:
        """With the frame as large as the crop nothing is cut off, so a border makes room."""
        black = ArraySplit(np.zeros((64, 32, 32, 3), np.uint8), np.arange(64))
        preprocessing = Preprocessing(crop=32, resize=32, fit="squash")
        [batch] = TrainingBatches(black, preprocessing, batch_size=64).epoch(0)
        white = batch.images.mean(1) == 1
        rows, columns = white.all(2).sum(1), white.all(1).sum(1)  # at most 2 pixels, which is 1/16
        assert set(rows.tolist()) == {0, 1, 2}
        assert set(columns.tolist()) == {0, 1, 2}

    def test_a_crop_has_no_border(self) -> None:
        black = ArraySplit(np.zeros((16, 32, 32, 3), np.uint8), np.arange(16))
        [batch] = TrainingBatches(black, Preprocessing(crop=32, resize=32), batch_size=16).epoch(0)
        assert not batch.images.any()


class _Zeros(Targets):
    def __init__(self, views: int) -> None:
        self.rows, self.views, self.dim = np.arange(N), views, 2

    def take(self, rows: npt.NDArray[np.int64], views: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        assert (views < max(1, self.views)).all()
        return np.zeros((len(rows), self.dim), np.float32)
