"""What one latency is of: a batch that goes through the network alone, or all the way from the bytes of photographs."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from prunnet_export._errors import InvalidInput
from prunnet_export.preprocessing import Size, sides, size_text

Scope = Literal["compute", "end-to-end"]

PHOTO_PX: Size = (3024, 4032)
"""Height and width of a photograph of 12 megapixels."""
LARGEST_BATCH = 1024

_SIDES = range(64, 10_000)


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is timed as one query.

    Attributes:
        scope: ``compute`` is the network alone, without decoding and preprocessing. ``end-to-end`` begins with the
            bytes of a JPEG file and ends with the embedding.
        batch_size: Images per inference. A latency is that of the whole batch.
        photo_px: Size of each photograph, height first; None if the scope is ``compute``.

    Raises:
        InvalidInput: a number is out of range, or the scope and the size of the photograph do not go together.
    """

    scope: Scope = "compute"
    batch_size: Annotated[int, msgspec.Meta(ge=1, le=LARGEST_BATCH)] = 1
    photo_px: Size | None = None

    def __post_init__(self) -> None:
        if (self.scope == "end-to-end") != (self.photo_px is not None):
            raise InvalidInput(
                f"scope {self.scope} with a photograph of {self.photo_px} pixels",
                hint="only an end-to-end latency is of a photograph",
            )
        if not 1 <= self.batch_size <= LARGEST_BATCH:
            raise InvalidInput(f"batch size {self.batch_size}", hint=f"give 1 to {LARGEST_BATCH}")
        if self.photo_px is not None:
            height, width = sides(self.photo_px)
            if not (height in _SIDES and width in _SIDES):
                raise InvalidInput(
                    f"a photograph of {height}x{width} pixels",
                    hint=f"sides have {_SIDES.start} to {_SIDES.stop - 1} pixels",
                )
            # One spelling of a square, so that equal values are equal.
            msgspec.structs.force_setattr(self, "photo_px", height if height == width else (height, width))

    def __str__(self) -> str:
        photo = "" if self.photo_px is None else f" (JPEG of {size_text(self.photo_px)} pixels)"
        return f"batch {self.batch_size}, scope {self.scope}{photo}"
