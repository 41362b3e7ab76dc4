"""Arm's Ethos-U: Vela compiles an INT8 TFLite file for the NPU of a microcontroller."""

from __future__ import annotations

import csv
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, NoReturn

import numpy as np
import numpy.typing as npt

from prunnet_export._child import child_command, inherited
from prunnet_export._errors import InvalidInput
from prunnet_export._files import read_bytes, replace_file
from prunnet_export._imports import require
from prunnet_export._limits import MODEL_BYTES, SETTINGS_BYTES
from prunnet_export._temporary import TemporaryFolder
from prunnet_export.precision import INT8, Precision
from prunnet_export.runtimes._base import CompileInputs, Model, Runtime
from prunnet_export.runtimes.litert import MODEL, LiteRt, read_tflite

COMPILED = "model_vela.tflite"
SUMMARY = "vela.csv"
REPORT = "vela.txt"

_DRIVER = "ethos-u"  # the custom operator that hands commands to the NPU
_DEFAULT = "ethos-u55-256"
_MEMORY_OPTIONS = ("system-config", "memory-mode")
_OPTIONS = ("accelerator", *_MEMORY_OPTIONS)
_EXPORT_HINT = "this is not a folder of this runtime; export it again"
_COUNTS = re.compile(r"^(CPU|NPU) operators = (\d+) ", re.MULTILINE)
_VERSION = re.compile(r"^Vela (\S+)$", re.MULTILINE)


class EthosU(Runtime):
    """Ethos-U55, U65 and U85 under TensorFlow Lite for Microcontrollers.

    The target's options ``accelerator`` (default ``ethos-u55-256``), ``system-config`` and ``memory-mode`` are passed
    to Vela. The last two are given together and are sections of Arm's ``vela.ini``; without them Vela's defaults apply.

    Images and embeddings are float32. The NPU can neither quantise the image nor compute the L2 norm of the embedding,
    so the processor does that. ``vela.txt`` names the operators of the processor, which the firmware must register.
    """

    name: ClassVar[str] = "ethos-u"
    extra: ClassVar[str] = "ethos-u"
    distributions: ClassVar[Mapping[str, str]] = {**LiteRt.distributions, "ethos-u-vela": "prunnet-export[ethos-u]"}
    precisions: ClassVar[tuple[Precision, ...]] = (INT8,)
    places_on: ClassVar[str] = "NPU"
    # Small NPUs wait for the flash memory. Weights in it are compressed, so zeros of any pattern save time.
    takes_batches: ClassVar[bool] = False
    ignores: ClassVar[Mapping[str, str]] = {}

    def version(self) -> str:
        """The version of Vela."""
        return str(require("ethosu.vela", extra=self.extra).__version__)

    def obstacle(self) -> str:
        """Why this machine cannot run a compiled model."""
        return "an Ethos-U NPU is driven from a microcontroller's firmware; nothing runs it here"

    def twin(self, model: Model) -> Model | None:
        """The INT8 file that Vela compiled, on LiteRT; None if that file is not beside the compiled one."""
        self.precision(model.precision)
        file = model.file.with_name(MODEL)
        return Model(file, LiteRt.name, model.precision) if file.is_file() else None

    def compile(
        self, onnx_file: Path, folder: Path, *, precision: str, inputs: CompileInputs | None = None
    ) -> tuple[str, ...]:
        """Write ``model_vela.tflite``, Vela's summary and its report into ``folder``.

        Its source ``model.tflite`` stays beside them and is not deployed.
        """
        self.precision(precision)
        arguments = _arguments((inputs or CompileInputs()).options)
        version = self.version()
        [name] = LiteRt().compile(onnx_file, folder, precision=precision, inputs=inputs)
        with TemporaryFolder("vela") as made:
            report = _run_vela(folder / name, Path(made), arguments)
            [summary] = Path(made).glob("*_summary_*.csv")
            replace_file(folder / COMPILED, read_bytes(Path(made) / COMPILED, at_most=MODEL_BYTES))
            replace_file(folder / SUMMARY, read_bytes(summary, at_most=SETTINGS_BYTES))
        replace_file(folder / REPORT, f"Vela {version}\n{report}".encode())
        return (COMPILED, SUMMARY, REPORT)

    def read_weights(self, model: Model) -> dict[str, npt.NDArray[np.generic]]:
        """The weights of the INT8 file beside the compiled one. In the compiled file they are encoded for the NPU."""
        return read_tflite(model.file.with_name(MODEL)).weights()

    def estimate_ms(self, model: Model) -> tuple[float, str] | None:
        """Vela's estimate for the NPU. The operators of the processor are not counted."""
        report = _read_text(model.file.with_name(REPORT))
        try:
            [row] = csv.DictReader(_read_text(model.file.with_name(SUMMARY)).splitlines())
            milliseconds = float(row["inference_time"]) * 1e3
            place = f"{row['system_config']}, {row['memory_mode']}, {float(row['core_clock']) / 1e6:.0f} MHz"
            accelerator = row["accelerator_configuration"]
            [version] = _VERSION.findall(report)
        except (KeyError, TypeError, ValueError):
            raise InvalidInput(f"{SUMMARY}: not a summary of Vela", hint=_EXPORT_HINT) from None
        on_processor = _operator_counts(report)["CPU"]
        note = f"; {on_processor} operators on the processor are not counted" if on_processor else ""
        return milliseconds, f"Vela {version} for {accelerator} ({place}){note}"

    def open(self, model: Model, *, threads: int | None = None) -> NoReturn:
        """Always raises InvalidInput, because this machine cannot run the model."""
        del threads
        self.precision(model.precision)
        raise InvalidInput(f"{model.file.name}: {self.obstacle()}", hint="its twin, the INT8 file, runs under litert")

    def placement(self, model: Model) -> dict[str, int]:
        """How many operators Vela placed on the NPU and on the processor, counted after it rewrote the graph."""
        self.precision(model.precision)
        counts = _operator_counts(_read_text(model.file.with_name(REPORT)))
        on_processor = sum(name != _DRIVER for name in read_tflite(model.file).operators)
        if on_processor != counts["CPU"]:
            raise InvalidInput(
                f"{model.file.name} leaves {on_processor} operators to the processor, {REPORT} says {counts['CPU']}",
                hint=_EXPORT_HINT,
            )
        return counts


def _arguments(options: Mapping[str, str]) -> list[str]:
    unknown = sorted(options.keys() - set(_OPTIONS))
    if unknown:
        raise InvalidInput(f"ethos-u has no option {unknown[0]!r}", hint=f"known: {', '.join(_OPTIONS)}")
    arguments = ["--accelerator-config", options.get("accelerator", _DEFAULT)]
    given = [name for name in _MEMORY_OPTIONS if name in options]
    if len(given) == 1:
        raise InvalidInput(
            f"ethos-u has the option {given[0]!r} alone", hint=f"give {' and '.join(_MEMORY_OPTIONS)}, or neither"
        )
    if given:
        arguments += ["--config", "Arm/vela.ini"]
    for name in given:
        arguments += [f"--{name}", options[name]]
    return arguments


def _run_vela(file: Path, folder: Path, arguments: list[str]) -> str:
    """Compile a file into a folder, and return what Vela printed, without its warnings about this machine."""
    # Vela runs in a process of its own, because it prints and calls sys.exit.
    command = child_command("ethosu.vela", str(file.absolute()), "--output-dir", str(folder.absolute()), *arguments)
    # The process starts in a folder of its own, because Python would import modules from the user's folder.
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, pass_fds=inherited())
    if done.returncode or not (folder / COMPILED).is_file():
        lines = (done.stdout + done.stderr).split("\n")
        reason = next((line.strip() for line in reversed(lines) if line.strip()), "it does not say why")
        raise InvalidInput(
            f"vela cannot compile the network ({reason.partition('rror: ')[2][:160] or reason[:160]})",
            hint="check the target's options",
        )
    kept = [line for line in done.stdout.splitlines() if not line.startswith("Warning: No ")]
    return "\n".join(kept).strip() + "\n"


def _operator_counts(report: str) -> dict[str, int]:
    counts = {name: int(count) for name, count in _COUNTS.findall(report)}
    if not counts:
        raise InvalidInput(f"{REPORT}: not a report of Vela", hint=_EXPORT_HINT)
    return {"NPU": counts.get("NPU", 0), "CPU": counts.get("CPU", 0)}


def _read_text(file: Path) -> str:
    try:
        return read_bytes(file, at_most=SETTINGS_BYTES).decode("utf-8")
    except (InvalidInput, UnicodeDecodeError):
        raise InvalidInput(f"{file.name}: no such file of Vela beside the model", hint=_EXPORT_HINT) from None
