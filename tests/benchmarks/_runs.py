"""Results with samples, as a run of ``prunnet-bench`` stores them."""

from __future__ import annotations

from typing import Any

import msgspec

from prunnet_export.benchmarks._results import AnchorEntry, CheckEntry, Result, Samples
from prunnet_export.budget import Budget
from prunnet_export.devices import Fingerprint
from prunnet_export.measuring import summarise
from tests.conftest import full_manifest

MACHINE = Fingerprint(id="0123456789ab", cpu="A CPU", cores=2, arch="x86_64", system="Linux 6.1", python="3.11.7")
RUNS, SAMPLES = 12, 20


def samples(ms: float, *, runs: int = RUNS, spread: float = 0.01, disturbed: float = 0.0, slow: float = 5) -> Samples:
    """Runs around ``ms`` milliseconds. A share of inferences takes ``slow`` times as long."""
    late = round(SAMPLES * disturbed)
    return [
        [
            ms * (1 + spread * run / runs) * (1 + index / 1000) * (slow if index >= SAMPLES - late else 1)
            for index in range(SAMPLES)
        ]
        for run in range(runs)
    ]


def anchor(ms: float = 1.0, *, name: str = "anchor-1", **more: Any) -> AnchorEntry:
    """An anchor's samples."""
    return AnchorEntry(name=name, runtime="onnxruntime", runtime_version="1.32.0", samples_ms=samples(ms, **more))


def result(ms: float = 5.0, *, name: str = "tiny", threads: int | None = 1, **fields: Any) -> Result:
    """A result that passed; keywords replace its fields."""
    made = fields.pop("samples_ms", None) or samples(ms)
    runtime = fields.pop("runtime", "onnxruntime")
    latency = summarise(
        made,
        percentile_asked=90.0,
        threads=threads,
        runtime=runtime,
        runtime_version=fields.pop("runtime_version", "1.32.0"),
        device=MACHINE.id,
    )
    checks = [CheckEntry(name=one, passed=True, message="as asked") for one in ("latency budget", "parity")]
    given = {
        "status": "passed",
        "budget": Budget(latency_ms=15.0),
        "latency": latency,
        "samples_ms": made,
        "anchor": anchor(),
        "size_mb": 1.25,
        "peak_mb": 12.5,
        "verification": full_manifest().verification,
        "checks": checks,
        "machine": MACHINE,
    }
    return Result(name=name, **{**given, **fields})


def failing(one: Result, name: str) -> Result:
    """The same result with one check that fails."""
    checks = [msgspec.structs.replace(check, passed=check.passed and check.name != name) for check in one.checks]
    return msgspec.structs.replace(one, checks=checks, status="failed", exit_code=1)
