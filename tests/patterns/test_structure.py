from __future__ import annotations

import torch
from torch import Tensor, nn

from prunnet_export.patterns._structure import shrink
from tests._inputs import prunable


def test_narrow_inputs_of_a_copy_get_the_default_layout_too() -> None:
    embedder = prunable("resnet18", crop=32, options={"channels": [8, 16, 24, 32]}).embedder
    copy = shrink(embedder, {name: tuple(value.shape) for name, value in embedder.named_parameters()})
    shortcuts = [
        m for m in copy.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (1, 1) and m.stride == (2, 2)
    ]
    assert len(shortcuts) == 3
    layouts: list[bool] = []

    def look(_module: nn.Module, inputs: tuple[Tensor]) -> None:
        layouts.append(inputs[0].is_contiguous())

    narrow = shortcuts[0]
    narrow.register_forward_pre_hook(look)  # it runs after the hooks of the embedder
    assert narrow.in_channels < 16
    narrow(torch.zeros(2, narrow.in_channels, 4, 4).contiguous(memory_format=torch.channels_last))
    assert layouts == [True]
