"""Measured runs: what a plan saw, and what the training then reached. One line of JSON for each run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from prunnet_export._documents import decode_json
from prunnet_export._errors import InvalidInput
from prunnet_export._files import read_bytes, replace_file
from prunnet_export._limits import LIST_BYTES
from prunnet_export.preprocessing import Size, sides, size_text

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class Figures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """R@1, if there are labels, and overlap@10."""

    recall: Share | None
    overlap: Share


class RunCell(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One capacity of a run.

    Attributes:
        capacity: The capacity.
        shorter: Its figures after the shorter trial.
        longer: Its figures after the longer trial.
        measured: Its figures after the whole training, by the same queries and gallery.
    """

    capacity: Annotated[float, msgspec.Meta(gt=0, le=1)]
    shorter: Figures
    longer: Figures
    measured: Figures


class MeasuredRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A plan beside the training that followed it.

    Attributes:
        teacher: Name of the teacher.
        data: Name of the data set.
        backbone: The student's backbone.
        weights: Whether it started from weights that exist.
        crop_px: Size of its input, pixels.
        images: Number of images that the training learned from.
        sampled: Number of training images that the plan took.
        steps: Steps of the training.
        batch_size: Images in a step.
        shorter_steps: Steps of the plan's shorter trial.
        longer_steps: Steps of the longer one.
        n_queries: Number of queries.
        n_gallery: Number of gallery images.
        self_test: The teacher's own R@1; None without labels.
        adapter: The linear map's figures, extrapolated to all images.
        adapter_measured: The figures of a linear map that was fitted to all images.
        cells: The capacities.

    Raises:
        ValueError: the input has no pixels, or the shorter trial is not shorter.
    """

    teacher: str
    data: str
    backbone: str
    weights: bool
    crop_px: Size
    images: Count
    sampled: Count
    steps: Count
    batch_size: Count
    shorter_steps: Count
    longer_steps: Count
    n_queries: Count
    n_gallery: Count
    self_test: Share | None
    adapter: Figures
    adapter_measured: Figures
    cells: list[RunCell]
    format: Literal["prunnet-plan-run"] = "prunnet-plan-run"
    version: Literal[2] = 2

    def __post_init__(self) -> None:
        if min(sides(self.crop_px)) < 1:
            raise ValueError(f"an input of {size_text(self.crop_px)} px")  # msgspec says where in the document
        if self.shorter_steps >= self.longer_steps:
            raise ValueError(f"a shorter trial of {self.shorter_steps} steps, and a longer one of {self.longer_steps}")

    @property
    def group(self) -> tuple[str, str]:
        """The teacher and the data set: what a new plan differs in from all runs that were measured."""
        return self.teacher, self.data


def read_runs(file: Path) -> list[MeasuredRun]:
    """The runs in a file.

    Raises:
        InvalidInput: it cannot be read, or a line is no run; the message names the line.
    """
    runs = []
    for number, line in enumerate(read_bytes(file, at_most=LIST_BYTES).splitlines(), 1):
        if not line.strip():
            continue
        try:
            runs.append(decode_json(line, MeasuredRun))
        except msgspec.DecodeError as error:
            older = b'"version":1' in line
            raise InvalidInput(
                f"{file}, line {number}: not a measured run ({error})",
                hint="it is of an older version: repeat its plan with --record"
                if older
                else "prunnet-bench plan --record writes them",
            ) from None
    return runs


def add_run(file: Path, run: MeasuredRun) -> None:
    """Add a run at the end of a file, which is made if it does not exist.

    Raises:
        InvalidInput: the file holds something else.
        StorageError: it cannot be written.
    """
    runs = read_runs(file) if file.exists() else []
    replace_file(file, b"".join(msgspec.json.encode(one) + b"\n" for one in (*runs, run)))
