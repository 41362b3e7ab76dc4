"""``prunnet-bench gallery``: the embeddings of a gallery."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from prunnet_export._errors import InvalidInput
from prunnet_export.cli import choose_network, open_data
from prunnet_export.evaluating import embed_in_torch, inputs_of, save_gallery
from prunnet_export.network import limit_torch_threads, load_checkpoint
from prunnet_export.reports import Report, Table, print_report

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class GalleryOptions:
    """The options of ``gallery``, as its help describes them."""

    network: Path | None
    data: str | None
    layout: str | None
    out: Path
    output_format: str


def write_gallery(options: GalleryOptions) -> int:
    """Embed the gallery split with the dense network and write it."""
    limit_torch_threads()
    chosen, out = choose_network(options.network), options.out
    checkpoint = load_checkpoint(chosen.folder)
    source = open_data(options.data, options.layout, checkpoint)
    images = source.gallery
    if len(images) == 0:
        raise InvalidInput(f"{source.name} has no gallery images", hint="give --data with a gallery split")
    _LOG.info("embedding %d images", len(images))
    inputs = inputs_of(images, range(len(images)), checkpoint.config.preprocessing)
    embeddings = embed_in_torch(checkpoint.network.embedder, inputs)
    save_gallery(out, embeddings, labels=images.labels, network=checkpoint.config.weights_sha256)
    facts = (("images", len(embeddings)), ("dimension", embeddings.shape[1]), ("network", str(chosen.folder)))
    report = Report(
        title="gallery",
        tables=(Table("gallery", ("", ""), facts),),
        document={**dict(facts), "file": str(out)},
        footer=(f"written: {out}", f"next: prunnet-export --gallery {out} --target x86-onnxruntime --budget-ms 5"),
    )
    print_report(report, options.output_format)
    return 0
