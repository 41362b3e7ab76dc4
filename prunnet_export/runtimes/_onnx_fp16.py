"""ONNX graphs typed fp16 where the work is, for engines that execute in the types that a file states."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from prunnet_export._errors import InvalidInput
from prunnet_export._imports import require
from prunnet_export.runtimes._checks import one_line

_WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
_FLOAT32_ONLY = frozenset({"LayerNormalization"})  # it squares, and fp16 ends at the square of 256
_LARGEST = float(np.finfo(np.float16).max)
_HALF, _FULL = "/fp16", "/fp32"


def to_fp16(model: Any) -> Any:
    """The same network with fp16 weights and activations, float32 in and out.

    From the first to the last layer with weights everything is fp16: the nodes that both follow such a layer, or
    are one, and precede one, or are one. What stands before (mean and standard deviation) and behind (the L2 norm)
    stays float32. So do layer norms, a node that writes a result of the graph, and operators that ONNX has for
    float32 alone. Casts join the parts. Weights are rounded to the nearest fp16: zeros stay zeros, and a weight of
    at most 2^-25 becomes one.

    Args:
        model: An ONNX ``ModelProto`` in float32. It is not changed.

    Returns:
        A new ``ModelProto``, sorted and checked, with its shapes inferred.

    Raises:
        InvalidInput: a weight is beyond 65504, or the graph is not one that ONNX can type.
        MissingExtra: onnx is not installed.
    """
    onnx = require("onnx", extra="host")
    if any(part.type == onnx.AttributeProto.GRAPH for node in model.graph.node for part in node.attribute):
        raise InvalidInput("a graph with branches or loops cannot be made fp16", hint="use --precision fp32")
    try:
        typed = onnx.shape_inference.infer_shapes(model, strict_mode=True)
        _rewrite(onnx, typed)
        typed = onnx.shape_inference.infer_shapes(typed, strict_mode=True, data_prop=True)
        onnx.checker.check_model(typed, full_check=True)
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as error:
        raise InvalidInput(f"the graph cannot be made fp16: {one_line(error)}", hint="use --precision fp32") from None
    return typed


def _rewrite(onnx: Any, model: Any) -> None:
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
        if results.isdisjoint(graph.node[index].output)
        and graph.node[index].op_type not in _FLOAT32_ONLY
        and _takes_fp16(onnx, graph.node[index], versions, floats)
    }
    _convert_weights(onnx, graph, chosen)
    made = {name for index in chosen for name in graph.node[index].output}
    made |= {tensor.name for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.FLOAT16}
    nodes = list(_with_casts(onnx, graph.node, chosen, floats, made))
    # Nodes of a graph die with its list, and most of these are its own.
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:], graph.value_info[:]
    graph.node.extend(kept)


def _between_weighted(nodes: Any) -> set[int]:
    """The indices of the nodes between the first and the last layers with weights, these included."""
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
    """Whether a node accepts fp16 for each float32 that it reads and then gives fp16 for each that it writes."""
    try:
        schema = onnx.defs.get_schema(node.op_type, versions[node.domain], node.domain)
    except (KeyError, onnx.defs.SchemaError):
        return False

    def parameters(names: Any, formal: Any) -> set[str]:
        # The last formal parameter stands for all that follow where it is variadic.
        return {formal[min(place, len(formal) - 1)].type_str for place, name in enumerate(names) if name in floats}

    takes = {one.type_param_str for one in schema.type_constraints if "tensor(float16)" in one.allowed_type_strs}
    reads = parameters(node.input, schema.inputs)
    return reads <= takes and parameters(node.output, schema.outputs) <= reads


def _convert_weights(onnx: Any, graph: Any, chosen: set[int]) -> None:
    """Make the weights of the chosen nodes fp16; one that other nodes read too is kept beside a copy."""
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


def _with_casts(onnx: Any, nodes: Any, chosen: set[int], floats: set[str], made: set[str]) -> Iterator[Any]:
    """The nodes in their order, each behind the casts that it is the first to need."""
    there: set[str] = set()
    for index, node in enumerate(nodes):
        half = index in chosen
        for place, name in enumerate(node.input):
            if name in floats and (name in made) != half:
                node.input[place] = wanted = name + (_HALF if half else _FULL)
                if wanted not in there:
                    there.add(wanted)
                    kind = onnx.TensorProto.FLOAT16 if half else onnx.TensorProto.FLOAT
                    yield onnx.helper.make_node("Cast", [name], [wanted], wanted, to=kind)
        yield node
