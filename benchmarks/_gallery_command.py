"""``prunnet-bench gallery``: the embeddings of a gallery."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from prunnet_export._errors import InvalidInput
from prunnet_export._text import shown
from prunnet_export.benchmarks._gallery_shards import Shards
from prunnet_export.cli import NetworkChoice, choose_network, open_data
from prunnet_export.datasets import ImageSplit
from prunnet_export.evaluating import embed_in_torch, inputs_of, save_gallery
from prunnet_export.network import Checkpoint, limit_torch_threads, load_checkpoint
from prunnet_export.reports import Cell, Report, Table, print_report
from prunnet_export.training import Ranks, ranks_of_environment

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class GalleryOptions:
    """The options of ``gallery``, as its help describes them."""

    network: Path | None
    data: str | None
    layout: str | None
    out: Path
    shard_images: int
    output_format: str


def write_gallery(options: GalleryOptions) -> int:
    """Embed the gallery split with the dense network and write it."""
    limit_torch_threads()
    ranks, out = ranks_of_environment(), options.out
    chosen = choose_network(options.network)
    checkpoint = load_checkpoint(chosen.folder)
    source = open_data(options.data, options.layout, checkpoint)
    if len(source.gallery) == 0:
        raise InvalidInput(f"{source.name} has no gallery images", hint="give --data with a gallery split")
    if out.suffix == ".npz":
        facts = _one_file(out, source.gallery, checkpoint, ranks)
    else:
        facts = _folder(Shards(out, source.gallery, checkpoint, options.shard_images), ranks)
    if ranks.rank == 0:
        print_report(_report(facts, chosen, out), options.output_format)
    return 0


def _one_file(out: Path, images: ImageSplit, checkpoint: Checkpoint, ranks: Ranks) -> dict[str, Cell]:
    if ranks.world_size > 1:
        raise InvalidInput(f"{out}: several processes cannot write one file", hint="give a folder as --out")
    _LOG.info("embedding %d images", len(images))
    inputs = inputs_of(images, range(len(images)), checkpoint.config.preprocessing)
    embeddings = embed_in_torch(checkpoint.network.embedder, inputs)
    save_gallery(out, embeddings, labels=images.labels, network=checkpoint.config.weights_sha256)
    return {"images": len(embeddings), "dimension": embeddings.shape[1]}


def _folder(shards: Shards, ranks: Ranks) -> dict[str, Cell]:
    shards.check_folder()
    written = shards.fill(ranks)
    config = shards.checkpoint.config
    return {
        "images": len(shards.images),
        "dimension": config.embedding_dim,
        "files": shards.count,
        "files that this process wrote": written,
    }


def _report(facts: dict[str, Cell], chosen: NetworkChoice, out: Path) -> Report:
    facts = {**facts, "network": str(chosen.folder)}
    return Report(
        title="gallery",
        tables=(Table("gallery", ("", ""), tuple(facts.items())),),
        document={**facts, "file": str(out)},
        footer=(
            f"written: {shown(out)}",
            f"next: prunnet-export --gallery {shown(out)} --target x86-onnxruntime --budget-ms 5",
        ),
    )
