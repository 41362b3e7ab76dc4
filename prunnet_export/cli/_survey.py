"""``--list-targets`` and ``--doctor``: the known targets, the installed packages, and what can run here."""

from __future__ import annotations

import platform
import sys
from contextlib import suppress
from dataclasses import asdict

from prunnet_export._cache_folder import cache_folder
from prunnet_export._errors import MissingExtra, Unreachable, UsageError
from prunnet_export._foreign import foreign_code
from prunnet_export._imports import installed_version, plugin_names
from prunnet_export.devices import fingerprint
from prunnet_export.reports import Report, Table, print_report
from prunnet_export.runtimes import find_runtime
from prunnet_export.target import Target, find_target

_BASE = ("numpy", "pillow", "msgspec", "click", "rich")
_HOST = ("torch", "timm", "torch-pruning", "safetensors", "matplotlib", "onnx", "onnxscript")


def list_targets(output_format: str) -> int:
    """Print every installed target; a target that cannot be loaded is printed with the reason."""
    rows: list[tuple[str, ...]] = []
    documents: list[dict[str, object]] = []
    for name in plugin_names("targets"):
        try:
            target = find_target(name)
            version, state = _state(target)
        except (UsageError, Unreachable) as error:
            rows.append((name, "-", "-", "-", "-", error.message))
            documents.append({"name": name, "state": error.message})
            continue
        patterns, precisions = ", ".join(target.patterns), ", ".join(target.precisions)
        rows.append((target.name, target.device, f"{target.runtime} {version or '-'}", patterns, precisions, state))
        documents.append({**asdict(target), "runtime_version": version, "state": state})
    columns = ("target", "device", "runtime", "patterns", "precisions", "here")
    report = Report(
        title="targets",
        tables=(Table("targets", columns, tuple(rows)),),
        document={"targets": documents},
        footer=("next: prunnet-export --target NAME --budget-ms MS",),
    )
    print_report(report, output_format)
    return 0


def doctor(output_format: str) -> int:
    """Print what is installed and what is missing."""
    found = [(name, requirement, installed_version(name)) for name, requirement in _distributions().items()]
    rows = tuple(
        (name, version or "missing", "" if version else f"pip install '{requirement}'")
        for name, requirement, version in found
    )
    about = (
        ("prunnet-export", installed_version("prunnet-export") or "not installed"),
        ("python", sys.version.split()[0]),
        ("device", str(fingerprint())),
        ("targets", ", ".join(plugin_names("targets"))),
        ("runtimes", ", ".join(plugin_names("runtimes"))),
        ("data layouts", ", ".join(plugin_names("datasets"))),
        ("cache", str(cache_folder())),
    )
    report = Report(
        title="doctor",
        tables=(Table("here", ("", ""), about), Table("packages", ("package", "version", "to install"), rows)),
        document={**dict(about), "packages": {name: version for name, _, version in found}},
        footer=(),
    )
    print_report(report, output_format)
    return 0


def _distributions() -> dict[str, str]:
    """The distributions that this package and its runtimes use, each with the requirement for ``pip install``."""
    found = {**dict.fromkeys(_BASE, "prunnet-export"), **dict.fromkeys(_HOST, "prunnet-export[host]")}
    for name in plugin_names("runtimes"):
        with suppress(UsageError):  # --list-targets says why a runtime cannot be loaded
            runtime = find_runtime(name)
            with foreign_code(f"runtime {name!r}", ""):  # what it lists may be anything
                for distribution, requirement in runtime.distributions.items():
                    found.setdefault(distribution, requirement)
    return found


def _state(target: Target) -> tuple[str | None, str]:
    """The engine's version on this machine, and what this machine can do for the target."""
    runtime = find_runtime(target.runtime)
    try:
        version = runtime.version()
    except MissingExtra as error:
        return None, f"missing: {error.hint}"
    except Unreachable as error:
        return None, error.message
    obstacle = runtime.obstacle()
    if obstacle is None and target.unlike(platform.machine()) is None:
        return version, "runs here"
    verified = "verified" if obstacle is None else "verified by a twin"
    return version, f"built and {verified} here, latency predicted"
