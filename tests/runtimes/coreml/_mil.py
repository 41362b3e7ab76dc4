"""What a Core ML program computes, in torch: Core ML itself runs on Apple devices alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

_HALF = {"fp16": torch.float16, "fp32": torch.float32}


def run(program: Any, images: np.ndarray) -> np.ndarray:
    """The program's result for one batch."""
    values: dict[str, Any] = {"images": torch.from_numpy(images)}
    for operation in program.operations:
        if operation.op_type == "const":
            values[operation.outputs[0].name] = _value(operation.outputs[0].val)
        elif operation.op_type == "constexpr_sparse_to_dense":
            values[operation.outputs[0].name] = _value(operation.materialized_val_inference())
        else:
            given = {
                name: [values[part.name] for part in var] if isinstance(var, list | tuple) else values[var.name]
                for name, var in operation.inputs.items()
                if var is not None
            }
            values[operation.outputs[0].name] = _OPERATIONS[operation.op_type](given)
    result: np.ndarray = values[program.outputs[0].name].numpy()
    return result


def _value(value: Any) -> Any:
    return torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value


def _f32(value: Any) -> Any:
    """Operands in float32, as arithmetic in fp16 is summed there."""
    return value.float() if isinstance(value, Tensor) else value


def _conv(given: dict[str, Any]) -> Tensor:
    top, bottom, left, right = (int(side) for side in given["pad"])
    padded = F.pad(_f32(given["x"]), (left, right, top, bottom))
    strides, groups = [int(step) for step in given["strides"]], int(given["groups"])
    result = F.conv2d(padded, _f32(given["weight"]), _f32(given["bias"]), stride=strides, groups=groups)
    return result.to(given["x"].dtype)


def _max_pool(given: dict[str, Any]) -> Tensor:
    top, bottom, left, right = (int(side) for side in given["pad"])
    padded = F.pad(_f32(given["x"]), (left, right, top, bottom), value=-torch.inf)
    sizes, strides = ([int(size) for size in given[name]] for name in ("kernel_sizes", "strides"))
    return F.max_pool2d(padded, sizes, strides).to(given["x"].dtype)


def _batch_norm(given: dict[str, Any]) -> Tensor:
    x, *norm = (_f32(given[name]) for name in ("x", "mean", "variance", "gamma", "beta"))
    mean, variance, gamma, beta = norm
    return F.batch_norm(x, mean, variance, gamma, beta, eps=float(given["epsilon"])).to(given["x"].dtype)


_OPERATIONS: dict[str, Any] = {
    "add": lambda given: given["x"] + given["y"],
    "batch_norm": _batch_norm,
    "cast": lambda given: given["x"].to(_HALF[given["dtype"]]),
    "conv": _conv,
    "expand_dims": lambda given: given["x"].unsqueeze(int(given["axes"][0])),
    "linear": lambda given: F.linear(*(_f32(given[name]) for name in ("x", "weight", "bias"))).to(given["x"].dtype),
    "max_pool": _max_pool,
    "maximum": lambda given: torch.clamp(given["x"], min=float(given["y"])),
    "mul": lambda given: given["x"] * given["y"],
    "real_div": lambda given: given["x"] / given["y"],
    "reduce_l2_norm": lambda given: given["x"].norm(dim=[int(a) for a in given["axes"]], keepdim=True),
    "reduce_mean": lambda given: _f32(given["x"]).mean([int(a) for a in given["axes"]], keepdim=True).to(given["x"]),
    "relu": lambda given: F.relu(given["x"]),
    "reshape": lambda given: given["x"].reshape([int(size) for size in given["shape"]]),
    "squeeze": lambda given: given["x"].squeeze(int(given["axes"][0])),
    "sub": lambda given: given["x"] - given["y"],
    "tile": lambda given: given["x"].tile([int(count) for count in given["reps"]]),
}
