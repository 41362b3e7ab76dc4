"""The command ``prunnet-bench preprocessing`` and its options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from prunnet_export.cli import output_options


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of the images that a device embedded.",
)
@click.option(
    "--vectors",
    type=click.Path(path_type=Path),
    required=True,
    help="The vectors that its own code computed, with names: .npz, .npy with a list beside it, or Parquet.",
)
@output_options
def preprocessing(**options: Any) -> int:
    """Compare vectors that a device's own code computed with an artifact, and name a mistake in its preprocessing.

    The first 64 images are embedded here by the artifact: as its manifest says, and with the mistakes that people make
    (BGR, 0..255, squashed, standardised twice, ...). Exit code 1 if the vectors are not the artifact's.
    """
    from prunnet_export.benchmarks.drift._preprocessing_command import PreprocessingOptions, check_preprocessing

    return check_preprocessing(PreprocessingOptions(**options))
