"""Verifying a model again from an artifact's own files: no data set, no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from prunnet_export._errors import InvalidInput, MissingExtra
from prunnet_export.artifact import Gate, Manifest, VerificationEntry
from prunnet_export.devices import Device, embed, placement
from prunnet_export.precision import Precision
from prunnet_export.runtimes import Model, Runtime
from prunnet_export.verification._arrays import read_arrays
from prunnet_export.verification._gates import BYTES_IMAGES, Expected, Observed, Thresholds, verify
from prunnet_export.verification._reference import REFERENCE_FILE, Embeddings, Reference, load_reference

_CHUNK = 250  # images that are decoded and held at a time, as in an export


def artifact_reference(folder: Path, manifest: Manifest, embeddings: str | None = None) -> Reference:
    """What an artifact's model was verified against.

    Args:
        folder: The artifact.
        manifest: The artifact's.
        embeddings: The .npy file of another candidate's torch embeddings, which take the place of the chosen one's.

    Raises:
        InvalidInput: a file is damaged, or of another network.
    """
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


@dataclass(frozen=True)
class Again:
    """A model of an artifact, to be verified once more; the self-test is not repeated, as its images do not travel.

    Attributes:
        manifest: The artifact's, for the preprocessing.
        runtime: Runs the model.
        model: The file.
        device: Where to run it.
        threads: Intra-operator threads; None leaves it to the engine.
        warn: Called with one line where something cannot be looked at.
    """

    manifest: Manifest
    runtime: Runtime
    model: Model
    device: Device
    threads: int | None
    warn: Callable[[str], None]

    def verify(self, reference: Reference, gates: Sequence[Gate]) -> VerificationEntry:
        """What comes out now.

        Args:
            reference: Of :func:`artifact_reference`.
            gates: What came out at the export; they are asked for the same.

        Raises:
            InvalidInput: the gates do not say what was shipped.
            PrunnetError: the device does not answer.
        """
        before = {gate.name: gate for gate in gates}
        expected = _expected(before, self.runtime.precision(self.model.precision), self.runtime.places_on)
        queries = self.embedded(reference.images)
        nodes = placement(self.device, self.model)
        weights = _weights(self.runtime, self.model, self.warn)
        observed = Observed(
            queries=queries,
            from_bytes=queries[:BYTES_IMAGES],
            gallery=None,
            weights=weights,
            placement=nodes,
        )
        entry = verify(observed, reference, expected, _thresholds(before))
        if weights is None:  # of the same file, as its hash says: what the export counted stands
            counted = [
                msgspec.structs.replace(before[name], note="counted at the export; the file's hash vouches for it")
                for name in ("zeros kept", "weights shipped")
            ]
            entry = msgspec.structs.replace(entry, gates=[*entry.gates, *counted])
        return entry

    def embedded(self, images: Sequence[bytes]) -> Embeddings:
        """Embeddings float32 [n, d] of image files by the model."""
        parts = [
            embed(
                self.device,
                self.model,
                self.manifest.preprocessing(images[start : start + _CHUNK]),
                threads=self.threads,
            )
            for start in range(0, len(images), _CHUNK)
        ]
        joined: Embeddings = np.concatenate(parts)
        return joined


def _weights(
    runtime: Runtime, model: Model, warn: Callable[[str], None]
) -> Mapping[str, npt.NDArray[np.generic]] | None:
    """The shipped weights, or None on a device that has the runtime and nothing to read its files with."""
    try:
        return runtime.read_weights(model)
    except MissingExtra as error:
        warn(f"{error.message}: for zeros and weights the file's hash vouches alone")
        return None


def _thresholds(gates: Mapping[str, Gate]) -> Thresholds:
    """What the export asked for, so that checking again asks for the same."""
    asked = {name: gate.threshold for name, gate in gates.items() if gate.threshold is not None}
    default = Thresholds()
    return Thresholds(
        parity=asked.get("parity"),
        recall=asked.get("cross-test recall", default.recall),
        overlap=asked.get("neighbour overlap", default.overlap),
        spread=asked.get("spread", default.spread),
    )


def _expected(gates: Mapping[str, Gate], precision: Precision, places_on: str) -> Expected:
    """The subnetwork's weights and zeros, from what the export counted.

    Where each zero lies was looked at then; that the file is still the same one, its hash says.
    """
    shipped, zeros = gates.get("weights shipped"), gates.get("zeros kept")
    if shipped is None or zeros is None or shipped.value <= 0:
        raise InvalidInput("the manifest does not say what was shipped", hint="export the artifact again")
    elements = round(shipped.n / shipped.value)
    return Expected(
        precision=precision,
        elements=elements,
        zeros=int((zeros.threshold or 0) / 0.999 * elements),
        device=places_on,
    )
