from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunnet_export._errors import InvalidInput
from prunnet_export.artifact import ExpectedWeights, Gate, VerificationEntry
from prunnet_export.evaluating import Reference
from prunnet_export.evaluating._gate import at_least
from prunnet_export.evaluating._gates import Expected, Observed, verify
from prunnet_export.evaluating._images import Embeddings
from prunnet_export.precision import FP32, INT8, Precision
from prunnet_export.protocol import Protocol
from prunnet_export.relevance import ByLabel, Listed, Lists
from prunnet_export.thresholds import Thresholds
from tests._inputs import in_memory

CLASSES, PER_CLASS, DIM = 8, 4, 16


def unit(rows: Embeddings) -> Embeddings:
    lengths: Embeddings = np.linalg.norm(rows, axis=1, keepdims=True).astype(np.float32)
    return rows / lengths


def near(centres: Embeddings, *, seed: int, noise: float = 0.1) -> Embeddings:
    return unit(centres + noise * np.random.default_rng(seed).normal(size=centres.shape).astype(np.float32))


CENTRES = unit(np.random.default_rng(0).normal(size=(CLASSES, DIM)).astype(np.float32))
LABELS = np.repeat(np.arange(CLASSES), PER_CLASS)
DENSE = near(CENTRES[LABELS], seed=1)
SUBNETWORK = near(DENSE, seed=2, noise=0.05)
GALLERY = near(CENTRES[LABELS], seed=3)
WEIGHTS = {"conv": np.ones((50, 50), np.float32), "bias": np.ones(50, np.float32)}

REFERENCE = Reference(
    network="a" * 64,
    source="synthetic",
    images=tuple(b"image" for _ in LABELS),
    teacher_queries=DENSE,
    subnetwork_queries=SUBNETWORK,
    gallery=GALLERY,
    entry=in_memory(GALLERY),
    relevance=ByLabel(LABELS, LABELS),
)
OBSERVED = Observed(
    queries=SUBNETWORK,
    from_bytes=SUBNETWORK[:8],
    gallery=near(GALLERY, seed=4, noise=0.05),
    weights=WEIGHTS,
    placement={"CPU": 49},
)
EXPECTED = Expected(ExpectedWeights(elements=2500, zeros=0))


def run(
    observed: Observed = OBSERVED,
    reference: Reference = REFERENCE,
    expected: Expected = EXPECTED,
    thresholds: Thresholds = Thresholds(parity=0.999),  # noqa: B008  # frozen
) -> VerificationEntry:
    return verify(observed, reference, expected, thresholds)


def gate(entry: VerificationEntry, name: str) -> Gate:
    [found] = [one for one in entry.gates if one.name == name]
    return found


def failed(entry: VerificationEntry) -> set[str]:
    return {one.name for one in entry.gates if not one.passed}


def test_a_faithful_artifact_passes_every_gate() -> None:
    entry = run()
    assert not failed(entry)
    assert [one.name for one in entry.gates] == [
        "finite",
        "parity",
        "bytes to vector",
        "spread",
        "zeros kept",
        "weights shipped",
        "placement",
        "neighbour overlap",
        "cross-test recall",
    ]
    assert (entry.n_queries, entry.n_gallery, entry.data) == (len(LABELS), len(LABELS), "synthetic")
    assert entry.cross_r1 == entry.teacher_self_r1 == entry.self_r1 == 1
    assert all(one.comparison is not None or one.threshold is None for one in entry.gates)


def test_one_bad_image_among_many_fails_parity() -> None:
    queries = SUBNETWORK.copy()
    queries[17] = near(queries[17:18], seed=5, noise=0.05)[0]
    entry = run(replace(OBSERVED, queries=queries))
    assert failed(entry) == {"parity"}
    assert gate(entry, "parity").value == pytest.approx(float(queries[17] @ SUBNETWORK[17]), abs=1e-6)


def test_the_artifacts_own_preprocessing_is_looked_at() -> None:
    wrong = near(SUBNETWORK[:8], seed=6, noise=0.3)
    assert failed(run(replace(OBSERVED, from_bytes=wrong))) == {"bytes to vector"}


def test_collapsed_embeddings_fail_even_where_they_match_torch() -> None:
    collapsed = near(np.repeat(CENTRES[:1], len(LABELS), axis=0), seed=7, noise=1e-3)
    observed = replace(OBSERVED, queries=collapsed, from_bytes=collapsed[:8])
    entry = run(observed, replace(REFERENCE, subnetwork_queries=collapsed))
    assert failed(entry) == {"spread", "cross-test recall"}
    assert gate(entry, "spread").value < 1e-3


def test_a_collapsed_dense_network_proves_nothing() -> None:
    same = np.repeat(CENTRES[:1], len(LABELS), axis=0)
    entry = run(reference=replace(REFERENCE, teacher_queries=same))
    assert gate(entry, "spread").value >= 0
    assert "cross-test recall" not in failed(entry)  # the dense network is no better than the subnetwork


def test_a_dense_file_in_the_place_of_a_cut_one() -> None:
    entry = run(replace(OBSERVED, weights={"conv": np.ones((80, 80), np.float32)}))
    assert failed(entry) == {"weights shipped"}
    assert gate(entry, "weights shipped").comparison == "<="
    assert gate(entry, "weights shipped").value == pytest.approx(6400 / 2500)


def test_constants_of_the_preprocessing_are_no_weights() -> None:
    weights = {**WEIGHTS, "mean": np.ones((1, 3, 1, 1), np.float32), "std": np.ones((1, 3, 1, 1), np.float32)}
    assert not failed(run(replace(OBSERVED, weights=weights)))


def sparse(share: float) -> dict[str, np.ndarray]:
    weights = np.ones(10_000, np.float32)
    weights[: round(share * 10_000)] = 0
    return {"conv": weights.reshape(100, 100), "bias": np.zeros(50, np.float32)}


@pytest.mark.parametrize(("kept", "passes"), [(0.8, True), (0.7993, True), (0.79, False), (0.0, False)])
def test_zeros_that_were_lost(kept: float, passes: bool) -> None:
    expected = replace(EXPECTED, weights=ExpectedWeights(elements=10_000, zeros=8_000))
    entry = run(replace(OBSERVED, weights=sparse(kept)), expected=expected)
    assert failed(entry) == (set() if passes else {"zeros kept"})
    assert gate(entry, "zeros kept").n == 10_000  # vectors do not count as weights


def in_place(shape: tuple[int, ...] = (100, 100)) -> tuple[Expected, dict[str, np.ndarray]]:
    """A layer that keeps two of four weights, and the file that has it."""
    weights = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    weights.reshape(-1, 4)[:, [0, 3]] = 0
    expected = Expected(ExpectedWeights(elements=10_000, zeros=5_000), masks=(weights != 0,))
    return expected, {"layer": weights, "bias": np.zeros(50, np.float32)}


@pytest.mark.parametrize("turned", [False, True])
def test_zeros_in_place(turned: bool) -> None:
    expected, weights = in_place()
    if turned:
        weights["layer"] = weights["layer"].T
    entry = run(replace(OBSERVED, weights=weights), expected=expected)
    assert not failed(entry)
    assert (gate(entry, "zeros in place").value, gate(entry, "zeros in place").n) == (1, 1)


@pytest.mark.parametrize("shape", [(100, 100), (50, 50, 2, 2)])
def test_one_zero_that_moved(shape: tuple[int, ...]) -> None:
    expected, weights = in_place(shape)
    row = weights["layer"].reshape(-1)
    row[[0, 1]] = row[[1, 0]]
    assert not failed(run(replace(OBSERVED, weights=weights), expected=replace(expected, masks=())))
    row[[1, 4]] = row[[4, 1]]  # a zero moves into the next group of 2:4; the number of zeros stays
    entry = run(replace(OBSERVED, weights=weights), expected=expected)
    assert failed(entry) == {"zeros in place"}
    assert gate(entry, "zeros in place").value == 0


def test_without_weights_to_read_nothing_is_said_of_zeros() -> None:
    expected, _ = in_place()
    entry = run(replace(OBSERVED, weights=None), expected=expected)
    assert not failed(entry)
    assert not {"zeros kept", "weights shipped", "zeros in place"} & {one.name for one in entry.gates}


def test_a_node_on_another_device() -> None:
    entry = run(replace(OBSERVED, placement={"CPU": 48, "GPU": 1}))
    assert failed(entry) == {"placement"}
    assert failed(run(replace(OBSERVED, placement={}))) == {"placement"}
    assert not failed(run(replace(OBSERVED, placement={"NPU": 3}), expected=replace(EXPECTED, device="NPU")))


def scrambled(seed: int = 8) -> Embeddings:
    return unit(np.random.default_rng(seed).normal(size=DENSE.shape).astype(np.float32))


def test_embeddings_that_do_not_match_the_gallery_fail_recall() -> None:
    queries = scrambled()
    entry = run(
        replace(OBSERVED, queries=queries, from_bytes=queries[:8]), replace(REFERENCE, subnetwork_queries=queries)
    )
    assert failed(entry) == {"cross-test recall"}
    assert entry.cross_r1 is not None
    assert entry.teacher_self_r1 is not None
    assert gate(entry, "cross-test recall").value == pytest.approx(entry.cross_r1 / entry.teacher_self_r1)


def test_without_labels_the_overlap_decides() -> None:
    unlabelled = replace(REFERENCE, relevance=None)
    entry = run(reference=unlabelled)
    assert not failed(entry)
    assert gate(entry, "neighbour overlap").threshold == 0.5
    assert "cross-test recall" not in {one.name for one in entry.gates}
    assert entry.cross_r1 is None
    assert entry.teacher_self_r1 is None
    queries = scrambled()
    observed = replace(OBSERVED, queries=queries, from_bytes=queries[:8])
    assert failed(run(observed, replace(unlabelled, subnetwork_queries=queries))) == {"neighbour overlap"}


def test_the_lower_end_of_the_interval_is_compared() -> None:
    queries = near(DENSE, seed=8, noise=0.25)
    observed = replace(OBSERVED, queries=queries, from_bytes=queries[:8])
    unlabelled = replace(REFERENCE, relevance=None, subnetwork_queries=queries)
    found = gate(run(observed, unlabelled, thresholds=Thresholds(parity=0.999, overlap=0)), "neighbour overlap")
    assert found.interval is not None
    low, high = found.interval
    assert low < found.value < high
    for asked, passes in ((low, True), ((low + found.value) / 2, False)):
        entry = run(observed, unlabelled, thresholds=Thresholds(parity=0.999, overlap=asked))
        assert gate(entry, "neighbour overlap").passed == passes
    assert entry.failures() == [
        f"neighbour overlap: {found.value:.4g} (95% {low:.4g} to {high:.4g}), the gate asks for {asked:.4g}"
    ]


def test_junk_alone_is_no_relevance() -> None:
    junk = Listed(Lists.of([[]] * len(LABELS)), Lists.of([[row] for row in range(len(LABELS))]), len(GALLERY))
    entry = run(reference=replace(REFERENCE, relevance=junk))
    assert entry.cross_r1 is None
    assert gate(entry, "neighbour overlap").threshold == 0.5


def test_notes_say_whose_gallery_it_is() -> None:
    foreign = msgspec.structs.replace(in_memory(GALLERY), made_by="teacher")
    dense, teacher = (
        {one.name: one.note for one in run(reference=replace(REFERENCE, entry=entry)).gates}
        for entry in (in_memory(GALLERY), foreign)
    )
    for name in ("spread", "neighbour overlap", "cross-test recall"):
        assert "dense" in dense[name]
        assert "teacher" in teacher[name]
        assert "dense" not in teacher[name]


def test_a_gallery_of_the_first_dimensions() -> None:
    cut = GALLERY[:, :12] / np.linalg.norm(GALLERY[:, :12], axis=1, keepdims=True)
    entry = run(reference=replace(REFERENCE, gallery=cut, entry=in_memory(cut)))
    assert not failed(entry)
    assert 0.8 < (entry.cross_r1 or 0) <= 1


def test_with_labels_the_overlap_is_only_reported() -> None:
    queries = scrambled()
    observed = replace(OBSERVED, queries=queries, from_bytes=queries[:8])
    reported = gate(run(observed, replace(REFERENCE, subnetwork_queries=queries)), "neighbour overlap")
    assert (reported.threshold, reported.comparison, reported.passed) == (None, None, True)
    assert reported.value < 0.5


def test_thresholds_are_those_of_the_caller() -> None:
    asked = Thresholds(parity=0.5, recall=0.25, overlap=0.125, spread=0.75)
    entry = run(thresholds=asked, reference=replace(REFERENCE, relevance=None))
    thresholds = {one.name: one.threshold for one in entry.gates}
    assert [thresholds[name] for name in ("parity", "bytes to vector", "spread", "neighbour overlap")] == [
        0.5,
        0.5,
        0.75,
        0.125,
    ]
    assert gate(run(thresholds=asked), "cross-test recall").threshold == 0.25


@pytest.mark.parametrize(("precision", "threshold"), [(FP32, 0.999), (INT8, 0.99)])
def test_the_parity_that_is_asked_for_is_the_precisions(precision: Precision, threshold: float) -> None:
    thresholds = Thresholds().with_parity(precision.parity)
    assert gate(run(thresholds=thresholds), "parity").threshold == threshold
    assert Thresholds(parity=0.5).with_parity(precision.parity).parity == 0.5


def test_without_a_parity_nothing_is_verified() -> None:
    with pytest.raises(ValueError, match="parity"):
        run(thresholds=Thresholds())


def test_a_gallery_smaller_than_ten() -> None:
    entry = run(
        replace(OBSERVED, gallery=None),
        replace(
            REFERENCE,
            gallery=GALLERY[::PER_CLASS],
            entry=in_memory(GALLERY[::PER_CLASS]),
            relevance=ByLabel(LABELS, LABELS[::PER_CLASS]),
        ),
    )
    assert not failed(entry)
    assert gate(entry, "neighbour overlap").value == 1  # all of the gallery
    assert entry.self_r1 is None


def test_the_querys_own_image_is_no_match() -> None:
    # Two images per class, and query = gallery. If the own image counted, every query would find a relevant image.
    labels = np.repeat(np.arange(len(LABELS) // 2), 2)
    apart = scrambled(9)
    reference = replace(
        REFERENCE,
        teacher_queries=apart,
        gallery=apart,
        subnetwork_queries=apart,
        relevance=ByLabel(labels, labels, own=np.arange(len(labels))),
    )
    entry = run(replace(OBSERVED, queries=apart, from_bytes=apart[:8], gallery=apart), reference)
    assert entry.cross_r1 is not None
    assert entry.cross_r1 < 0.5


def test_the_data_sets_own_relevance_and_figures_are_used() -> None:
    # For each query, the nearest image is junk and the third nearest is relevant, so its rank is 2.
    nearest = np.argsort(-(DENSE[:2] @ GALLERY.T), axis=1)
    listed = Listed(Lists.of(nearest[:, 2:3]), Lists.of(nearest[:, :1]), len(GALLERY))
    two = replace(
        REFERENCE,
        images=REFERENCE.images[:2],
        teacher_queries=DENSE[:2],
        subnetwork_queries=DENSE[:2],
        relevance=listed,
        protocol=Protocol(depth=1),
    )
    observed = replace(OBSERVED, queries=DENSE[:2], from_bytes=DENSE[:2], gallery=None)
    entry = run(observed, two)
    assert (entry.cross_r1, entry.cross_map) == (0, 0)  # only the first rank counts
    assert run(observed, replace(two, protocol=Protocol(depth=2))).cross_map == 0.5


def test_a_network_that_finds_nothing_passes_no_recall_gate() -> None:
    labels = (LABELS + 1) % CLASSES
    reference = replace(REFERENCE, relevance=ByLabel(labels, LABELS))
    entry = run(reference=reference)
    assert entry.teacher_self_r1 == 0
    assert failed(entry) == {"cross-test recall"}
    assert not failed(run(reference=reference, thresholds=Thresholds(parity=0.999, recall=0)))


@pytest.mark.parametrize("value", [np.nan, np.inf, 0])
def test_embeddings_that_are_not_finite_fail_a_gate(value: float) -> None:
    queries = SUBNETWORK.copy()
    queries[3] = value
    entry = run(replace(OBSERVED, queries=queries))
    assert failed(entry) == {"finite"}
    assert entry.cross_r1 is None


def test_embeddings_of_another_shape_are_refused() -> None:
    with pytest.raises(InvalidInput):
        run(replace(OBSERVED, queries=SUBNETWORK[:, :-1]))
    with pytest.raises(InvalidInput):
        run(replace(OBSERVED, queries=SUBNETWORK[:-1]))


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_at_least(value: float, threshold: float) -> None:
    made = at_least("x", value, threshold, n=1, note="")
    assert made.passed == (value >= threshold)
    assert at_least("x", value, None, n=1, note="").passed
    assert not at_least("x", float("nan"), threshold, n=1, note="").passed


@pytest.mark.parametrize("name", ["parity", "recall", "overlap", "spread"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_threshold_that_nothing_can_be_held_against(name: str, value: float) -> None:
    with pytest.raises(InvalidInput, match=name):
        Thresholds(**{name: value})
