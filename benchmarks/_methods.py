"""Comparing training methods. A finished run is stored and not repeated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec
from torch import Tensor, nn

from prunnet_export.benchmarks._methods_data import keep_in_memory
from prunnet_export.benchmarks._methods_runs import read_run, run_file, store_settings, tool_versions, write_run
from prunnet_export.benchmarks.methods import METHODS, Bench, Settings, Trained
from prunnet_export.datasets import RetrievalData
from prunnet_export.evaluating import ChosenImages, Embeddings, embed_in_torch, statistics_inputs
from prunnet_export.network import align_projector, reestimate_batchnorm


class Figures(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The retrieval figures of one embedder, by the main definition of relevance.

    Attributes:
        capacity: The requested capacity; 1 is the dense network.
        self_r1: R@1, query and gallery by this embedder.
        cross_r1: R@1, query by this embedder and gallery by the dense one.
        self_map: Mean average precision of the self-test, as the data set's protocol defines it.
        cross_map: Mean average precision of the cross-test.
    """

    capacity: float
    self_r1: float
    cross_r1: float
    self_map: float
    cross_map: float


class Run(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The result of one method with one seed.

    Attributes:
        method: Name of the method.
        seed: The seed.
        rows: Figures by row of the table, the dense network first.
        aligned: The same, after the projector of each query embedder was refitted to the dense network's outputs.
        seconds: Time of the training steps, without those of a dense network that other methods use too.
        cost: Forward and backward passes, as a multiple of those in a training of the dense network alone.
        n_queries: Number of query images.
        n_gallery: Number of gallery images.
        versions: Versions of Python and the packages.
    """

    method: str
    seed: int
    rows: dict[str, list[Figures]]
    aligned: dict[str, list[Figures]]
    seconds: float
    cost: float
    n_queries: int
    n_gallery: int
    versions: dict[str, str]


Keep = Callable[[str, int, Trained, Embeddings], None]
"""Stores the networks of a method and a seed, refitted, and the gallery that the dense one embedded."""


def _forget(_method: str, _seed: int, _trained: Trained, _gallery: Embeddings) -> None:
    pass


def compare(
    settings: Settings,
    data: RetrievalData,
    folder: Path,
    *,
    methods: Sequence[str],
    seeds: Sequence[int],
    progress: Callable[[str, int, int], None] = lambda _what, _done, _steps: None,
    keep: Keep = _forget,
) -> list[Run]:
    """The runs of every method with every seed. A run is read from the folder, or trained and stored there.

    Each finished run is one file. Several processes can use one folder for different methods.

    Args:
        settings: The settings of all methods.
        data: The images.
        folder: The folder of the finished runs.
        methods: Names of the methods.
        seeds: The seeds.
        progress: Called after every step with the name of the run, the finished steps and all steps.
        keep: Called with the networks of each run that is trained, before the run is stored.

    Raises:
        InvalidInput: the folder has other settings or a corrupt file, a capacity cannot be reached, or a loss is not
            finite.
        MissingExtra: a package that a method needs is not installed.
        StorageError: the folder cannot be written.
        UnsupportedPattern: the backbone cannot be cut as a method requires.
    """
    for method in methods:
        METHODS[method].check(settings)
    store_settings(folder, settings, methods, seeds)
    bench = Bench(settings, keep_in_memory(data, settings.preprocessing), folder, progress)
    runs = []
    for method in methods:
        for seed in seeds:
            file = run_file(folder, method, seed)
            if not file.exists():
                write_run(file, _run(bench, method, seed, keep))
            runs.append(read_run(file, Run))
    return runs


def _run(bench: Bench, method: str, seed: int, keep: Keep) -> Run:
    settings, recipe = bench.settings, bench.settings.recipe(seed)
    images = ChosenImages(bench.data, recipe.preprocessing, settings.max_queries, settings.max_gallery)
    n_queries, n_gallery = map(len, images.indices)  # before the training, because it refuses unsuitable images
    trained = METHODS[method].train(bench, seed)

    def statistics() -> Iterator[Tensor]:
        return statistics_inputs(bench.data.train, recipe.preprocessing, recipe.statistics_images)

    reestimate_batchnorm(trained.dense, statistics())
    gallery = images.embed_gallery(partial(embed_in_torch, trained.dense))
    dense = _figures(images, 1, trained.dense, gallery)
    rows: dict[str, list[Figures]] = {}
    aligned: dict[str, list[Figures]] = {}
    for row, queries in trained.queries.items():
        rows[row], aligned[row] = [dense], [dense]
        for capacity, module in sorted(queries.items(), reverse=True):
            reestimate_batchnorm(module, statistics())
            rows[row].append(_figures(images, capacity, module, gallery))
            align_projector(module, trained.dense, statistics())
            aligned[row].append(_figures(images, capacity, module, gallery))
    keep(method, seed, trained, gallery)
    return Run(
        method=method,
        seed=seed,
        rows=rows,
        aligned=aligned,
        seconds=trained.seconds,
        cost=trained.cost,
        n_queries=n_queries,
        n_gallery=n_gallery,
        versions=tool_versions(),
    )


def _figures(images: ChosenImages, capacity: float, module: nn.Module, dense_gallery: Embeddings) -> Figures:
    """Self-test and cross-test of an embedder."""
    embed = partial(embed_in_torch, module)
    queries = images.embed_queries(embed)
    own, cross = images.self_and_cross_test(queries, images.embed_gallery(embed, queries), dense_gallery)
    return Figures(
        capacity=capacity,
        self_r1=own.recall_at[1],
        cross_r1=cross.recall_at[1],
        self_map=own.mean_average_precision,
        cross_map=cross.mean_average_precision,
    )
