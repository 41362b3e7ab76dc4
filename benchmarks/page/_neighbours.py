"""A section with pictures: queries, and what the dense network and the subnetwork find for them in the same gallery."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from html import escape

import numpy as np
import numpy.typing as npt
from PIL import Image

from prunnet_export._errors import InvalidInput
from prunnet_export._text import printable
from prunnet_export.benchmarks.page._section import Section
from prunnet_export.benchmarks.page._sources import ShownArtifact
from prunnet_export.datasets import RetrievalData
from prunnet_export.evaluating import (
    ChosenImages,
    Embeddings,
    Reference,
    artifact_reference,
    encoded_pixels,
    evenly_spread,
)

_QUERIES, _NEAREST = 12, 5
_COMPARED = 20  # queries whose images have to be those of the data set
_SIDE = 96  # pixels of a picture
_HINT = "give --images the data set that the artifact was exported with"


def neighbours(number: int, artifact: ShownArtifact, data: RetrievalData) -> Section:
    """Twelve queries, spread evenly over all of them, each with the five nearest by both networks.

    Args:
        number: Number of the section.
        artifact: The artifact. Its reference has the embeddings.
        data: The data set of its export.

    Raises:
        InvalidInput: the artifact was verified with other images, or in a gallery whose images are not known.
    """
    reference = artifact_reference(artifact.folder, artifact.manifest)
    images = _images(reference, artifact, data)
    gallery = reference.rows if reference.rows is not None else np.arange(len(reference.gallery))
    rows, shared = [], []
    for query in evenly_spread(len(reference.images), _QUERIES):
        by_dense, by_subnetwork = (
            _nearest(reference, one[query], query) for one in (reference.teacher_queries, reference.subnetwork_queries)
        )
        shared.append(len(set(by_dense) & set(by_subnetwork)))
        relevant = _relevant(reference, query)
        lines = "".join(
            "".join(_pictures(images, title, [(int(gallery[row]), bool(relevant[row])) for row in found]))
            for title, found in (("dense", by_dense), ("subnetwork", by_subnetwork))
        )
        picture = _picture(images.data.query.image(int(images.indices[0][query])), "query", "asked")
        title = f"Query {query + 1}: {shared[-1]} of {_NEAREST} are the same"
        rows.append(f'<div class="query"><h3>{title}</h3>{picture}{lines}</div>')
    text = (
        f"{artifact.manifest.subnetwork} and the dense network search the same gallery of {data.name}. These queries "
        f"are spread evenly over all {len(reference.images)}; none was chosen by hand. Of {_NEAREST} neighbours, "
        f"{np.mean(shared):.1f} are the same on average. The subnetwork's vectors are torch's; the gate on parity "
        "compares the exported file with them. A green frame marks a relevant image, a red frame another one."
    )
    return Section(
        f"neighbours-{number}", f"Neighbours: {artifact.name}", text, html=f'<div class="rows">{"".join(rows)}</div>'
    )


def _images(reference: Reference, artifact: ShownArtifact, data: RetrievalData) -> ChosenImages:
    """The images of the reference in the data set."""
    if reference.entry.file is not None or reference.entry.made_by != "dense network":
        raise InvalidInput(
            f"{artifact.name}: the images of its gallery are not known", hint="give artifacts without --gallery"
        )
    images = ChosenImages(data, artifact.manifest.preprocessing, len(reference.images), reference.entry.count)
    queries, gallery = images.indices
    looked_at = evenly_spread(len(queries), _COMPARED).tolist()
    # The images count, and not the path that the data set had at the export.
    same = (len(queries), len(gallery)) == (len(reference.images), reference.entry.count) and all(
        _is_image(data.query.encoded(int(queries[place])), reference, place, images) for place in looked_at
    )
    if not same:
        raise InvalidInput(f"{artifact.name} was verified with other images than those of {data.name}", hint=_HINT)
    return images


def _is_image(encoded: bytes, reference: Reference, place: int, images: ChosenImages) -> bool:
    """Whether an image of the data set is an image of the reference, which may have only its pixels."""
    kept = reference.images[place]
    return kept == (encoded_pixels(encoded, images.preprocessing) if reference.pixels else encoded)


def _nearest(reference: Reference, query: Embeddings, place: int) -> list[int]:
    """The rows of the nearest vectors that are not junk, the nearest first."""
    cosines = reference.gallery @ query[: reference.gallery.shape[1]]
    if reference.relevance is not None:
        _, junk = reference.relevance.rows(place, place + 1)
        cosines = np.where(junk[0], -np.inf, cosines)
    found: list[int] = np.argsort(-cosines, kind="stable")[:_NEAREST].tolist()
    return found


def _relevant(reference: Reference, place: int) -> npt.NDArray[np.bool_]:
    if reference.relevance is None:
        return np.zeros(len(reference.gallery), bool)
    found: npt.NDArray[np.bool_] = reference.relevance.rows(place, place + 1)[0][0]
    return found


def _pictures(images: ChosenImages, title: str, found: list[tuple[int, bool]]) -> Iterator[str]:
    _, gallery = images.indices
    for rank, (place, relevant) in enumerate(found, 1):
        image = images.data.gallery.image(int(gallery[place]))
        words = f"{title} {rank}, {'relevant' if relevant else 'not relevant'}"
        yield _picture(image, words, "right" if relevant else "wrong")


def _picture(image: Image.Image, words: str, kind: str) -> str:
    image.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    content = base64.b64encode(buffer.getvalue()).decode()
    words = escape(printable(words))
    return f'<div><img class="{kind}" alt="{words}" src="data:image/jpeg;base64,{content}"><span>{words}</span></div>'
