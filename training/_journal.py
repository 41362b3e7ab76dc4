"""The folder of a run: its recipe, its metrics, and its training state. A killed run can always be resumed."""

from __future__ import annotations

import json
import time
from pathlib import Path

import msgspec

from prunnet_export._documents import parse_json, read_json
from prunnet_export._errors import InvalidInput
from prunnet_export._files import read_bytes, remove_leftovers, replace_file, storage_errors
from prunnet_export._limits import LIST_BYTES
from prunnet_export.network_config import CONFIG_FILE, WEIGHTS_FILE
from prunnet_export.training._recipe import Recipe
from prunnet_export.training._state import STATE_FILE, save_state
from prunnet_export.training._trainee import Trainee

RECIPE_FILE = "recipe.json"
METRICS_FILE = "metrics.jsonl"
LOCK_FILE = ".lock"
STEPS_PER_METRIC = 10


def begin_run(
    recipe: Recipe, out: Path, trainee: Trainee, *, steps: int, resume: bool, weights: Path | None = None
) -> None:
    """Write the files of a new run into ``out``, or check that the folder holds the run to resume.

    Raises:
        InvalidInput: the folder holds another run, a run that is not to be resumed, or a network without its run; or
            a new run starts from weights, and no file of them is given.
        StorageError: the folder cannot be written.
    """
    check_folder(out, resume=resume)
    recipe_file = out / RECIPE_FILE
    if not recipe_file.exists():
        if recipe.weights_sha256 is not None and weights is None:
            raise InvalidInput("the recipe starts from weights, and no file is given", hint="give the file of weights")
        replace_file(out / METRICS_FILE, b"")
        save_state(out, trainee, steps_done=0, steps=steps)
        # The recipe is written last, so that a folder with a recipe always has a state too.
        _write_recipe(recipe, recipe_file)
    else:
        _refuse_other_recipe(recipe, recipe_file)
    for name in (RECIPE_FILE, METRICS_FILE, STATE_FILE, WEIGHTS_FILE, CONFIG_FILE):
        remove_leftovers(out / name)


def check_folder(out: Path, *, resume: bool) -> None:
    """Refuse a folder whose run or network would be replaced.

    Raises:
        InvalidInput: the folder holds a run that is not to be resumed, or a network without its run.
    """
    if (out / RECIPE_FILE).exists():
        if not resume:
            raise InvalidInput(
                f"{out} already holds a run", hint="add --resume to go on with it, or choose another --out"
            )
        return
    for name in (WEIGHTS_FILE, CONFIG_FILE):
        if (out / name).exists():
            raise InvalidInput(f"{out / name} exists without its run", hint="choose another --out, or move it away")


def recipe_of_run(out: Path) -> Recipe | None:
    """The recipe of the run in a folder; None if there is no run.

    Raises:
        InvalidInput: the recipe of the run cannot be read.
    """
    file = out / RECIPE_FILE
    return _read_recipe(file) if file.exists() else None


def _refuse_other_recipe(recipe: Recipe, file: Path) -> None:
    """Refuse a run with another recipe. If only the place of the images is another one, it is stored."""
    before = _read_recipe(file)
    difference = recipe.difference(before)
    if difference is not None:
        raise InvalidInput(
            f"the run to resume was started with {difference}",
            hint="repeat the first command exactly and add --resume, or choose another --out",
        )
    if recipe != before:  # the images were moved
        _write_recipe(recipe, file)


def _write_recipe(recipe: Recipe, file: Path) -> None:
    replace_file(file, msgspec.json.format(msgspec.json.encode(recipe), indent=2) + b"\n")


def _read_recipe(file: Path) -> Recipe:
    return read_json(file, Recipe, hint="the file was changed or is of another version")


class Journal:
    """Writes a line of metrics every few steps, and the training state.

    The state is written at the end of an epoch, and when it is older than ``seconds_between_states``. Metrics of steps
    after the ``done`` finished ones are dropped, because these steps run again.
    """

    def __init__(self, out: Path, trainee: Trainee, done: int, steps: int, seconds_between_states: float) -> None:
        _drop_metrics(out / METRICS_FILE, first=done)
        self._out, self._trainee, self._steps = out, trainee, steps
        self._seconds_between_states = seconds_between_states
        self._saved = self._counted = time.monotonic()
        self._count = 0

    def record(self, metrics: dict[str, float], *, step: int, last_of_epoch: bool) -> None:
        """Record a finished step. ``seconds_per_step`` is the mean over the steps since the last line."""
        self._count += 1
        if step % STEPS_PER_METRIC == 0 or last_of_epoch:
            seconds = round((time.monotonic() - self._counted) / self._count, 4)
            with storage_errors(self._out), (self._out / METRICS_FILE).open("a", encoding="utf-8") as opened:
                opened.write(json.dumps({**metrics, "seconds_per_step": seconds}) + "\n")
            self._counted, self._count = time.monotonic(), 0
        if last_of_epoch or time.monotonic() - self._saved >= self._seconds_between_states:
            save_state(self._out, self._trainee, steps_done=step + 1, steps=self._steps)
            self._saved = time.monotonic()


def _drop_metrics(file: Path, *, first: int) -> None:
    """Drop the lines of the step ``first`` and later steps."""
    kept = []
    content = read_bytes(file, at_most=LIST_BYTES) if file.exists() else b""
    for line in content.decode("utf-8", errors="replace").splitlines():
        try:
            if parse_json(line.encode())["step"] >= first:
                break
        except (ValueError, LookupError, TypeError):  # an incomplete last line, from a kill
            break
        kept.append(line + "\n")
    replace_file(file, "".join(kept).encode())
