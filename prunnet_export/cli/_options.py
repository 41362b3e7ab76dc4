"""Options that several commands share, so that an option has the same name and meaning everywhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from prunnet_export._errors import InvalidInput
from prunnet_export.gallery_address import GalleryAddress, gallery_place
from prunnet_export.preprocessing import Size, parse_size, sides
from prunnet_export.query import LARGEST_BATCH, Scope

F = TypeVar("F", bound=Callable[..., Any])
_SMALLEST_SIDE, _LARGEST_SIDE = 8, 2048  # pixels
OUTPUT_FORMAT = "--output-format"
FORMATS = ("table", "json", "junit", "github", "markdown")


def output_options(command: F) -> F:
    """Add the options of the output: ``--output-format`` and ``--debug``."""
    # The console reads --debug from the command line, because an error may occur before the options are parsed.
    command = click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks.")(command)
    return click.option(
        OUTPUT_FORMAT,
        type=click.Choice(FORMATS),
        default="table",
        show_default=True,
        help="Format of the result on stdout.",
    )(command)


def backbone_options(command: F) -> F:
    """Add ``--backbone-option``: keyword arguments of a backbone, by name."""
    return click.option(
        "--backbone-option",
        "backbone_options",
        multiple=True,
        metavar="NAME=VALUE",
        callback=lambda _context, _option, texts: dict(map(_backbone_option, texts)),
        help="A keyword argument of the architecture, e.g. channels=16,32,64,128. Repeatable.",
    )(command)


def data_options(command: F) -> F:
    """Add the options of the images: ``--data`` and ``--layout``."""
    command = click.option("--layout", help="Layout of --data, if the tool should not guess it.")(command)
    return click.option(
        "--data",
        help="Images for statistics and verification: a folder or a built-in set.  [default: the network's own]",
    )(command)


def network_option(command: F) -> F:
    """Add ``--network``."""
    return click.option(
        "--network",
        type=click.Path(path_type=Path),
        help="Folder that prunnet-train wrote.  [default: the project's, else the bundled demo network]",
    )(command)


def query_options(command: F) -> F:
    """Add the options that say what the latency is of: ``--scope``, ``--photo-px`` and ``--batch-size``."""
    command = click.option(
        "--batch-size",
        type=click.IntRange(1, LARGEST_BATCH),
        default=1,
        show_default=True,
        help="Images per inference. The latency and its budget are those of a whole batch.",
    )(command)
    command = click.option(
        "--photo-px",
        metavar="HEIGHTxWIDTH",
        callback=photo_size,
        help="Size of the photograph of --scope end-to-end.  [default: 3024x4032, 12 megapixels]",
    )(command)
    return click.option(
        "--scope",
        type=click.Choice(get_args(Scope)),
        default="compute",
        show_default=True,
        help="What the latency and its budget are of: the network alone, or all from the bytes of a JPEG file on.",
    )(command)


def run_options(command: F) -> F:
    """Add the options for running models: ``--device`` and ``--threads``."""
    command = threads_option(command)
    return click.option(
        "--device",
        default="local",
        show_default=True,
        help="Where to measure and verify: local, or ssh://user@host[:port][?python=PATH].",
    )(command)


def threads_option(command: F) -> F:
    """Add ``--threads``: the number of threads of a runtime."""
    return click.option(
        "--threads", type=click.IntRange(1, 1024), help="Threads of the runtime.  [default: the runtime's own]"
    )(command)


def parse_percentile(text: str) -> float:
    """The percentile in ``p90``, in per cent.

    Raises:
        InvalidInput: it is not a percentile.
    """
    found = re.fullmatch(r"p(\d{1,2}(?:\.\d+)?)", text)
    if not found or not 0 < float(found[1]) < 100:  # noqa: PLR2004  # per cent
        raise InvalidInput(f"--at {text!r} is no percentile", hint="e.g. p50, p90, p99")
    return float(found[1])


def numbers(text: str, option: str) -> tuple[float, ...]:
    """The numbers in ``0.8,0.6``.

    Raises:
        InvalidInput: there is no number, or a part is not a number.
    """
    try:
        found = tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        found = ()
    if not found:
        raise InvalidInput(f"{option} {text!r} is no list of numbers", hint="e.g. 0.8,0.6,0.4,0.2")
    return found


def number_list(_context: click.Context, option: click.Parameter, text: str) -> tuple[float, ...]:
    """Callback of an option with a list of numbers."""
    return numbers(text, option.opts[0])


def gallery_at(_context: click.Context, _option: click.Parameter, text: str | None) -> Path | GalleryAddress | None:
    """Callback of an option with a gallery: a file, or the address of a database.

    Raises:
        InvalidInput: it is an address, and a part is missing or holds credentials.
    """
    return None if text is None else gallery_place(text)


def photo_size(_context: click.Context, option: click.Parameter, text: str | None) -> Size | None:
    """Callback of an option with the size of a photograph, whose range :class:`Query` checks.

    Raises:
        InvalidInput: it is no size.
    """
    return None if text is None else _parsed_size(option, text)


def _parsed_size(option: click.Parameter, text: str) -> Size:
    """The size in an option; an error names the option."""
    try:
        return parse_size(text)
    except InvalidInput as error:
        raise InvalidInput(f"{option.opts[0]} {error.message}", hint=error.hint) from None


def size(_context: click.Context, option: click.Parameter, text: str | None) -> Size | None:
    """Callback of an option with the size of an image.

    Raises:
        InvalidInput: it is no size, or a side is out of range.
    """
    if text is None:
        return None
    found = _parsed_size(option, text)
    if not all(_SMALLEST_SIDE <= side <= _LARGEST_SIDE for side in sides(found)):
        raise InvalidInput(
            f"{option.opts[0]} {text} is out of range", hint=f"sides have {_SMALLEST_SIDE} to {_LARGEST_SIDE} pixels"
        )
    return found


def _backbone_option(text: str) -> tuple[str, bool | int | float | list[int | float]]:
    """The name and the value of ``NAME=VALUE``: a number, true, false, or numbers with commas between them."""
    import msgspec

    name, equals, value = text.partition("=")
    try:
        parsed = msgspec.json.decode(
            f"[{value}]" if "," in value else value, type=bool | int | float | list[int | float]
        )
    except msgspec.DecodeError:
        parsed = None
    if not name or not equals or parsed is None:
        raise InvalidInput(
            f"--backbone-option {text!r} is not NAME=VALUE with a number, true, false or a list of numbers",
            hint="e.g. --backbone-option channels=16,32,64,128",
        )
    return name, parsed
