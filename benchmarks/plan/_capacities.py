"""The figures of a network's subnetworks in the teacher's gallery."""

from __future__ import annotations

from functools import partial

from prunnet_export.benchmarks.plan._search import Scores, Search
from prunnet_export.datasets import ImageSplit
from prunnet_export.evaluating import embed_in_torch, inputs_of, settling_inputs, settling_vectors
from prunnet_export.network import PrunableNetwork, adapt
from prunnet_export.patterns import find_pattern, materialise
from prunnet_export.preprocessing import Preprocessing
from prunnet_export.teachers import TeacherSample

CAPACITIES = (1.0, 0.6, 0.4, 0.2, 0.1)


def scores_by_capacity(
    network: PrunableNetwork,
    train: ImageSplit,
    teacher: TeacherSample,
    search: Search,
    preprocessing: Preprocessing,
    *,
    pattern: str,
    channel_multiple: int,
) -> dict[float, Scores]:
    """The figures at each of :data:`CAPACITIES` that the pattern can reach.

    A cut subnetwork gets its own BatchNorm statistics, and its projector is refitted to the teacher's vectors.

    Args:
        network: The network, in evaluation mode, on the CPU.
        train: The training images that ``teacher`` names.
        teacher: The vectors to refit to.
        search: The queries and the gallery.
        preprocessing: The network's preprocessing.
        pattern: Name of the pattern.
        channel_multiple: Kept widths are multiples of this.

    Raises:
        InvalidInput: an image cannot be read.
        UnsupportedPattern: the network cannot be cut like this.
    """
    shape, found = find_pattern(pattern, channel_multiple), {}
    for capacity in shape.reachable(network, CAPACITIES):
        [subnetwork] = shape.subnetworks(network, [capacity])
        module = materialise(network, subnetwork)
        if subnetwork.capacity < 1:
            images = partial(settling_inputs, train, teacher, preprocessing)
            adapt(module, network.embedder, images, partial(settling_vectors, teacher))
        inputs = inputs_of(search.images, range(len(search.images)), preprocessing)
        found[capacity] = search.score(embed_in_torch(module, inputs))
    return found
