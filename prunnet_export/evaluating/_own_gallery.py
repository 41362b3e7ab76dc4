"""The labels of a gallery file that has images of the data set: are they the data set's?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from prunnet_export._errors import InvalidInput
from prunnet_export.datasets import ImageSplit, Labels
from prunnet_export.evaluating._gallery import Gallery
from prunnet_export.evaluating._gallery_labels import folders_of
from prunnet_export.evaluating._images import Embeddings
from prunnet_export.evaluating._sampling import evenly_spread
from prunnet_export.relevance import Mask
from prunnet_export.vectors import unit_vectors

_LOOKED_AT = 500
_SAME = 0.999  # the cosine of two vectors of one image
_ROWS = 5  # an image may be in the gallery several times, with several labels
_LEAST = 10  # fewer common images prove nothing
_DIFFERING = 0.05


def check_own_labels(gallery: Gallery, images: ImageSplit, embed: Callable[[Labels], Embeddings], *, data: str) -> None:
    """Check that a gallery gives images of the data set the data set's labels.

    Some of the data set's gallery images are embedded. An image is in the gallery if a row has almost the same vector.

    Args:
        gallery: A gallery of the dense network, with labels.
        images: The gallery images of the data set.
        embed: Embeds images at some indices with the dense network, float32 [k, d].
        data: Name of the data set, for the message.

    Raises:
        InvalidInput: more than 5 % of the common images have another label.
    """
    if gallery.labels is None or not len(images):
        return
    some = evenly_spread(len(images), _LOOKED_AT)
    vectors = unit_vectors(embed(some))
    told_apart = _told_apart(vectors, images.labels[some])
    some, vectors = some[told_apart], vectors[told_apart]
    if len(some) < _LEAST:
        return
    rows = gallery.nearest(vectors, min(_ROWS, gallery.entry.count))
    common = differing = 0
    names = images.relative_names
    for index, vector, near in zip(some.tolist(), vectors, rows, strict=True):
        same = near[unit_vectors(gallery.take(near)) @ vector >= _SAME]
        if len(same):
            common += 1
            labels = gallery.labels[same]
            differing += not _has_label(labels, int(images.labels[index]), names[index])
    if common >= _LEAST and differing > _DIFFERING * common:
        raise InvalidInput(
            f"{gallery.entry.file or 'the gallery'}: {differing} of {common} images that it shares with {data} have"
            " other labels in it",
            hint="its labels have to be the data set's; leave them out to compare neighbours instead",
        )


def _told_apart(vectors: Embeddings, labels: Labels) -> Mask:
    """Which images have another vector than all images of other classes; a weak network gives many the same one."""
    alike = (vectors @ vectors.T >= _SAME) & (labels[:, None] != labels)
    told_apart: Mask = ~np.any(alike, axis=1)
    return told_apart


def _has_label(labels: Labels, label: int, name: str) -> bool:
    """Whether one of the labels, which are integers or text, is that of an image."""
    if labels.dtype.kind in "iu":
        return label in labels
    return not {str(one) for one in labels}.isdisjoint(folders_of(name))
