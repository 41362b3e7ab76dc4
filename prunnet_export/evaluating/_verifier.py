"""Verifying a build: what it does on its own runtime, held against the dense network."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property

from torch import nn

from prunnet_export._errors import Unreachable
from prunnet_export.artifact import ExpectedWeights, VerificationEntry
from prunnet_export.building import Build
from prunnet_export.devices import Device
from prunnet_export.evaluating._evidence import DenseSide, Evidence
from prunnet_export.evaluating._gates import BYTES_IMAGES, Expected, Observed, verify
from prunnet_export.evaluating._images import inputs_of
from prunnet_export.evaluating._model import ModelOnDevice
from prunnet_export.evaluating._reference import Reference
from prunnet_export.evaluating._zeros import Mask
from prunnet_export.patterns import Subnetwork
from prunnet_export.runtimes import Model, Runtime, find_runtime
from prunnet_export.thresholds import Thresholds

_LOG = logging.getLogger(__name__)


@dataclass
class Verifier:
    """Holds builds against one dense network and one set of images.

    Attributes:
        evidence: The network and the images.
        runtime: What the builds are for.
        device: Where they run, or their twins where the runtime cannot.
        by_twin: The runtime cannot run there: what computes the same runs instead.
        thresholds: Of the gates.
        threads: Intra-operator threads of the runtime; None leaves it to the engine.
    """

    evidence: Evidence
    runtime: Runtime
    device: Device
    thresholds: Thresholds
    threads: int | None
    by_twin: bool = False

    @cached_property
    def dense(self) -> DenseSide:
        """What the dense network makes of the images; computed at first use."""
        _LOG.info("embedding the gallery with the dense network")
        return self.evidence.dense()

    def verify(self, build: Build, module: nn.Module) -> tuple[VerificationEntry, Reference]:
        """The verification of a build.

        Args:
            build: Compiled, with BatchNorm statistics of its own.
            module: The same subnetwork in torch.

        Returns:
            What came out, and the reference that it was held against.

        Raises:
            InvalidInput: an image or an embedding is not what it has to be.
            Unreachable: the device does not answer, or nothing here computes what the model does.
        """
        model = self.model(build)
        tested = ModelOnDevice(model, self.device, self.threads)
        dense, evidence = self.dense, self.evidence
        reference = evidence.reference(dense, module)
        queries = tested.embed(inputs_of(evidence.data.query, dense.queries, evidence.preprocessing))
        observed = Observed(
            queries=queries,
            from_bytes=tested.embed([evidence.preprocessing(reference.images[:BYTES_IMAGES])]),
            gallery=None if evidence.gallery else evidence.images.embed_gallery(tested.embed, queries),
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
        return verify(observed, reference, expected, thresholds), reference

    def model(self, build: Build) -> Model:
        """What is run to verify a build: itself, or its twin.

        Raises:
            Unreachable: the runtime cannot run here, and nothing else computes what the model does.
        """
        if not self.by_twin:
            return build.model
        twin = self.runtime.twin(build.model)
        if twin is None:
            raise Unreachable(
                f"{self.runtime.name} does not run here: {self.runtime.obstacle()}",
                hint="give the device it runs on, e.g. --device ssh://user@host",
            )
        return twin


def _masks(subnetwork: Subnetwork) -> tuple[Mask, ...]:
    """What the pattern promised, not what the module holds."""
    return tuple(mask.cpu().numpy() for mask in subnetwork.cut_masks().values() if not bool(mask.all()))
