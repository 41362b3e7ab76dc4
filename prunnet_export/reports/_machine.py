"""Formats that programs read: JSON, JUnit XML and GitHub's workflow commands."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET

from prunnet_export.reports._report import Report

# Characters that XML 1.0 does not allow, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render_json(report: Report) -> str:
    """The document as JSON, in the order of its fields.

    Raises:
        ValueError: it holds NaN or infinity, which JSON does not have.
    """
    return json.dumps(report.document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def render_junit(report: Report) -> str:
    """JUnit XML: one test suite with a test case for each check."""
    failures = sum(not check.passed for check in report.checks)
    suite = ET.Element(
        "testsuite",
        name=_xml(report.title),
        tests=str(len(report.checks)),
        failures=str(failures),
        errors="0",
        skipped="0",
    )
    for check in report.checks:
        case = ET.SubElement(suite, "testcase", classname=_xml(report.title), name=_xml(check.name))
        if check.passed:
            ET.SubElement(case, "system-out").text = _xml(check.message)
        else:
            ET.SubElement(case, "failure", message=_xml(check.message)).text = _xml(check.message)
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(suites, encoding="unicode") + "\n"


def render_github(report: Report) -> str:
    """GitHub workflow commands: one annotation for each check, and a notice for each line of the footer."""
    lines = [
        _annotation("notice" if check.passed else "error", check.message, title=f"{report.title}: {check.name}")
        for check in report.checks
    ]
    lines += [_annotation("notice", line, title=report.title) for line in report.footer]
    return "".join(f"{line}\n" for line in lines)


def _annotation(kind: str, message: str, *, title: str) -> str:
    title = _escaped(title).replace(":", "%3A").replace(",", "%2C")
    return f"::{kind} title={title}::{_escaped(message)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _xml(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
