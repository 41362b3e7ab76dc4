"""A limit on what is built from the options of a backbone, which may come from a file that is not trusted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from prunnet_export._errors import InvalidInput

# The largest architectures of timm have 6,000 modules and 4 * 10^9 parameters.
_MODULES = 20_000
_NUMBERS = 5 * 10**9


@contextmanager
def limited_building(*, numbers: int = _NUMBERS) -> Iterator[None]:
    """Until the end of the block, refuse to build modules without end, or more parameters than a number.

    Args:
        numbers: How many numbers all parameters may have together.

    Raises:
        InvalidInput: a module was built that has more.
    """
    modules, count = 0, 0

    def see_module(_parent: nn.Module, _name: str, _module: nn.Module | None) -> None:
        nonlocal modules
        modules += 1
        if modules > _MODULES:
            raise InvalidInput(f"the backbone has more than {_MODULES} layers", hint="check the backbone options")

    def see_parameter(_parent: nn.Module, _name: str, parameter: Tensor | None) -> None:
        nonlocal count
        count += 0 if parameter is None else parameter.numel()
        if count > numbers:
            raise InvalidInput(
                f"the backbone has more than {numbers} numbers", hint="check the backbone options and the embedding"
            )

    handles = [
        register_module_module_registration_hook(see_module),
        register_module_parameter_registration_hook(see_parameter),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
