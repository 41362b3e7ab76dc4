"""Verifying a model again from the files of its artifact, without a data set and without torch."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput, MissingExtra
from prunnet_export.artifact import REFERENCE_FILE, Gate, Manifest, Unchecked, VerificationEntry
from prunnet_export.evaluating._gates import BYTES_IMAGES, Expected, Observed, file_gates, verify
from prunnet_export.evaluating._images import inputs_of_files
from prunnet_export.evaluating._model import ModelOnDevice
from prunnet_export.evaluating._reference import Reference, load_reference
from prunnet_export.runtimes import Model, find_runtime
from prunnet_export.vectors import read_arrays

_LOG = logging.getLogger(__name__)
_COUNTED_GATES = ("zeros kept", "weights shipped")
_ONLY_AT_EXPORT = ("zeros in place",)  # the hash of the file shows that they are where they were


def artifact_reference(folder: Path, manifest: Manifest, embeddings: str | None = None) -> Reference:
    """The reference that an artifact's model was verified against.

    Args:
        folder: Folder of the artifact.
        manifest: Manifest of the artifact.
        embeddings: The .npy file with an alternative's torch embeddings; None takes those of the chosen candidate.

    Raises:
        InvalidInput: a file is damaged, of another network, or the artifact was exported without it.
    """
    if manifest.verification.query_images == "none":
        raise InvalidInput(
            f"{folder}: it holds no query images and no embeddings to verify with",
            hint="export it again with --query-images pixels",
        )
    reference = load_reference(folder / REFERENCE_FILE)
    if reference.network != manifest.network.sha256:
        raise InvalidInput(f"{folder}: {REFERENCE_FILE} is of another network", hint="export the artifact again")
    if embeddings is None:
        return reference
    queries = read_arrays(folder / embeddings, what="a file of embeddings", hint="export the artifact again").get(
        "embeddings", np.empty(0)
    )
    if queries.shape != reference.subnetwork_queries.shape or queries.dtype != np.float32:
        raise InvalidInput(f"{folder / embeddings}: not the embeddings of these images", hint="export again")
    return replace(reference, subnetwork_queries=queries)


def verify_again(
    tested: ModelOnDevice, manifest: Manifest, reference: Reference | None, before: VerificationEntry
) -> VerificationEntry:
    """Verify a model of an artifact again.

    The self-test is not repeated, because the artifact lacks its images. The thresholds of a match are those of the
    export, because of a large gallery the artifact has only the rows near the queries.

    Args:
        tested: The model and its device.
        manifest: Manifest of the artifact, for the preprocessing.
        reference: The result of :func:`artifact_reference`; None if the artifact holds no query images. Then only the
            gates of the file are repeated.
        before: The verification at the export; its expected weights and thresholds are used again.

    Raises:
        PrunnetError: the device does not answer, or a file is damaged.
    """
    weights = _weights(tested.model)
    expected = Expected(weights=before.expected, device=find_runtime(tested.model.runtime).places_on)
    if reference is None:
        entry = _without_queries(file_gates(weights, tested.placement(), expected), before)
    else:
        queries = tested.embed(inputs_of_files(reference.images, manifest.preprocessing, pixels=reference.pixels))
        from_bytes = None if reference.pixels else queries[:BYTES_IMAGES]
        observed = Observed(queries, from_bytes, None, weights, tested.placement())
        entry = verify(observed, reference, expected, before.thresholds)
        entry = msgspec.structs.replace(entry, match_thresholds=before.match_thresholds)
    if weights is not None:
        return entry
    counted = [
        msgspec.structs.replace(gate, note="counted at the export; the file has the same hash")
        for gate in before.gates
        if gate.name in _COUNTED_GATES
    ]
    return msgspec.structs.replace(entry, gates=[*entry.gates, *counted])


def _without_queries(gates: list[Gate], before: VerificationEntry) -> VerificationEntry:
    """The verification of an artifact that holds no query images. Figures and gates of a search are not repeated."""
    found = {gate.name for gate in gates} | {*_COUNTED_GATES, *_ONLY_AT_EXPORT}
    unchecked = [
        Unchecked(name=gate.name, reason="the artifact holds no query images; the export checked it")
        for gate in before.gates
        if gate.name not in found
    ]
    return VerificationEntry(
        gates=gates,
        thresholds=before.thresholds,
        expected=before.expected,
        n_queries=0,
        n_gallery=before.n_gallery,
        gallery=before.gallery,
        match_thresholds=before.match_thresholds,
        data=before.data,
        query_images="none",
        unchecked=unchecked,
    )


def _weights(model: Model) -> Mapping[str, npt.NDArray[np.generic]] | None:
    """The weights in the model's files, or None if the device lacks the package that reads them."""
    try:
        return find_runtime(model.runtime).read_weights(model)
    except MissingExtra as error:
        _LOG.warning("%s: zeros and weights are not read again, only the file's hash is checked", error.message)
        return None
