"""``prunnet-train``."""

from __future__ import annotations

import io
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from prunnet_export._console import note, progress_bar, run
from prunnet_export._errors import Interrupted, InvalidInput, PeerFailed
from prunnet_export.cli._options import backbone_option, embedder_options, numbers

if TYPE_CHECKING:
    import torch

    from prunnet_export.datasets import RetrievalData
    from prunnet_export.training._distributed import Ranks
    from prunnet_export.training._recipe import Recipe

RULES = ("progressive", "last-conflict", "sum")  # as in _integration, which imports torch


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("data")
@click.option("--layout", help="Layout of DATA, where it should not be recognised: folder, in-shop, fashion-mnist, ...")
@click.option(
    "--out", type=click.Path(file_okay=False, path_type=Path), help="Where the run goes.  [default: runs/DATA]"
)
@click.option(
    "--resume", is_flag=True, help="Go on with the run in --out, with the same options; begin it where there is none."
)
@click.option("--backbone", default="resnet18", help="A timm architecture, or resnet18-no-maxpool.")
@embedder_options
@click.option(
    "--pattern",
    "patterns",
    multiple=True,
    default=["channel"],
    help="Of the subnetworks: channel, unstructured, block, channel+2:4, or n:m as 2:4. Repeatable.",
)
@click.option("--capacities", default="0.8,0.6,0.4,0.2", help="Capacities trained in every step, for each pattern.")
@click.option(
    "--random-capacities",
    type=click.IntRange(0, 16),
    default=0,
    help="Subnetworks more in every step, at random capacities above the smallest.",
)
@click.option(
    "--dense-first",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.0,
    help="Share of the steps, the first ones, in which the dense network trains alone.",
)
@click.option("--channel-multiple", type=click.IntRange(1, 256), default=8, help="Kept widths are multiples of this.")
@click.option(
    "--distillation",
    type=click.FloatRange(0, 100),
    default=0.0,
    help="Weight of the distance to the dense embedding in a subnetwork's loss.",
)
@click.option("--integration", type=click.Choice(RULES), default="progressive", help="How conflicts are resolved.")
@click.option("--gamma", type=click.FloatRange(0, 8), default=0.5, help="0.5 for CNNs, 1.0 for transformers.")
@click.option("--epochs", type=click.IntRange(1), default=30)
@click.option("--batch-size", type=click.IntRange(2), default=128, help="Images in a step, of all processes together.")
@click.option(
    "--accumulate",
    type=click.IntRange(1),
    default=1,
    help="Micro-batches that a process divides its part of a step into, to save memory. BatchNorm sees one at a time.",
)
@click.option("--bfloat16", is_flag=True, help="Compute forward passes in bfloat16; parameters stay float32.")
@click.option("--optimizer", type=click.Choice(["sgd", "adamw"]), default="sgd")
@click.option("--learning-rate", type=click.FloatRange(0, min_open=True), default=0.1)
@click.option("--schedule", type=click.Choice(["step", "cosine"]), default="step")
@click.option("--weight-decay", type=click.FloatRange(0), default=5e-4)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0)
@click.option("--device", default="auto", help="Where to train: auto, cpu, cuda, cuda:1, mps, ...")
@click.option("--workers", type=click.IntRange(0, 64), default=0, help="Processes that decode images, of each process.")
@click.option("--half-precision-checkpoint", is_flag=True, help="Store the checkpoint in float16.")
@click.option("--debug", is_flag=True, help="Show tracebacks.")
@click.version_option(package_name="prunnet-export")
def command(**options: Any) -> None:
    """Train one network from which a compatible subnetwork of any capacity can be cut later.

    DATA is a folder in a known layout, or `glyphs`, which is built in. The run's folder then holds the
    checkpoint (network.safetensors, config.json), the recipe, and one line of metrics every ten steps.

    Several processes train together where torchrun starts them:
    torchrun --no-python --nproc-per-node 2 prunnet-train DATA
    """
    from prunnet_export.training._distributed import joined

    try:
        with joined() as ranks:
            _train(options, ranks)
    except BaseException as error:
        if _together():
            _end_together(error)
        raise


def main() -> None:
    """The entry point."""
    if _together() and not _first():
        # The first process speaks for all; what is wrong in the command line is wrong in each.
        sys.stdout = sys.stderr = io.StringIO()
    run(command, name="prunnet-train", extra="train")


def _train(options: dict[str, Any], ranks: Ranks) -> None:
    from prunnet_export.training._allocator import keep_freed_memory
    from prunnet_export.training._journal import RECIPE_FILE
    from prunnet_export.training._loop import train

    with ranks.agreeing():
        device = _device(options["device"], ranks)
        recipe, data = _recipe(options, ranks)
    keep_freed_memory()
    out = options["out"] or Path("runs") / Path(options["data"]).resolve().name
    if options["resume"] and not (out / RECIPE_FILE).exists():
        note(f"{out} holds no run to resume; it begins")
    with progress_bar("training") as bar:
        task = None if bar is None else bar.add_task("", total=None, text="")

        def show(step: int, steps: int, metrics: dict[str, float]) -> None:
            if bar is not None and task is not None:
                text = f"epoch {metrics['epoch']:.0f}  loss {metrics['loss_dense']:.3f}"
                bar.update(task, completed=step, total=steps, text=text)

        try:
            train(
                recipe,
                data,
                out,
                resume=options["resume"],
                device=device,
                workers=options["workers"],
                half_precision_checkpoint=options["half_precision_checkpoint"],
                ranks=ranks,
                progress=show,
            )
        except KeyboardInterrupt:
            begun = (out / RECIPE_FILE).exists()
            kept = f"{out} holds the run up to its last state" if begun else "nothing was begun"
            again = "repeat the same command with --resume" if begun else "repeat the same command"
            raise Interrupted(f"interrupted; {kept}", hint=again) from None
    click.echo(f"network: {out}")
    click.echo(f"next:    prunnet-export --network {out} --target x86-onnxruntime --budget-ms 5")


def _recipe(options: dict[str, Any], ranks: Ranks) -> tuple[Recipe, RetrievalData]:
    from prunnet_export.datasets import open_dataset
    from prunnet_export.network_config import DataSource
    from prunnet_export.patterns import check_capacity, find_pattern
    from prunnet_export.preprocessing import Preprocessing
    from prunnet_export.training._recipe import Recipe

    source, crop = options["data"], options["crop_px"]
    capacities = numbers(options["capacities"], "--capacities")
    for capacity in capacities:
        check_capacity(capacity)
    for pattern in options["patterns"]:
        find_pattern(pattern)
    data = open_dataset(source, layout=options["layout"], seed=options["seed"])
    recipe = Recipe(
        data=DataSource(source=source, layout=options["layout"], seed=options["seed"]),
        preprocessing=Preprocessing(crop=crop, resize=options["resize_px"] or round(crop * 8 / 7)),
        backbone_options=dict(backbone_option(text) for text in options["backbone_options"]),
        patterns=tuple(options["patterns"]),
        capacities=capacities,
        processes=ranks.world_size,
        **{
            name: options[name]
            for name in (
                "backbone", "embedding_dim", "channel_multiple", "random_capacities", "dense_first", "distillation",
                "integration",
                "gamma", "epochs", "batch_size", "accumulate", "bfloat16", "optimizer", "learning_rate", "schedule",
                "weight_decay", "seed",
            )
        },
    )  # fmt: skip
    return recipe, data


def _device(name: str, ranks: Ranks) -> torch.device:
    """The torch device of that name; ``auto`` is the first accelerator that is there, else the processor.

    Of several processes each has the GPU of its own number, or all share the processor.
    """
    import torch

    if name == "auto":
        found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        if ranks.world_size == 1:
            return found or torch.device("cpu")
        name = "cuda" if found is not None and found.type == "cuda" else "cpu"
    try:
        device = torch.device(name)
        if ranks.world_size > 1 and name not in {"cpu", "cuda"}:
            raise InvalidInput(
                f"--device {name!r} cannot be used by {ranks.world_size} processes",
                hint="cuda gives each process a GPU of its own; cpu is shared",
            )
        if ranks.world_size > 1 and device.type == "cuda":
            device = torch.device("cuda", ranks.local_rank)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise InvalidInput(f"--device {name!r} cannot be used: {reason}", hint="auto takes what is there") from None
    return device


def _together() -> bool:
    """Whether other processes train with this one."""
    return os.environ.get("WORLD_SIZE", "1") != "1"


def _first() -> bool:
    return os.environ.get("RANK", "0") in {"", "0"}  # without a rank there is nobody else to speak


def _end_together(error: BaseException) -> None:
    """Leave the last word to the process that knows why they end."""
    # torchrun signals the others as soon as one has ended, and that must not become a message of its own.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    interrupted = isinstance(error, KeyboardInterrupt | Interrupted)
    speaks = _first() if interrupted else not isinstance(error, PeerFailed)
    sys.stderr = sys.__stderr__ if speaks else io.StringIO()
