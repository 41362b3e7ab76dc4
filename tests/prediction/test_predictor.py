"""What a prediction is called, and what it rests on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from prunnet_export._errors import Unreachable
from prunnet_export.measuring import LatencyReport
from prunnet_export.precision import FP32
from prunnet_export.prediction import Predictor
from prunnet_export.prediction._roofline import SAFETY_FACTOR, roofline_ms
from prunnet_export.target import Limits, find_target
from tests.prediction._rows import GIGA, rows, table, workload

LIMITS = Limits(tera_macs={"fp32": 1.0}, memory_gb_s=100, efficiency=0.5, layer_us=10, source="a data sheet")
TARGET = replace(find_target("x86-onnxruntime"), limits=LIMITS)
WORK = workload(GIGA // 2)


def predicted(predictor: Predictor, **more: object) -> LatencyReport:
    asked: dict[str, object] = {"pattern": "channel", "precision": FP32, "percentile": 90.0, **more}
    return predictor.report(WORK, **asked)  # type: ignore[arg-type]  # of mixed types


def test_a_roofline_says_so() -> None:
    report = predicted(Predictor(TARGET))
    assert (report.source, report.n, report.runs, report.confidence) == ("predicted", 0, 0, None)
    assert report.p50_ms == roofline_ms(WORK, LIMITS, precision=FP32)
    assert report.upper_ms == report.p50_ms * SAFETY_FACTOR
    assert "never measured" in str(report)
    assert "a data sheet" in str(report)


def test_a_table_is_believed_before_a_data_sheet() -> None:
    report = predicted(Predictor(TARGET, [table(rows(lambda work: 7 * work.macs / GIGA))]))
    assert report.source == "calibrated"
    assert report.p50_ms == pytest.approx(3.5, rel=0.05)
    assert "half of them predict the other half within" in report.basis
    assert "A CPU" in report.basis
    assert "2 threads" in report.basis


def test_tables_of_two_devices_do_not_mix() -> None:
    small = table(rows(lambda _: 100.0)[:4], device="1" * 12)
    large = table(rows(lambda work: 7 * work.macs / GIGA), device="2" * 12)
    assert predicted(Predictor(TARGET, [small, large])).p50_ms == pytest.approx(3.5, rel=0.05)


def test_the_compilers_own_word_is_believed_first() -> None:
    report = predicted(Predictor(TARGET, [table(rows(lambda _: 1.0))]), estimate=(12.5, "Vela 5"))
    assert (report.source, report.p50_ms, report.upper_ms) == ("predicted", 12.5, 12.5)
    assert report.basis == "estimated by Vela 5"


def test_nothing_known() -> None:
    with pytest.raises(Unreachable, match="nothing predicts fp32 on x86-onnxruntime") as caught:
        predicted(Predictor(replace(TARGET, limits=None)))
    assert "prunnet-bench calibrate" in caught.value.hint


def test_a_batch_reads_its_weights_once() -> None:
    one, many = predicted(Predictor(TARGET)), predicted(Predictor(TARGET), batch_size=8)
    assert (one.batch, many.batch) == (1, 8)
    assert one.p50_ms < many.p50_ms <= 8 * one.p50_ms
    assert many.p50_ms == roofline_ms(WORK.of_batch(8), LIMITS, precision=FP32)
    assert "the weights are read once" in many.basis
    work = WORK.of_batch(8)
    assert (work.macs, work.activations, work.weights) == (8 * WORK.macs, 8 * WORK.activations, WORK.weights)


def test_a_table_of_one_image_does_not_predict_a_batch() -> None:
    tables = [table(rows(lambda _: 1.0))]
    assert predicted(Predictor(TARGET, tables), batch_size=8).source == "predicted"
    with pytest.raises(Unreachable, match="nothing predicts batches of 8 in fp32"):
        predicted(Predictor(replace(TARGET, limits=None), tables), batch_size=8)
