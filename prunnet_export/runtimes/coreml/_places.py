"""Which operations of a Core ML program compute in fp16: those that the twin computes in fp16."""

from __future__ import annotations

from typing import Any

_WEIGHTED = frozenset({"conv", "conv_transpose", "linear", "matmul"})
# They square values, and the square of 256 is too large for fp16.
_FLOAT32_ONLY = frozenset({"batch_norm", "instance_norm", "layer_norm", "reduce_l2_norm"})


class Fp16Places:
    """Says of each operation whether it computes in fp16, for coremltools' conversion.

    All operations from the first layer with weights to the last compute in fp16, as in the twin. The standardisation of
    the image before them, the L2 norm after them and all norms stay in fp32.
    """

    def __init__(self) -> None:
        self._chosen: dict[int, frozenset[str]] = {}

    def __call__(self, operation: Any) -> bool:
        """Whether the operation computes in fp16."""
        block = operation.enclosing_block
        # The places are found once, because the conversion inserts casts while it asks.
        if id(block) not in self._chosen:
            self._chosen[id(block)] = _between_weighted(list(block.operations))
        return operation.op_type not in _FLOAT32_ONLY and operation.name in self._chosen[id(block)]


def _between_weighted(operations: list[Any]) -> frozenset[str]:
    """The names of the layers with weights, and of all operations between two of them."""
    after: set[str] = set()
    following: set[str] = set()
    for operation in operations:
        if operation.op_type in _WEIGHTED or not after.isdisjoint(_read(operation)):
            following.add(operation.name)
            after.update(output.name for output in operation.outputs)
    before: set[str] = set()
    chosen: set[str] = set()
    for operation in reversed(operations):
        if operation.op_type in _WEIGHTED or any(output.name in before for output in operation.outputs):
            before.update(_read(operation))
            if operation.name in following:
                chosen.add(operation.name)
    return frozenset(chosen)


def _read(operation: Any) -> list[str]:
    """The names of the values that an operation reads."""
    values = [value for value in operation.inputs.values() if value is not None]
    return [one.name for value in values for one in (value if isinstance(value, list | tuple) else [value])]
