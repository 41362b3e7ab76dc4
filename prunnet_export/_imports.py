"""Optional dependencies and entry points, imported only when they are needed."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import PackageNotFoundError, entry_points, version
from types import ModuleType
from typing import Any

from prunnet_export._errors import MissingExtra, UnknownName, Unreachable, UsageError
from prunnet_export._foreign import foreign_code, is_ours

_LOG = logging.getLogger(__name__)


def require(module: str, *, extra: str) -> ModuleType:
    """Import an optional module.

    Raises:
        MissingExtra: it is not installed; the hint names the extra.
        Unreachable: it is installed but cannot be loaded, e.g. because it is for another processor or Python.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] == module.partition(".")[0]:
            raise MissingExtra(module, extra) from None
        raise
    except (ImportError, OSError) as error:
        line = str(error).partition("\n")[0]
        raise Unreachable(f"{module} cannot be loaded: {line}", hint="install the build for this machine") from None


def plugin_names(group: str) -> list[str]:
    """The names registered under ``prunnet_export.<group>``, sorted."""
    return sorted({point.name for point in entry_points(group=f"prunnet_export.{group}")})


def plugin(group: str, kind: str, name: str, *, expected: type | tuple[type, ...] = object) -> Any:
    """The object registered as ``name`` under ``prunnet_export.<group>``.

    Args:
        group: The end of the group's name.
        kind: What the objects are, for messages.
        name: The name.
        expected: The object is an instance of this class, or of one of them.

    Raises:
        UnknownName: no object is registered under that name.
        UsageError: the registered object cannot be imported, or is of another kind.
    """
    for point in entry_points(group=f"prunnet_export.{group}"):
        if point.name == name:
            what, hint = f"{kind} {name!r} cannot be loaded from {point.value}", plugin_hint(group, name)
            with foreign_code(what, hint):
                found = point.load()
            if not isinstance(found, expected):
                raise UsageError(f"{what}: it is of the type {type(found).__name__}", hint=hint)
            return found
    raise UnknownName(kind, name, plugin_names(group))


def plugins(group: str, kind: str, *, expected: type | tuple[type, ...]) -> list[Any]:
    """The objects under ``prunnet_export.<group>``. A broken one is left out, and a warning says why."""
    found = []
    for name in plugin_names(group):
        try:
            found.append(plugin(group, kind, name, expected=expected))
        except UsageError as error:  # noqa: PERF203  # there are few
            _LOG.warning("%s; it is left out", error.message)
    return found


def plugin_code(group: str, kind: str, found: Any) -> AbstractContextManager[None]:
    """Makes one error of what a method of a registered object raises, if another package brings the object."""
    if is_ours(type(found)):
        return nullcontext()
    return foreign_code(f"{kind} {found.name!r} failed", plugin_hint(group, found.name))


def plugin_hint(group: str, name: str) -> str:
    """The hint for an object that does not work: it names the package that registered it."""
    return f"update or uninstall the package that brings it: {plugin_version(group, name) or 'it is not known'}"


def plugin_version(group: str, name: str) -> str | None:
    """The distribution, and its version, that registered a name under ``prunnet_export.<group>``; None if none did."""
    for point in entry_points(group=f"prunnet_export.{group}"):
        if point.name == name and point.dist is not None:
            return f"{point.dist.name} {point.dist.version}"
    return None


def installed_version(distribution: str) -> str | None:
    """The version of an installed distribution, or None."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def installed_versions(*distributions: str) -> dict[str, str]:
    """The versions of the installed ones among some distributions, by name."""
    return {name: found for name in distributions if (found := installed_version(name)) is not None}


def lazy_names(package: str, homes: Mapping[str, tuple[str, ...]]) -> Callable[[str], object]:
    """A ``__getattr__`` for a package (PEP 562). It imports a module when one of its names is first used.

    Args:
        package: Name of the package.
        homes: For each module of the package, the names that it defines.
    """
    modules = {name: module for module, names in homes.items() for name in names}

    def look_up(name: str) -> object:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{modules[name]}"), name)

    return look_up
