"""Verifying a build: what it does on its own runtime, held against the dense network."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from torch import nn

from prunnet_export._errors import Unreachable
from prunnet_export.artifact import VerificationEntry
from prunnet_export.devices import Device, embed, placement
from prunnet_export.patterns import Subnetwork
from prunnet_export.runtimes import Model, Runtime, find_runtime
from prunnet_export.search._builder import Build
from prunnet_export.search._evidence import DenseSide, Evidence, batches
from prunnet_export.verification import BYTES_IMAGES, Expected, Observed, Reference, Thresholds, verify
from prunnet_export.verification._reference import Embeddings
from prunnet_export.verification._zeros import Mask


@dataclass
class Judge:
    """Holds builds against one dense network and one set of images.

    Attributes:
        evidence: The network and the images.
        runtime: What the builds are for.
        device: Where they run, or their twins where the runtime cannot.
        by_twin: The runtime cannot run there: what computes the same runs instead.
        thresholds: Of the gates.
        threads: Intra-operator threads of the runtime; None leaves it to the engine.
        say: Called with one line of progress.
    """

    evidence: Evidence
    runtime: Runtime
    device: Device
    thresholds: Thresholds
    threads: int | None
    say: Callable[[str], None]
    by_twin: bool = False

    @cached_property
    def dense(self) -> DenseSide:
        """What the dense network makes of the images; computed at first use."""
        self.say("embedding the gallery with the dense network")
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
        dense, data, preprocessing = self.dense, self.evidence.data, self.evidence.preprocessing
        reference = self.evidence.reference(dense, module)
        queries = self._embed(model, batches(data.query, dense.queries, preprocessing))
        gallery = None
        if dense.own_gallery:
            # Where query and gallery are the same images, so are their embeddings.
            gallery = (
                queries
                if data.exclude_self and np.array_equal(dense.queries, dense.gallery)
                else self._embed(model, batches(data.gallery, dense.gallery, preprocessing))
            )
        observed = Observed(
            queries=queries,
            from_bytes=self._embed(model, [preprocessing(reference.images[:BYTES_IMAGES])]),
            gallery=gallery,
            weights=self.runtime.read_weights(self._own(build)),
            placement=placement(self.device, model),
        )
        weights = [tensor for tensor in module.state_dict().values() if tensor.ndim > 1]
        expected = Expected(
            precision=self.runtime.precision(build.candidate.precision),
            device=find_runtime(model.runtime).places_on,
            elements=sum(tensor.numel() for tensor in weights),
            zeros=sum(int((tensor == 0).sum()) for tensor in weights),
            masks=_masks(build.candidate.subnetwork),
        )
        return verify(observed, reference, expected, self.thresholds), reference

    def model(self, build: Build) -> Model:
        """What is run to verify a build: itself, or its twin.

        Raises:
            Unreachable: the runtime cannot run here, and nothing else computes what the model does.
        """
        if not self.by_twin:
            return self._own(build)
        twin = self.runtime.twin(self._own(build))
        if twin is None:
            raise Unreachable(
                f"{self.runtime.name} does not run here: {self.runtime.obstacle()}",
                hint="give the device it runs on, e.g. --device ssh://user@host",
            )
        return twin

    def _own(self, build: Build) -> Model:
        return Model(build.entry, self.runtime.name, build.candidate.precision)

    def _embed(self, model: Model, inputs: Iterable[Embeddings]) -> Embeddings:
        parts = [embed(self.device, model, batch, threads=self.threads) for batch in inputs]
        joined: Embeddings = np.concatenate(parts)
        return joined


def _masks(subnetwork: Subnetwork) -> tuple[Mask, ...]:
    """What the pattern promised, not what the module holds."""
    return tuple(mask.cpu().numpy() for mask in subnetwork.cut_masks().values() if not bool(mask.all()))
