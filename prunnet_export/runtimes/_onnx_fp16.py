"""Conversion of ONNX graphs to fp16, for engines that execute each node in the type that the file states."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from prunnet_export._errors import InvalidInput
from prunnet_export._imports import require
from prunnet_export._text import one_line

_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
# They square values, and the square of 256 is too large for fp16.
_FLOAT32_ONLY = frozenset({"GroupNormalization", "InstanceNormalization", "LayerNormalization", "ReduceL2"})
_LARGEST = float(np.finfo(np.float16).max)
_HALF, _FULL = "/fp16", "/fp32"


def to_fp16(model: Any, *, only: Collection[str] | None = None) -> Any:
    """The same network with fp16 weights and activations. Its input and output stay float32.

    All nodes from the first layer with weights to the last become fp16. The standardisation of the image before them
    and the L2 norm after them stay float32. Norms of layers, groups and instances, L2 norms, nodes that write an output
    of the graph, and operators that ONNX defines only for float32 stay float32 too. Casts connect the parts. Weights
    are rounded to the nearest fp16 number: zeros stay zeros, and a weight of at most 2^-25 becomes zero.

    Args:
        model: An ONNX ``ModelProto`` in float32. It is not changed.
        only: Names of the nodes that may become fp16; None for all.

    Returns:
        A new ``ModelProto``, sorted and checked, with inferred shapes.

    Raises:
        InvalidInput: a weight is larger than 65504, or ONNX cannot infer the types of the graph.
        MissingExtra: onnx is not installed.
    """
    onnx = require("onnx", extra="host")
    if any(part.type == onnx.AttributeProto.GRAPH for node in model.graph.node for part in node.attribute):
        raise InvalidInput("a graph with branches or loops cannot be made fp16", hint="use --precision fp32")
    try:
        typed = onnx.shape_inference.infer_shapes(model, strict_mode=True)
        _rewrite(onnx, typed, only)
        typed = onnx.shape_inference.infer_shapes(typed, strict_mode=True, data_prop=True)
        onnx.checker.check_model(typed, full_check=True)
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as error:
        raise InvalidInput(f"the graph cannot be made fp16: {one_line(error)}", hint="use --precision fp32") from None
    return typed


def _rewrite(onnx: Any, model: Any, only: Collection[str] | None) -> None:
    graph = model.graph
    values = (*graph.input, *graph.value_info, *graph.output)
    kinds = {value.name: value.type.tensor_type.elem_type for value in values}
    kinds |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    floats = {name for name, kind in kinds.items() if kind == onnx.TensorProto.FLOAT}

    results = {value.name for value in graph.output}
    versions = {one.domain: one.version for one in model.opset_import}
    chosen = {
        index
        for index in _between_weighted(graph.node)
        if (only is None or graph.node[index].name in only)
        and results.isdisjoint(graph.node[index].output)
        and graph.node[index].op_type not in _FLOAT32_ONLY
        and _takes_fp16(onnx, graph.node[index], versions, floats)
    }
    _convert_weights(onnx, graph, chosen)
    fp16_names = {name for index in chosen for name in graph.node[index].output}
    fp16_names |= {tensor.name for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT16}
    nodes = list(_with_casts(onnx, graph.node, chosen, floats, fp16_names))
    # Copied, because deleting the graph's list of nodes frees its nodes.
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(kept)


def _between_weighted(nodes: Any) -> set[int]:
    """The indices of the layers with weights, and of all nodes between two of them."""
    after: set[str] = set()
    following = set()
    for index, node in enumerate(nodes):
        if node.op_type in _WEIGHTED or not after.isdisjoint(node.input):
            following.add(index)
            after.update(node.output)
    before: set[str] = set()
    chosen = set()
    for index in reversed(range(len(nodes))):
        node = nodes[index]
        if node.op_type in _WEIGHTED or not before.isdisjoint(node.output):
            before.update(node.input)
            if index in following:
                chosen.add(index)
    return chosen


def _takes_fp16(onnx: Any, node: Any, versions: dict[str, int], floats: set[str]) -> bool:
    """Whether a node can read fp16 in place of each float32 input and then writes fp16 in place of each output."""
    try:
        schema = onnx.defs.get_schema(node.op_type, versions[node.domain], node.domain)
    except (KeyError, onnx.defs.SchemaError):
        return False

    def parameters(names: Any, formal: Any) -> set[str]:
        # A variadic operator's last formal parameter stands for all further inputs.
        return {formal[min(place, len(formal) - 1)].type_str for place, name in enumerate(names) if name in floats}

    takes = {one.type_param_str for one in schema.type_constraints if "tensor(float16)" in one.allowed_type_strs}
    reads = parameters(node.input, schema.inputs)
    return reads <= takes and parameters(node.output, schema.outputs) <= reads


def _convert_weights(onnx: Any, graph: Any, chosen: set[int]) -> None:
    """Make the weights of the chosen nodes fp16. A weight that other nodes read too is copied first."""
    readers: dict[str, set[bool]] = {}
    for index, node in enumerate(graph.node):
        for name in node.input:
            readers.setdefault(name, set()).add(index in chosen)
    for tensor in list(graph.initializer):
        if tensor.data_type != onnx.TensorProto.FLOAT or True not in readers.get(tensor.name, ()):
            continue
        weights = onnx.numpy_helper.to_array(tensor)
        if not (np.abs(weights) <= _LARGEST).all():
            raise InvalidInput(
                f"weight {tensor.name!r} holds values beyond {_LARGEST:.0f}, the largest that fp16 has",
                hint="use --precision fp32 or int8",
            )
        shared = False in readers[tensor.name]
        name = tensor.name + _HALF if shared else tensor.name
        half = onnx.numpy_helper.from_array(weights.astype(np.float16), name)
        if shared:
            graph.initializer.append(half)
            for index in chosen:
                inputs = graph.node[index].input
                inputs[:] = [name if one == tensor.name else one for one in inputs]
        else:
            tensor.CopyFrom(half)


def _with_casts(onnx: Any, nodes: Any, chosen: set[int], floats: set[str], fp16_names: set[str]) -> Iterator[Any]:
    """The nodes in their order, with each cast before the first node that reads its result."""
    cast: set[str] = set()
    for index, node in enumerate(nodes):
        half = index in chosen
        for place, name in enumerate(node.input):
            if name in floats and (name in fp16_names) != half:
                node.input[place] = wanted = name + (_HALF if half else _FULL)
                if wanted not in cast:
                    cast.add(wanted)
                    kind = onnx.TensorProto.FLOAT16 if half else onnx.TensorProto.FLOAT
                    yield onnx.helper.make_node("Cast", [name], [wanted], wanted, to=kind)
        yield node
