"""``prunnet-train``."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
import msgspec

from prunnet_export._console import progress_bar, run
from prunnet_export._errors import Interrupted, PeerFailed
from prunnet_export._files import reading_errors, sha256
from prunnet_export._interrupts import was_interrupted
from prunnet_export._text import shown
from prunnet_export.cli import number_list
from prunnet_export.training._match_options import MatchOptions, match_options, open_match, take_match_options
from prunnet_export.training._options import recipe_option, recipe_options, take_recipe, weights_options
from prunnet_export.training._recipe import Recipe, Rule

if TYPE_CHECKING:
    from prunnet_export.datasets import RetrievalData
    from prunnet_export.training._distributed import Ranks
    from prunnet_export.training._match import Match

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """The options of ``prunnet-train``, as its help describes them."""

    recipe: Recipe
    match: MatchOptions | None
    weights: Path | None
    out: Path
    resume: bool
    device: str
    workers: int
    half_precision_checkpoint: bool


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("data")
@click.option("--layout", help="Layout of DATA, if the tool should not guess it: folder, in-shop, fashion-mnist, ...")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Folder of the run.  [default: runs/DATA]"
)
@click.option(
    "--resume", is_flag=True, help="Continue the run in --out with the same options; begin it if there is none."
)
@match_options
@weights_options
@recipe_options
@recipe_option(
    "patterns",
    "--pattern",
    "patterns",
    multiple=True,
    help="Pattern of the subnetworks: channel, unstructured, block, channel+2:4, or n:m such as 2:4. Repeatable.",
)
@recipe_option("capacities", callback=number_list, help="Capacities trained in every step, for each pattern.")
@recipe_option("integration", type=click.Choice(get_args(Rule)), help="How conflicts between gradients are resolved.")
@recipe_option(
    "gamma", type=click.FloatRange(0, 8), help="Exponent of the gradient weights: 0.5 for CNNs, 1.0 for transformers."
)
@recipe_option("epochs", type=click.IntRange(1))
@recipe_option(
    "accumulate",
    type=click.IntRange(1),
    help="Micro-batches in a step of each process, to save memory. BatchNorm sees one at a time.",
)
@recipe_option("bfloat16", is_flag=True, help="Compute forward passes in bfloat16; parameters stay float32.")
@recipe_option("seed", type=click.IntRange(0, 2**32 - 1))
@click.option("--device", default="auto", help="Where to train: auto, cpu, cuda, cuda:1, mps, ...")
@click.option(
    "--workers", type=click.IntRange(0, 64), default=0, help="Processes that decode images, for each training process."
)
@click.option("--half-precision-checkpoint", is_flag=True, help="Store the checkpoint in float16.")
@click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks.")
@click.version_option(package_name="prunnet-export")
@click.pass_context
def command(
    context: click.Context,
    /,
    *,
    data: str,
    out: Path | None,
    **options: Any,
) -> None:
    """Train one network from which a compatible subnetwork of any capacity can be cut later.

    DATA is a folder in a known layout, or `glyphs`, which is built in. The run's folder then holds the
    checkpoint (network.safetensors, config.json), the recipe, and one line of metrics every ten steps.

    With --match TEACHER every subnetwork answers a gallery that TEACHER made. No labels are needed.

    Several processes train together where torchrun starts them:
    torchrun --no-python --nproc-per-node 2 prunnet-train DATA
    """
    out = out or Path("runs") / Path(data).resolve().name
    match = take_match_options(context, options)
    before = _recipe_to_resume(out) if options["resume"] else None
    recipe = take_recipe(options, data=data, match=match is not None, before=before)
    if before is not None and options["weights"] is None:
        recipe = msgspec.structs.replace(recipe, weights_sha256=before.weights_sha256)
    chosen = TrainOptions(recipe=recipe, match=match, out=out, **options)

    from prunnet_export.training._distributed import process_group

    try:
        with process_group() as ranks:
            _train(chosen, ranks)
    except BaseException as error:
        if _has_peers():
            _silence_repeated_error(error)
        raise


def _recipe_to_resume(out: Path) -> Recipe | None:
    from prunnet_export.training._journal import recipe_of_run  # needs torch

    return recipe_of_run(out)


def main() -> None:
    """The entry point."""
    if _has_peers() and not _is_first_process():
        # Only the first process prints. An error in the command line is the same in all processes.
        sys.stdout = sys.stderr = io.StringIO()
    run(command, name="prunnet-train", extra="train")


def _train(options: TrainOptions, ranks: Ranks) -> None:
    from prunnet_export.datasets import open_dataset
    from prunnet_export.evaluating import warn_of_overlap
    from prunnet_export.network import limit_torch_threads
    from prunnet_export.patterns import check_capacity, find_pattern
    from prunnet_export.training._allocator import keep_freed_memory
    from prunnet_export.training._device import choose_device
    from prunnet_export.training._images import images_digest
    from prunnet_export.training._journal import RECIPE_FILE, check_folder
    from prunnet_export.training._loop import train

    limit_torch_threads()
    recipe, out = msgspec.structs.replace(options.recipe, processes=ranks.world_size), options.out
    with ranks.sharing_failures():
        if ranks.rank == 0:
            check_folder(out, resume=options.resume)  # before hours of reading images and of embedding
        if options.weights is not None:
            with reading_errors(options.weights):
                recipe = msgspec.structs.replace(recipe, weights_sha256=sha256(options.weights))
        device = choose_device(options.device, ranks)
        for capacity in recipe.capacities:
            check_capacity(capacity)
        for pattern in recipe.patterns:
            find_pattern(pattern)
        data = open_dataset(recipe.data.place, layout=recipe.data.layout, seed=recipe.data.seed)
        recipe = msgspec.structs.replace(recipe, images_sha256=images_digest(data))
    if options.match is None and ranks.rank == 0:
        warn_of_overlap(data)
    match = None
    if options.match is not None:
        recipe, match = _open_match(options, recipe, data, ranks)
    keep_freed_memory()
    if options.resume and not (out / RECIPE_FILE).exists():
        _log.info("%s holds no run to resume; a new run starts", out)
    with progress_bar("training") as show:
        try:
            train(
                recipe,
                data,
                out,
                match=match,
                resume=options.resume,
                device=device,
                workers=options.workers,
                half_precision_checkpoint=options.half_precision_checkpoint,
                ranks=ranks,
                weights=options.weights,
                progress=lambda step, steps, metrics: show(
                    step, steps, f"epoch {metrics['epoch']:.0f}  loss {metrics['loss_dense']:.3f}"
                ),
            )
        except KeyboardInterrupt:
            begun = (out / RECIPE_FILE).exists()
            kept = f"{out} holds the run up to its last state" if begun else "no step was taken"
            again = "repeat the same command with --resume" if begun else "repeat the same command"
            raise Interrupted(f"interrupted; {kept}", hint=again) from None
    click.echo(f"network: {shown(out)}")
    gallery = "" if match is None else " --gallery GALLERY"
    click.echo(f"next:    prunnet-export --network {shown(out)}{gallery} --target x86-onnxruntime --budget-ms 5")


def _open_match(options: TrainOptions, recipe: Recipe, data: RetrievalData, ranks: Ranks) -> tuple[Recipe, Match]:
    """The teacher's vectors. The first process computes them; the others then find them in the cache, in turn."""
    if options.match is None:
        raise ValueError("no teacher is given")
    opened = None
    for turn in range(ranks.world_size):
        with ranks.sharing_failures(), progress_bar("embedding with the teacher") as show:
            if turn == ranks.rank:
                opened = open_match(
                    options.match, recipe, data, weights=options.weights, workers=options.workers, progress=show
                )
    if opened is None:
        raise AssertionError("every process has a turn")
    return opened


def _has_peers() -> bool:
    """Whether this process trains together with others."""
    return os.environ.get("WORLD_SIZE", "1") != "1"


def _is_first_process() -> bool:
    return os.environ.get("RANK", "0") in {"", "0"}  # a process without a rank must print its errors itself


def _silence_repeated_error(error: BaseException) -> None:
    """Print an error only in the process where it began."""
    # torchrun sends signals to the other processes as soon as one has ended, and these must not print anything.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    interrupted = was_interrupted() or isinstance(error, KeyboardInterrupt | Interrupted)
    prints = _is_first_process() if interrupted else not isinstance(error, PeerFailed)
    sys.stderr = sys.__stderr__ if prints else io.StringIO()
