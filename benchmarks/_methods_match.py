"""Comparing training methods whose queries search the gallery of a teacher."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import msgspec
from torch import nn

from prunnet_export.benchmarks._methods_data import keep_in_memory
from prunnet_export.benchmarks._methods_runs import read_run, run_file, store_settings, tool_versions, write_run
from prunnet_export.benchmarks._methods_teacher import GalleryTeacher
from prunnet_export.benchmarks.methods import MATCHING, NESTED, MatchBench, Settings
from prunnet_export.datasets import RetrievalData
from prunnet_export.evaluating import (
    ChosenImages,
    Embeddings,
    RetrievalMetrics,
    embed_in_torch,
    retrieval_metrics,
    settling_inputs,
    settling_vectors,
    topk_overlap,
)
from prunnet_export.network import adapt, reestimate_batchnorm

NEIGHBOURS = 10


class MatchFigures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The figures of one query embedder in the teacher's gallery, by the main definition of relevance.

    Attributes:
        capacity: The requested capacity; 1 is the dense network.
        cross_r1: R@1 of its queries.
        cross_map: Mean average precision, as the data set's protocol defines it.
        overlap: Mean share of the teacher's 10 nearest images that are among its own 10 nearest.
    """

    capacity: float
    cross_r1: float
    cross_map: float
    overlap: float


class MatchRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The result of one method with one seed.

    Attributes:
        method: Name of the method.
        seed: The seed.
        steps: Number of steps of each network that the method trained.
        trained: Figures by capacity, the dense network first, with every projector as it was cut or trained.
        refitted: The same, after every projector was refitted to the teacher's vectors.
        teacher_r1: R@1 of the teacher's own queries in its gallery.
        teacher_map: Mean average precision of these.
        seconds: Time of the training steps.
        cost: Forward and backward passes, as a multiple of those in a training of one dense network.
        n_queries: Number of query images.
        n_gallery: Number of gallery images.
        versions: Versions of Python and the packages.
    """

    method: str
    seed: int
    steps: int
    trained: list[MatchFigures]
    refitted: list[MatchFigures]
    teacher_r1: float
    teacher_map: float
    seconds: float
    cost: float
    n_queries: int
    n_gallery: int
    versions: dict[str, str]


@dataclass(frozen=True, eq=False)
class FixedGallery:
    """The teacher's gallery, and the queries that search it.

    Attributes:
        images: The images.
        queries: The teacher's vectors of the query images, float32 [n, d].
        gallery: Its vectors of the gallery images, float32 [m, d].
    """

    images: ChosenImages
    queries: Embeddings
    gallery: Embeddings

    @cached_property
    def teacher(self) -> RetrievalMetrics:
        """The teacher's self-test."""
        return self._search(self.queries)

    def figures(self, capacity: float, module: nn.Module) -> MatchFigures:
        """The figures of a query embedder."""
        queries = self.images.embed_queries(partial(embed_in_torch, module))
        found, relevance = self._search(queries), self.images.relevance
        overlap = topk_overlap(queries, self.queries, self.gallery, k=NEIGHBOURS, relevance=relevance)
        return MatchFigures(
            capacity=capacity,
            cross_r1=found.recall_at[1],
            cross_map=found.mean_average_precision,
            overlap=float(overlap.mean()),
        )

    def _search(self, queries: Embeddings) -> RetrievalMetrics:
        return retrieval_metrics(queries, self.gallery, self.images.relevance, self.images.data.protocol)


def compare_matching(
    settings: Settings,
    data: RetrievalData,
    folder: Path,
    *,
    teacher: GalleryTeacher,
    methods: Sequence[str],
    seeds: Sequence[int],
    progress: Callable[[str, int, int], None] = lambda _what, _done, _steps: None,
) -> list[MatchRun]:
    """The runs of every method with every seed. A run is read from the folder, or trained and stored there.

    Methods of equal cost need the run of the nested network. It is trained first if the folder lacks it.

    Raises:
        InvalidInput: the folder has other settings or a corrupt file, an image has no vector of the teacher, a capacity
            cannot be reached, or a loss is not finite.
        StorageError: the folder cannot be written.
        UnsupportedPattern: the backbone cannot be cut as a method requires.
    """
    # Augmented versions are boxes of the image as it is, and those that are kept in memory are resized.
    kept = data if teacher.settings.views else keep_in_memory(data, settings.preprocessing)
    images = ChosenImages(kept, settings.preprocessing, settings.max_queries, settings.max_gallery)
    gallery = FixedGallery(images, *teacher.vectors(images))
    store_settings(folder, settings, methods, seeds)

    def run(method: str, seed: int) -> MatchRun:
        file = run_file(folder, method, seed)
        if not file.exists():
            write_run(file, _run(bench, gallery, method, seed))
        return read_run(file, MatchRun)

    bench = MatchBench(
        settings, kept, folder, progress, match=teacher.match, nested_cost=lambda seed: run(NESTED, seed).cost
    )
    return [run(method, seed) for method in methods for seed in seeds]


def _run(bench: MatchBench, gallery: FixedGallery, method: str, seed: int) -> MatchRun:
    trained = MATCHING[method].train(bench, seed)
    train, sample = bench.data.train, bench.match(seed).sample
    inputs = partial(settling_inputs, train, sample, bench.settings.preprocessing)
    vectors = partial(settling_vectors, sample)
    plain, refitted = [], []
    for capacity, module in sorted(trained.queries().items(), reverse=True):
        reestimate_batchnorm(module, inputs())
        plain.append(gallery.figures(capacity, module))
    if trained.dense is not None:
        # As at the end of a training: subnetworks are cut from the refitted network.
        adapt(trained.dense, trained.dense, inputs, vectors)
    for capacity, module in sorted(trained.queries().items(), reverse=True):
        if module is not trained.dense:
            adapt(module, module if trained.dense is None else trained.dense, inputs, vectors)
        refitted.append(gallery.figures(capacity, module))
    n_queries, n_gallery = map(len, gallery.images.indices)
    return MatchRun(
        method=method,
        seed=seed,
        steps=trained.steps,
        trained=plain,
        refitted=refitted,
        teacher_r1=gallery.teacher.recall_at[1],
        teacher_map=gallery.teacher.mean_average_precision,
        seconds=trained.seconds,
        cost=trained.cost,
        n_queries=n_queries,
        n_gallery=n_gallery,
        versions=tool_versions(),
    )
