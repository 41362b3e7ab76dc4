"""How an image becomes the input of a model, in numbers: for devices that have another language than Python."""

from __future__ import annotations

from typing import Literal

import msgspec


class InputSteps(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What this version does with every image, beside the sizes in ``preprocessing``. Each value has one meaning.

    Attributes:
        orientation: ``exif``: the image is turned or mirrored as its EXIF orientation says.
        background: Red, green and blue that lie behind transparent pixels and around a padded image.
        channels: The order of the channels.
        longest_ratio: An image that would become more than so many times as long as the frame is first cut to the
            middle (``crop`` only): to ``longest_ratio * height * frame_width // frame_height`` columns, and rows alike.
        size_rounding: How the sides of the resized image become whole numbers: ``half to even``.
        resize_filter: ``triangle``: a source pixel at the distance d from the centre has the weight 1 - d / support.
        resize_support: The support in source pixels, for one source pixel per output pixel or fewer. If the image is
            made n times smaller, the support is n times larger (antialiasing).
        resize_passes: The order of the passes. Each of them gives whole numbers of 8 bits.
        weight_bits: The weights of an output pixel add up to 1. They are rounded to whole multiples of
            2 ** -weight_bits, and their sum with the pixels is rounded, half up.
        crop_offset: ``floor``: the crop begins at (resized - crop) // 2, from the left and from the top.
        divisor: The input is the 8-bit pixels divided by this, float32. The model itself applies ``mean`` and ``std``.
        layout: The order of the axes of the input: image, channel, row, column.
    """

    orientation: Literal["exif"] = "exif"
    background: tuple[Literal[255], Literal[255], Literal[255]] = (255, 255, 255)
    channels: Literal["RGB"] = "RGB"
    longest_ratio: Literal[16] = 16
    size_rounding: Literal["half to even"] = "half to even"
    resize_filter: Literal["triangle"] = "triangle"
    resize_support: Literal[1] = 1
    resize_passes: tuple[Literal["horizontal"], Literal["vertical"]] = ("horizontal", "vertical")
    weight_bits: Literal[22] = 22
    crop_offset: Literal["floor"] = "floor"
    divisor: Literal[255] = 255
    layout: Literal["NCHW"] = "NCHW"
