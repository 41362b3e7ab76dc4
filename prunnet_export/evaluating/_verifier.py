"""Verifying a build: its results on its runtime are compared with the teacher's."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property

import msgspec
from torch import nn

from prunnet_export._errors import Unreachable
from prunnet_export.artifact import ExpectedWeights, VerificationEntry
from prunnet_export.building import Build
from prunnet_export.devices import Device
from prunnet_export.evaluating._evidence import Evidence
from prunnet_export.evaluating._gates import BYTES_IMAGES, Expected, Observed, verify
from prunnet_export.evaluating._images import Embeddings
from prunnet_export.evaluating._match_thresholds import check_threshold
from prunnet_export.evaluating._model import ModelOnDevice
from prunnet_export.evaluating._reference import Reference
from prunnet_export.evaluating._teacher_side import TeacherSide
from prunnet_export.evaluating._zeros import Mask
from prunnet_export.patterns import Subnetwork
from prunnet_export.runtimes import Runtime, find_runtime
from prunnet_export.thresholds import Thresholds

_LOG = logging.getLogger(__name__)


@dataclass
class Verifier:
    """Verifies builds of one network with one set of images and one gallery.

    Attributes:
        evidence: The network and the images.
        runtime: The runtime that the builds are compiled for.
        device: The device that runs the builds or their twins.
        thresholds: Thresholds of the gates.
        threads: Intra-operator threads of the runtime; None leaves it to the engine.
        by_twin: Whether twins run instead of the builds, because the runtime cannot run on the device.
        match_threshold: The similarity at which the teacher's service accepts a match; None takes usual rates.
    """

    evidence: Evidence
    runtime: Runtime
    device: Device
    thresholds: Thresholds
    threads: int | None
    by_twin: bool = False
    match_threshold: float | None = None

    def __post_init__(self) -> None:
        """Raise UsageError if no match can have the threshold."""
        if self.match_threshold is not None:
            gallery = self.evidence.gallery
            check_threshold(self.match_threshold, "cosine" if gallery is None else gallery.entry.metric)

    @cached_property
    def no_threshold(self) -> str | None:
        """Why a verification has no thresholds of a match, whatever the build; None if it has some."""
        return self.side.why_no_threshold(asked=self.match_threshold)

    @cached_property
    def side(self) -> TeacherSide:
        """The teacher's embeddings of the queries, and the gallery; made at first use."""
        dense = self.evidence.sample is None
        _LOG.info("%s", "embedding with the dense network" if dense else "looking up the teacher's vectors")
        return self.evidence.teacher_side(refuse_chance=self.thresholds.recall > 0)

    def verify(self, build: Build, module: nn.Module) -> tuple[VerificationEntry, Reference]:
        """The verification of a build.

        Args:
            build: The compiled subnetwork, with BatchNorm statistics of its own.
            module: The same subnetwork in torch.

        Returns:
            The verification, and the reference that was used.

        Raises:
            InvalidInput: an image or an embedding is not valid.
            Unreachable: the device does not answer, or the model has to run by a twin and has none.
        """
        tested = self.tested(build)
        model = tested.model
        side, evidence = self.side, self.evidence
        queries = tested.embed(evidence.query_inputs(side))
        reference = evidence.reference(side, evidence.embed_queries(side, module), queries)
        observed = Observed(
            queries=queries,
            from_bytes=tested.embed([evidence.preprocessing(reference.images[:BYTES_IMAGES])]),
            gallery=self._own_gallery(tested, queries),
            weights=self.runtime.read_weights(build.model),
            placement=tested.placement(),
        )
        weights = [tensor for tensor in module.state_dict().values() if tensor.ndim > 1]
        expected = Expected(
            weights=ExpectedWeights(
                elements=sum(tensor.numel() for tensor in weights),
                zeros=sum(int((tensor == 0).sum()) for tensor in weights),
            ),
            device=find_runtime(model.runtime).places_on,
            masks=_masks(build.candidate.subnetwork),
        )
        thresholds = self.thresholds.with_parity(self.runtime.precision(build.candidate.precision).parity)
        entry = verify(observed, reference, expected, thresholds)
        if entry.gates[0].passed:  # the embeddings are finite
            accepted = side.match_thresholds(queries, asked=self.match_threshold)
            entry = msgspec.structs.replace(entry, match_thresholds=accepted)
        return entry, reference

    def _own_gallery(self, tested: ModelOnDevice, queries: Embeddings) -> Embeddings | None:
        """The tested model's embeddings of the data set's gallery; None if the gallery is not of its images."""
        evidence = self.evidence
        if evidence.gallery is not None or evidence.sample is not None:
            return None
        return evidence.images.embed_gallery(tested.embed, queries)

    def tested(self, build: Build) -> ModelOnDevice:
        """The model that is run to verify a build: its own, or its twin.

        Raises:
            Unreachable: the runtime cannot run here, and the model has no twin.
        """
        model = self.runtime.twin(build.model) if self.by_twin else build.model
        if model is None:
            raise Unreachable(
                f"{self.runtime.name} does not run here: {self.runtime.obstacle()}",
                hint="give the device it runs on, e.g. --device ssh://user@host",
            )
        return ModelOnDevice(model, self.device, self.threads)


def _masks(subnetwork: Subnetwork) -> tuple[Mask, ...]:
    """The masks of the layers with zeros, as the pattern defines them; the module's tensors may have other zeros."""
    return tuple(mask.cpu().numpy() for mask in subnetwork.cut_masks().values() if not bool(mask.all()))
