"""Building a backbone by its name: timm's architectures, one variant, and those of other packages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from prunnet_export._errors import InvalidInput, UnknownName
from prunnet_export._foreign import foreign_code
from prunnet_export._imports import plugin, plugin_names
from prunnet_export.network_config import BackboneOption

# With these options timm would download or unpickle weights, which a configuration file must not cause, or it would
# return a network that does not map an image to one vector.
_REFUSED_OPTIONS = frozenset(
    {
        "pretrained", "checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir",
        "features_only", "out_indices", "feature_cls",
    }
)  # fmt: skip
# The errors of architectures for options or image sides that they do not support; few of them check their input.
BUILD_ERRORS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
_GROUP = "backbones"
_HINT = "it has to map float32 [b, 3, h, w] to finite float32 features [b, f] or [b, f, h', w']"
_RANKS = (2, 4)  # features [b, f], or maps [b, f, h, w]


def _remove_maxpool(resnet: Any) -> None:
    resnet.maxpool = nn.Identity()


# Backbones that no option of timm makes: our name, the architecture of timm, and the change to its module. The release
# of PrunNet trained a ResNet-18 without the stem's max-pool: every stage has twice the side, 6.9 instead of 1.8 GMAC at
# 224 px.
_VARIANTS: dict[str, tuple[str, Callable[[Any], None]]] = {"resnet18-no-maxpool": ("resnet18", _remove_maxpool)}


def build_backbone(name: str, *, size: tuple[int, int], options: Mapping[str, BackboneOption]) -> tuple[nn.Module, int]:
    """A backbone with random weights, and the number of its features.

    Args:
        name: An architecture of timm, ``"resnet18-no-maxpool"``, or a name that an installed package registered under
            ``prunnet_export.backbones``. A name of timm means timm's architecture.
        size: Height and width of the input image, pixels.
        options: Keyword arguments of the architecture.

    Raises:
        UnknownName: there is no such backbone.
        UsageError: the package of the backbone cannot be imported.
        InvalidInput: the backbone refuses the options, an option is not allowed, or a package's backbone does not
            map images to features.
    """
    import timm

    refused = sorted(_REFUSED_OPTIONS & options.keys())
    if refused:
        raise InvalidInput(
            f"backbone option {refused[0]!r} is not allowed",
            hint="leave it out: weights come only from the checkpoint, and this tool pools the features",
        )
    architecture, change = _VARIANTS.get(name, (name, None))
    if timm.is_model(architecture):
        module = _timm_backbone(name, architecture, size, options)
        if change is not None:
            change(module)
        # If the head has a hidden layer, as in MobileNetV3, `num_features` is the number of channels before that layer.
        hidden = getattr(module, "head_hidden_size", None)
        return module, int(hidden or module.num_features)  # type: ignore[arg-type]  # every timm model has it
    if name in plugin_names(_GROUP):
        return _registered_backbone(name, size, options)
    raise UnknownName("backbone", name, [*timm.list_models(), *_VARIANTS, *plugin_names(_GROUP)])


def reason(error: Exception) -> str:
    """The first line of an error of a library."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _timm_backbone(
    name: str, architecture: str, size: tuple[int, int], options: Mapping[str, BackboneOption]
) -> nn.Module:
    import timm

    given = cast("dict[str, Any]", dict(options))
    try:
        if timm.get_pretrained_cfg_value(architecture, "fixed_input_size"):
            given.setdefault("img_size", size)
        module: nn.Module = timm.create_model(architecture, pretrained=False, num_classes=0, **given)
    except BUILD_ERRORS as error:
        raise InvalidInput(
            f"backbone {name} cannot be built with {given}: {reason(error)}", hint="check the backbone options"
        ) from None
    return module


def _registered_backbone(
    name: str, size: tuple[int, int], options: Mapping[str, BackboneOption]
) -> tuple[nn.Module, int]:
    factory = plugin(_GROUP, "backbone", name, expected=Callable)  # type: ignore[arg-type]  # isinstance takes it
    hint = f"check the backbone options, and the package that registers {name} under prunnet_export.{_GROUP}"
    with foreign_code(f"backbone {name} cannot be built with {dict(options)}", hint, error=InvalidInput):
        module = factory(**options)
    if not isinstance(module, nn.Module):
        raise _refused(name, f"its factory returns a {type(module).__name__}, not a torch.nn.Module")
    module.eval()  # so that the run changes no statistics
    what = f"backbone {name} cannot be used: it does not run on {size[0]} x {size[1]} px"
    with foreign_code(what, _HINT, error=InvalidInput), torch.no_grad():
        features = module(torch.zeros(2, 3, *size))
    module.train()
    return module, _features(name, features)


def _features(name: str, features: object) -> int:
    """The number of features in the output for two images."""
    if not isinstance(features, Tensor):
        raise _refused(name, f"it returns a {type(features).__name__}, not a tensor")
    if features.ndim not in _RANKS or len(features) != 2 or features.shape[1] == 0:  # noqa: PLR2004  # two images
        raise _refused(name, f"it returns shape {tuple(features.shape)} for 2 images")
    if features.dtype != torch.float32 or not bool(features.isfinite().all()):
        kind = "NaN or infinity" if features.dtype == torch.float32 else str(features.dtype)
        raise _refused(name, f"it returns {kind} for images of zeros")
    return features.shape[1]


def _refused(name: str, why: str) -> InvalidInput:
    return InvalidInput(
        f"backbone {name} cannot be used: {why}",
        hint=_HINT,
    )
