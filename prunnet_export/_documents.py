"""JSON and TOML from files that are not trusted. The nesting is counted before a parser sees it."""

from __future__ import annotations

import json
import re
import sys
from codecs import BOM_UTF8
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from prunnet_export._errors import InvalidInput
from prunnet_export._files import read_bytes
from prunnet_export._limits import NESTING, SETTINGS_BYTES

T = TypeVar("T")

_MARKS = re.compile(rb"[\"\\\[\]{}]")
_TOML_MARKS = re.compile(rb"[\"'\\\[\]{}.,=#\n]")
_OPENING, _CLOSING = b"[{", b"]}"


def read_json(file: Path, kind: type[T], *, hint: str, what: str = "") -> T:
    """The value in a JSON file.

    Args:
        file: The file.
        kind: The type of the value.
        hint: Hint of error messages.
        what: The expected kind of file, for error messages.

    Raises:
        InvalidInput: it cannot be read, is no JSON, or holds a value of another type.
    """
    try:
        return decode_json(read_bytes(file, at_most=SETTINGS_BYTES), kind)
    except msgspec.DecodeError as error:
        raise InvalidInput(f"{file}: not {what} ({error})" if what else f"{file}: {error}", hint=hint) from None


def decode_json(content: bytes, kind: type[T]) -> T:
    """The value of a JSON document; raises msgspec.DecodeError if it is no JSON or a value of another type."""
    try:
        check_nesting(content)
        return msgspec.json.decode(content.removeprefix(BOM_UTF8), type=kind)
    except msgspec.DecodeError:
        raise
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from None


def parse_json(content: bytes) -> Any:
    """The plain values of a JSON document; raises ValueError if it is no JSON."""
    check_nesting(content)
    try:
        return json.loads(content.decode("utf-8-sig"))
    except RecursionError:  # only if little of the stack is left
        raise ValueError("it is nested too deeply") from None


def check_nesting(content: bytes) -> None:
    """Raise ValueError if lists and objects of a JSON document lie too deep inside one another."""
    if content.count(b"[") + content.count(b"{") <= NESTING:
        return
    depth, quoted, escaped = 0, False, -1
    for match in _MARKS.finditer(content):
        mark = match[0]
        if quoted:
            if match.start() == escaped:
                continue
            quoted = mark != b'"'
            escaped = match.end() if mark == b"\\" else -1
        elif mark == b'"':
            quoted = True
        elif mark in _OPENING:
            depth += 1
            if depth > NESTING:
                raise ValueError(f"it is nested more than {NESTING} deep")
        elif mark in _CLOSING:
            depth -= 1


def read_toml(file: Path, *, hint: str) -> dict[str, Any]:
    """The tables of a TOML file. A byte order mark at its start is left out.

    Raises:
        InvalidInput: it cannot be read or parsed.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        content = read_bytes(file, at_most=SETTINGS_BYTES)
        _check_toml(content)
        return tomllib.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # TOMLDecodeError is a ValueError
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise InvalidInput(f"{file} cannot be read: {reason}", hint=hint) from None


def _check_toml(content: bytes) -> None:
    """Raise ValueError if lists and tables lie too deep inside one another, or a key has too many parts.

    A parser takes quadratic time for the parts of a key. Strings of several lines are taken for strings of one line
    here. That can only count brackets that are in such a string.
    """
    depth, dots, quote, escaped, comment = 0, 0, b"", -1, False
    for match in _TOML_MARKS.finditer(content):
        mark = match[0]
        if mark == b"\n":
            dots, quote, comment = 0, b"", False
        elif comment or match.start() == escaped:
            continue
        elif quote:
            escaped = match.end() if mark == b"\\" and quote == b'"' else -1
            quote = b"" if mark == quote else quote
        elif mark in b"\"'":
            quote = mark
        elif mark == b"#":
            comment = True
        elif mark == b".":
            dots += 1
        else:
            depth += (mark in _OPENING) - (mark in _CLOSING)
            dots = 0
        if max(depth, dots) > NESTING:
            raise ValueError(f"it is nested more than {NESTING} deep")
