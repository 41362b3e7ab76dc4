from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from prunnet_export._errors import InvalidInput
from prunnet_export.runtimes._session import Batch, Shape
from prunnet_export.runtimes.tensorrt import _cuda
from prunnet_export.runtimes.tensorrt._cuda import Cuda
from prunnet_export.runtimes.tensorrt._session import EngineSession
from tests.runtimes.tensorrt._fake_gpu import FakeContext, FakePlan, FakeRuntime, fake_engine

FILE = Path("model.engine")


def doubled(images: Batch) -> Batch:
    return 2 * images.reshape(len(images), -1)


class Rig:
    """A session on a fake GPU, and what it talks to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.runtime = FakeRuntime()
        monkeypatch.setattr(_cuda, "require", lambda module, *, extra: self.runtime)  # noqa: ARG005
        self.context = FakeContext(self.runtime, doubled)
        self.engine = fake_engine()
        self.compiled: list[int] = []

    def session(self, plan: FakePlan | None = None) -> EngineSession:
        return EngineSession(
            self.engine,
            FILE,
            plan=plan or FakePlan(),
            context=self.context,
            cuda=Cuda(extra="tensorrt"),
            compiled=lambda: self.compiled.append(self.context.shapes[-1][0]),
        )


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    return Rig(monkeypatch)


def images(count: int) -> Batch:
    return np.random.default_rng(count).random((count, 3, 2, 2), np.float32)


@pytest.mark.parametrize(("count", "parts"), [(1, [1]), (32, [32]), (33, [32, 1]), (70, [32, 32, 6])])
def test_batches_go_through_in_parts(count: int, parts: list[int], rig: Rig) -> None:
    batch = images(count)
    np.testing.assert_array_equal(rig.session().run(batch), doubled(batch))
    assert rig.runtime.copies == ["in", "out"] * len(parts)
    # Shapes are set where they change, since setting them costs.
    assert [shape[0] for shape in rig.context.shapes] == list(dict.fromkeys(parts))


def test_results_belong_to_the_caller(rig: Rig) -> None:
    session = rig.session()
    first = session.run(images(1))
    kept = first.copy()
    session.run(images(2))
    np.testing.assert_array_equal(first, kept)


def test_a_fixed_batch_is_respected(rig: Rig) -> None:
    session = rig.session(FakePlan(batch=2))
    assert session.shape == Shape(2, 2, 2, 12)
    np.testing.assert_array_equal(session.run(images(2)), doubled(images(2)))
    with pytest.raises(InvalidInput, match="3 images"):
        session.run(images(3))


def test_memory_is_freed_with_the_session(rig: Rig) -> None:
    session = rig.session()
    assert len(rig.runtime.blocks) == 2
    del session
    assert not rig.runtime.blocks


def test_hears_when_the_kernels_of_a_size_exist(rig: Rig) -> None:
    session = rig.session()
    for count in (1, 1, 4, 4, 1):
        session.run(images(count))
    assert rig.compiled == [1, 4, 1]


def test_a_failing_engine_is_one_line(rig: Rig) -> None:
    session = rig.session()
    rig.context.fails = True
    with pytest.raises(InvalidInput, match="the engine failed on the batch: it does not say why"):
        session.run(images(1))


def test_other_networks_are_refused(rig: Rig) -> None:
    with pytest.raises(InvalidInput, match="not all float32"):
        rig.session(FakePlan(kind="float16"))
    with pytest.raises(InvalidInput, match="not an embedding network"):
        rig.session(FakePlan(dim=0))
