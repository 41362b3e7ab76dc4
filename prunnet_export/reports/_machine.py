"""Formats that programs read: JSON, JUnit XML and GitHub's workflow commands."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET

from prunnet_export.reports._report import Report

# What XML 1.0 has no way to write, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render_json(report: Report) -> str:
    """The document, in the order of its fields.

    Raises:
        ValueError: it holds NaN or infinity, which JSON cannot say.
    """
    return json.dumps(report.document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def render_junit(report: Report) -> str:
    """One test suite, one test case for each check."""
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
    """One annotation for each check, and the footer as notices."""
    lines = [
        _command("notice" if check.passed else "error", check.message, title=f"{report.title}: {check.name}")
        for check in report.checks
    ]
    lines += [_command("notice", line, title=report.title) for line in report.footer]
    return "".join(f"{line}\n" for line in lines)


def _command(kind: str, message: str, *, title: str) -> str:
    title = _data(title).replace(":", "%3A").replace(",", "%2C")
    return f"::{kind} title={title}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _xml(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
