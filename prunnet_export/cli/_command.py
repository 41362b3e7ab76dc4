"""The options of ``prunnet-export``. The modules that carry them out are imported only when they are needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from prunnet_export.cli._options import (
    data_options,
    gallery_at,
    network_option,
    output_options,
    query_options,
    threads_option,
)
from prunnet_export.thresholds import Thresholds

DEFAULTS = Thresholds()


@click.group(
    invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}
)
@click.option("--target", help="Hardware profile; --list-targets shows them.")
@click.option(
    "--budget-ms", type=float, help="Limit of the latency of one image, or of a batch, at the percentile --at."
)
@click.option("--budget-mb", type=float, help="Limit of the size of the model files, in MB of 10^6 bytes.")
@click.option("--budget-ram-mb", type=float, help="Limit of the peak memory beyond the runtime alone, in MiB.")
@click.option("--at", default="p90", show_default=True, help="Percentile of the latency that --budget-ms limits.")
@query_options
@network_option
@click.option(
    "--pattern",
    default="auto",
    show_default=True,
    help="channel, unstructured, block, 2:4 (or another n:m), channel+2:4, or all that the target profits from.",
)
@click.option(
    "--precision",
    default="auto",
    show_default=True,
    help="fp32, fp16, bf16 or int8, or all that the target profits from.",
)
@click.option(
    "--select",
    type=click.Choice(["capacity", "accuracy"]),
    default="capacity",
    show_default=True,
    help="Among the candidates that fit, take the largest capacity or the highest accuracy.",
)
@click.option(
    "--device",
    default="auto",
    show_default=True,
    help="Where to measure and verify: local, ssh://user@host[:port][?python=PATH], or predicted; auto is local where"
    " that works.",
)
@click.option("--require-measured", is_flag=True, help="Exit with code 3 if the latency can only be predicted.")
@click.option(
    "--calibration",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Table from prunnet-bench calibrate, for predictions. Repeatable.  [default: the user's cache]",
)
@threads_option
@data_options
@click.option(
    "--gallery",
    callback=gallery_at,
    metavar="FILE|ADDRESS",
    help="Gallery to verify against: a file of the vectors that the service has, or an address such as"
    " milvus://HOST:19530/COLLECTION.  [default: see docs/export.md]",
)
@click.option(
    "--metric",
    type=click.Choice(["cosine", "dot", "l2"]),
    help="How the service compares a query with the vectors of --gallery.  [default: what the file says, else cosine]",
)
@click.option(
    "--teacher-threshold",
    type=float,
    help="Similarity (with l2: distance) at which the service accepts a match today. The report has the threshold for"
    " the artifact that accepts as many wrong pairs.",
)
@click.option(
    "--max-queries",
    type=click.IntRange(2),
    default=500,
    show_default=True,
    help="Verify with at most this many query images.",
)
@click.option(
    "--max-gallery",
    type=click.IntRange(2),
    default=1000,
    show_default=True,
    help="Verify with at most this many gallery images of the data set.",
)
@click.option(
    "--query-images",
    type=click.Choice(["files", "pixels", "none"]),
    default="files",
    show_default=True,
    help="What the artifact holds of the query images, to be verified again: the original files, their pixels at the"
    " size of the input, or nothing.",
)
@click.option(
    "--min-recall",
    type=click.FloatRange(0, 2),
    default=DEFAULTS.recall,
    show_default=True,
    help="Least R@1 in the teacher's gallery, as a share of the R@1 of the teacher's self-test, if there are labels."
    " The teacher is the dense network, if the network was not trained to match another.",
)
@click.option(
    "--min-parity",
    type=click.FloatRange(-1, 1),
    help="Least cosine to torch, on the worst image."
    "  [default: 0.999 for fp32 and fp16, 0.995 for bf16, 0.99 for int8]",
)
@click.option(
    "--min-overlap",
    type=click.FloatRange(0, 1),
    default=DEFAULTS.overlap,
    show_default=True,
    help="Least share of the teacher's 10 nearest that the artifact finds too, if there are no labels; the lower end"
    " of its 95% interval counts.",
)
@click.option(
    "--channel-multiple",
    type=click.IntRange(1, 256),
    help="Kept widths are multiples of this.  [default: the target's]",
)
@click.option("--out", type=click.Path(path_type=Path), help="The artifact's folder.  [default: dist/TARGET]")
@click.option("--dry-run", is_flag=True, help="Show what would be searched; measure and write nothing.")
@click.option("--list-targets", is_flag=True, help="Show the hardware profiles and what can run here.")
@click.option("--doctor", is_flag=True, help="Show what is installed and what is missing.")
@output_options
@click.version_option(package_name="prunnet-export")
@click.pass_context
def command(ctx: click.Context, /, *, list_targets: bool, doctor: bool, output_format: str, **options: Any) -> int:
    """Cut the subnetwork that fits a device's budget, export it, measure it, verify the exported file.

    \b
    Exit codes: 0 inside the budget and verified; 1 a gate failed, the artifact is kept as OUT.rejected;
    2 usage, bad input or a missing extra; 3 device or runtime not reachable; 70 a bug; 130 interrupted.

    \b
    Examples:
      prunnet-export --target x86-onnxruntime --budget-ms 2
      prunnet-export --target x86-openvino --budget-ms 5 --budget-mb 12 --network runs/products --at p99
      prunnet-export --target x86-onnxruntime --budget-ms 80 --scope end-to-end
      prunnet-export --target jetson --budget-ms 15
      prunnet-export --list-targets
    """
    if ctx.invoked_subcommand is not None:
        return 0
    if list_targets or doctor:
        from prunnet_export.cli import _survey

        return (_survey.list_targets if list_targets else _survey.doctor)(output_format)
    from prunnet_export.cli._export import ExportOptions, export

    return export(ExportOptions(output_format=output_format, **options))


@command.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write.  [default: replace the artifact]")
@threads_option
@output_options
def finish(artifact: Path, out: Path | None, threads: int | None, output_format: str) -> int:
    """Complete an artifact on the device that it was predicted for: build, measure, choose again, verify.

    Needs the base install and the artifact's runtime. If no candidate in the artifact fits, the fastest is kept
    as OUT.rejected and the exit code is 1.
    """
    from prunnet_export.cli._finish import finish_artifact

    return finish_artifact(artifact, out, threads=threads, output_format=output_format)
