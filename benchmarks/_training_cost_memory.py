"""Peak memory of one kind of training, in a separate process."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import torch

from prunnet_export._child import child_command, inherited
from prunnet_export._errors import Unreachable
from prunnet_export._files import PACKAGE_HOME
from prunnet_export.benchmarks._training_cost_steps import PlainPasses, RecipeStep
from prunnet_export.devices import PeakMemory
from prunnet_export.network import limit_torch_threads
from prunnet_export.training import Recipe, keep_freed_memory

STEPS = 3  # the optimizer allocates its momentum in the first


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """The training of the process.

    Attributes:
        recipe: The recipe; without patterns the plain network is trained.
        threads: Number of torch's threads; None for torch's default.
    """

    recipe: Recipe
    threads: int | None


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """Resident memory of the process, MiB.

    Attributes:
        peak_mb: Peak of the whole process during the training.
        idle_mb: Memory before the first step, after all imports and the building of the network.
        source: Source of the figures.
    """

    peak_mb: float
    idle_mb: float
    source: str

    @property
    def growth_mb(self) -> float:
        """The memory that the training adds."""
        return self.peak_mb - self.idle_mb


def peak_memory(request: Request) -> Memory:
    """Train a few steps in a new process.

    Raises:
        Unreachable: the process died, usually because memory ran out.
    """
    ran = subprocess.run(
        child_command(__name__),
        cwd=PACKAGE_HOME,
        input=msgspec.json.encode(request),
        capture_output=True,
        check=False,
        pass_fds=inherited(),
    )
    if ran.returncode != 0:
        last = (ran.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
        raise Unreachable(
            f"the process that trains for the memory figure ended with code {ran.returncode}: {last}",
            hint="if it was killed, memory ran out: lower --batch or --image-size",
        )
    return msgspec.json.decode(ran.stdout, type=Memory)


def measure(request: Request) -> Memory:
    """Train a few steps in this process."""
    if request.threads is not None:
        torch.set_num_threads(request.threads)
    else:
        limit_torch_threads()
    keep_freed_memory()
    recipe = request.recipe
    step = RecipeStep(recipe) if recipe.patterns else PlainPasses(recipe, update=True)
    peak = PeakMemory()
    for _ in range(STEPS):
        step()
    return Memory(peak_mb=peak.process_mb(), idle_mb=peak.base_mb, source=peak.source)


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.json.encode(measure(msgspec.json.decode(sys.stdin.buffer.read(), type=Request))))
