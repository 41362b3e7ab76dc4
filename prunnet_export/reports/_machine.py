"""Formats that programs read: JSON, JUnit XML and GitHub's workflow commands."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import asdict

from prunnet_export._text import shown
from prunnet_export.reports._report import Check, Failure, Report, Skip

# Characters that XML 1.0 does not allow, not even escaped.
_SURROGATE = re.compile("[\ud800-\udfff]")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render_json(report: Report) -> str:
    """The document as JSON, in the order of its fields.

    If something was skipped or failed, the last fields are ``skipped`` and ``errors``.

    Raises:
        ValueError: it holds NaN or infinity, which JSON does not have.
    """
    document = dict(report.document)
    if report.skips:
        document["skipped"] = list(map(asdict, report.skips))
    if report.failures:
        document["errors"] = list(map(asdict, report.failures))
    text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # Surrogates are only inside of strings, where a backslash is written twice.
    return _SURROGATE.sub(lambda found: "\\" + shown(found[0]), text)


def render_junit(report: Report) -> str:
    """JUnit XML: one test suite with a test case for each check, and one for each thing that was not checked."""
    failures = sum(not check.passed for check in report.checks)
    suite = ET.Element(
        "testsuite",
        name=_xml(report.title),
        tests=str(len(report.checks) + len(report.failures) + len(report.skips)),
        failures=str(failures),
        errors=str(len(report.failures)),
        skipped=str(len(report.skips)),
    )
    for check in report.checks:
        kind, details = ("system-out", {}) if check.passed else ("failure", {"message": _xml(check.message)})
        ET.SubElement(_case(suite, report, check), kind, details).text = _xml(check.message)
    for failure in report.failures:
        details = {"message": _xml(failure.message), "type": f"exit code {failure.exit_code}"}
        ET.SubElement(_case(suite, report, failure), "error", details).text = _xml(failure.text)
    for skip in report.skips:
        ET.SubElement(_case(suite, report, skip), "skipped", {"message": _xml(skip.text)})
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"


def _case(suite: ET.Element, report: Report, tested: Check | Failure | Skip) -> ET.Element:
    return ET.SubElement(suite, "testcase", classname=_xml(report.title), name=_xml(tested.name))


def render_github(report: Report) -> str:
    """GitHub workflow commands: an annotation for each check, failure and skip, and one for each line of the footer."""
    lines = [
        _annotation("notice" if check.passed else "error", check.message, title=f"{report.title}: {check.name}")
        for check in report.checks
    ]
    lines += [
        _annotation("error", failure.text, title=f"{report.title}: {failure.name}") for failure in report.failures
    ]
    lines += [_annotation("warning", skip.text, title=f"{report.title}: {skip.name}") for skip in report.skips]
    lines += [_annotation("notice", line, title=report.title) for line in report.footer]
    return "".join(f"{line}\n" for line in lines)


def _annotation(kind: str, message: str, *, title: str) -> str:
    title = _escaped(title).replace(":", "%3A").replace(",", "%2C")
    return f"::{kind} title={title}::{_escaped(message)}"


def _escaped(text: str) -> str:
    return shown(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _xml(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", shown(text))
