"""A kill of a training, as it looks from inside."""

from __future__ import annotations

from prunnet_export.training._loop import Progress


class Killed(BaseException):
    """The training ends here, and nothing handles it."""


def kill_at(step: int) -> Progress:
    """A progress function that ends the training after a step."""

    def kill(done: int, _steps: int, _metrics: dict[str, float]) -> None:
        if done == step:
            raise Killed

    return kill
