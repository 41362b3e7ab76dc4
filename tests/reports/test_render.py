"""Five renderings of one report: expected texts, and escaped texts that parse back to the original."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunnet_export._errors import UnknownName
from prunnet_export.reports import Cell, Check, Failure, Report, Skip, Table, render
from prunnet_export.reports._cells import cell_text
from prunnet_export.reports._render import OUTPUT_FORMATS
from prunnet_export.reports._terminal import render_table

REPORT = Report(
    title="export to x86-openvino",
    tables=(
        Table(
            "frontier",
            ("pattern", "capacity", "p90 ms", "n"),
            (("channel", 0.39, 4.5678, 90), ("unstructured", 1.0, None, 90)),
        ),
    ),
    checks=(
        Check("parity", True, "cosine 0.99998 >= 0.999"),
        Check("latency", False, "p90 16.2 ms > 15 ms"),
    ),
    document={"title": "export", "b": 1, "a": [0.39, None], "name": "Zürich"},
    footer=("artifact: dist/x86.rejected", "next:     prunnet-export --budget-ms 20"),
)
FAILED = Report(
    title="check",
    checks=(Check("good: size", True, "1 MB"),),
    document={"checks": 1},
    failures=(Failure("a_caf\udce9", "no <such> folder", "look again", 2), Failure("b", "gone", "", 3)),
)
SKIPPED = Report(
    title="boards",
    checks=(Check("here: size", True, "1 MB"),),
    document={"checks": 1},
    skips=(Skip("x86@bo,ard", "the <board> does not answer", "is it on?"), Skip("b_", "no GPU")),
)
EMPTY = Report(title="nothing")
texts = st.text(st.characters(codec="utf-8"), max_size=30)
ESCAPE = "\x1b["


class Terminal:
    """A stdout that says it is a terminal."""

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass


def attach_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Call it in the test's body, because pytest sets its own stdout after the fixtures."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("sys.stdout", Terminal())


class TestTable:
    def test_golden(self) -> None:
        assert (
            render(REPORT, "table")
            == """\
export to x86-openvino

frontier
+--------------+----------+--------+----+
| pattern      | capacity | p90 ms |  n |
+--------------+----------+--------+----+
| channel      |    0.390 |   4.57 | 90 |
| unstructured |     1.00 |      - | 90 |
+--------------+----------+--------+----+

pass  parity: cosine 0.99998 >= 0.999
FAIL  latency: p90 16.2 ms > 15 ms

artifact: dist/x86.rejected
next:     prunnet-export --budget-ms 20
"""
        )

    def test_nothing_is_cut_off_in_a_pipe(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "20")
        names = tuple(f"a-long-column-name-{index}" for index in range(30))
        text = render(Report("wide", (Table("t", names, (tuple("v" * 40 for _ in names),)),)))
        lines = text.splitlines()
        assert all(name in lines[4] for name in names)
        assert lines[6].count("v" * 40) == 30
        assert "…" not in text

    def test_a_terminal_gets_colour_and_its_own_width(self, monkeypatch: pytest.MonkeyPatch) -> None:
        attach_terminal(monkeypatch)
        text = render(REPORT)
        assert ESCAPE in text
        plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
        assert max(map(len, plain.splitlines())) <= 100
        assert "parity: cosine" in plain

    def test_a_narrow_terminal_folds_cells_and_drops_nothing(self) -> None:
        table = Table("t", ("name",), (("0123456789" * 5,),))
        text = render_table(Report("narrow", (table,)), width=20)
        assert "".join(re.findall(r"\d", text)) == "0123456789" * 5

    def test_a_command_to_copy_stays_on_one_line(self) -> None:
        command = "next: prunnet-export " + "--option value " * 20 + "end"
        assert command in render_table(Report("t", footer=(command,)), width=40).splitlines()

    @pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
    def test_no_colour_where_it_is_not_wanted(self, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
        attach_terminal(monkeypatch)
        monkeypatch.setenv(name, value)
        assert ESCAPE not in render(REPORT)

    def test_square_brackets_are_text(self) -> None:
        report = Report(
            "[red]t[/red]", (Table("[b]", ("[/i]",), (("[bold]x",),)),), (Check("[1]", True, "[/]"),), {}, ("[x]",)
        )
        text = render(report)
        for part in ("[red]t[/red]", "[b]", "[/i]", "[bold]x", "[1]: [/]", "\n[x]\n"):
            assert part in text


class TestJson:
    def test_golden(self) -> None:
        assert (
            render(REPORT, "json")
            == """\
{
  "title": "export",
  "b": 1,
  "a": [
    0.39,
    null
  ],
  "name": "Zürich"
}
"""
        )

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
    def test_what_json_cannot_say(self, value: float) -> None:
        with pytest.raises(ValueError, match="JSON"):
            render(Report("t", document={"value": [value]}), "json")

    @given(st.dictionaries(texts, st.one_of(texts, st.integers(), st.floats(allow_nan=False, allow_infinity=False))))
    def test_round_trip(self, document: dict[str, Cell]) -> None:
        assert json.loads(render(Report("t", document=dict(document)), "json")) == document


class TestJunit:
    def test_golden(self) -> None:
        assert (
            render(REPORT, "junit")
            == """\
<?xml version="1.0" encoding="utf-8"?>
<testsuites>
  <testsuite name="export to x86-openvino" tests="2" failures="1" errors="0" skipped="0">
    <testcase classname="export to x86-openvino" name="parity">
      <system-out>cosine 0.99998 &gt;= 0.999</system-out>
    </testcase>
    <testcase classname="export to x86-openvino" name="latency">
      <failure message="p90 16.2 ms &gt; 15 ms">p90 16.2 ms &gt; 15 ms</failure>
    </testcase>
  </testsuite>
</testsuites>
"""
        )

    @given(texts, st.lists(st.builds(Check, texts, st.booleans(), texts)))
    def test_any_text_parses_back(self, title: str, checks: list[Check]) -> None:
        [suite] = ET.fromstring(render(Report(title, checks=tuple(checks)), "junit").encode())  # noqa: S314  # our own text
        assert suite.get("tests") == str(len(checks))
        assert suite.get("failures") == str(sum(not check.passed for check in checks))
        assert [len(case.findall("failure")) for case in suite] == [int(not check.passed) for check in checks]

    def test_markup_is_text(self) -> None:
        text = '<a href="x">&amp;]]>'
        [suite] = ET.fromstring(render(Report("t", checks=(Check(text, False, text),)), "junit"))  # noqa: S314  # our own text
        [case] = suite
        [failure] = case
        assert case.get("name") == failure.get("message") == failure.text == text

    def test_what_xml_cannot_say_is_replaced(self) -> None:
        assert "a\N{REPLACEMENT CHARACTER}b" in render(Report("a\x00b"), "junit")


class TestGithub:
    def test_golden(self) -> None:
        assert (
            render(REPORT, "github")
            == """\
::notice title=export to x86-openvino%3A parity::cosine 0.99998 >= 0.999
::error title=export to x86-openvino%3A latency::p90 16.2 ms > 15 ms
::notice title=export to x86-openvino::artifact: dist/x86.rejected
::notice title=export to x86-openvino::next:     prunnet-export --budget-ms 20
"""
        )

    def test_escapes(self) -> None:
        report = Report("a,b:c%", checks=(Check("d\ne", False, "100 %: one,\r\ntwo::error::x"),))
        assert render(report, "github") == "::error title=a%2Cb%3Ac%25%3A d%0Ae::100 %25: one,%0D%0Atwo::error::x\n"

    @given(texts, st.lists(st.builds(Check, texts, st.booleans(), texts)))
    def test_a_text_starts_no_command_of_its_own(self, title: str, checks: list[Check]) -> None:
        text = render(Report(title, checks=tuple(checks)), "github")
        lines = re.split(r"[\r\n]", text)
        assert len(lines) == len(checks) + 1
        for line, check in zip(lines, checks, strict=False):
            parsed = re.fullmatch(r"::(error|notice) title=([^:,]*)::(.*)", line, re.DOTALL)
            assert parsed is not None
            assert parsed[1] == ("notice" if check.passed else "error")
            message = parsed[3].replace("%0A", "\n").replace("%0D", "\r").replace("%25", "%")
            assert message == check.message


class TestMarkdown:
    def test_golden(self) -> None:
        assert (
            render(REPORT, "markdown")
            == """\
## export to x86-openvino

### frontier

| pattern | capacity | p90 ms | n |
| --- | ---: | ---: | ---: |
| channel | 0.390 | 4.57 | 90 |
| unstructured | 1.00 | - | 90 |

- pass parity: cosine 0.99998 >= 0.999
- **FAIL** latency: p90 16.2 ms > 15 ms

    artifact: dist/x86.rejected
    next:     prunnet-export --budget-ms 20
"""
        )

    @given(st.lists(st.tuples(texts, texts), max_size=4))
    def test_a_cell_stays_a_cell(self, rows: list[tuple[str, str]]) -> None:
        text = render(Report("", (Table("", ("a", "b"), tuple(rows)),)), "markdown")
        lines = text.rstrip("\n").split("\n")
        assert len(lines) == len(rows) + 2
        for line in lines:
            assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) == 3

    def test_markup_is_text(self) -> None:
        report = Report("t", (Table("", ("a|b",), (("<b>*x*_y_`z`[l](u)\\",),)),))
        text = render(report, "markdown")
        assert r"| a\|b |" in text
        assert r"| &lt;b>\*x\*\_y\_\`z\`\[l\](u)\\ |" in text


class TestFailures:
    def test_junit_counts_errors(self) -> None:
        assert (
            render(FAILED, "junit")
            == """\
<?xml version="1.0" encoding="utf-8"?>
<testsuites>
  <testsuite name="check" tests="3" failures="0" errors="2" skipped="0">
    <testcase classname="check" name="good: size">
      <system-out>1 MB</system-out>
    </testcase>
    <testcase classname="check" name="a_caf\\xe9">
      <error message="no &lt;such&gt; folder" type="exit code 2">no &lt;such&gt; folder (hint: look again)</error>
    </testcase>
    <testcase classname="check" name="b">
      <error message="gone" type="exit code 3">gone</error>
    </testcase>
  </testsuite>
</testsuites>
"""
        )

    def test_json_adds_them_to_the_document(self) -> None:
        assert json.loads(render(FAILED, "json")) == {
            "checks": 1,
            "errors": [
                {"name": "a_caf\\xe9", "message": "no <such> folder", "hint": "look again", "exit_code": 2},
                {"name": "b", "message": "gone", "hint": "", "exit_code": 3},
            ],
        }

    @pytest.mark.parametrize(
        ("output_format", "lines"),
        [
            (
                "github",
                [
                    "::notice title=check%3A good%3A size::1 MB",
                    r"::error title=check%3A a_caf\xe9::no <such> folder (hint: look again)",
                    "::error title=check%3A b::gone",
                ],
            ),
            (
                "markdown",
                [
                    "- pass good: size: 1 MB",
                    r"- **ERROR** a\_caf\\xe9: no &lt;such> folder (hint: look again)",
                    "- **ERROR** b: gone",
                ],
            ),
            (
                "table",
                ["pass  good: size: 1 MB", r"ERROR a_caf\xe9: no <such> folder (hint: look again)", "ERROR b: gone"],
            ),
        ],
    )
    def test_a_line_for_each(self, output_format: str, lines: list[str]) -> None:
        text = render(FAILED, output_format)
        assert text.splitlines()[-3:] == lines

    @given(st.text(max_size=20))
    def test_any_string_of_python_can_be_encoded(self, text: str) -> None:
        report = Report(text, checks=(Check(text, True, text),), document={text: text}, footer=(text,))
        for output_format in OUTPUT_FORMATS:
            assert render(report, output_format).encode()


class TestSkips:
    def test_junit_counts_them_apart(self) -> None:
        assert (
            render(SKIPPED, "junit")
            == """\
<?xml version="1.0" encoding="utf-8"?>
<testsuites>
  <testsuite name="boards" tests="3" failures="0" errors="0" skipped="2">
    <testcase classname="boards" name="here: size">
      <system-out>1 MB</system-out>
    </testcase>
    <testcase classname="boards" name="x86@bo,ard">
      <skipped message="the &lt;board&gt; does not answer (hint: is it on?)" />
    </testcase>
    <testcase classname="boards" name="b_">
      <skipped message="no GPU" />
    </testcase>
  </testsuite>
</testsuites>
"""
        )

    def test_json_adds_them_to_the_document(self) -> None:
        assert json.loads(render(SKIPPED, "json")) == {
            "checks": 1,
            "skipped": [
                {"name": "x86@bo,ard", "message": "the <board> does not answer", "hint": "is it on?"},
                {"name": "b_", "message": "no GPU", "hint": ""},
            ],
        }

    @pytest.mark.parametrize(
        ("output_format", "lines"),
        [
            (
                "github",
                [
                    "::notice title=boards%3A here%3A size::1 MB",
                    "::warning title=boards%3A x86@bo%2Card::the <board> does not answer (hint: is it on?)",
                    "::warning title=boards%3A b_::no GPU",
                ],
            ),
            (
                "markdown",
                [
                    "- pass here: size: 1 MB",
                    "- skip x86@bo,ard: the &lt;board> does not answer (hint: is it on?)",
                    r"- skip b\_: no GPU",
                ],
            ),
            (
                "table",
                [
                    "pass  here: size: 1 MB",
                    "skip  x86@bo,ard: the <board> does not answer (hint: is it on?)",
                    "skip  b_: no GPU",
                ],
            ),
        ],
    )
    def test_a_line_for_each(self, output_format: str, lines: list[str]) -> None:
        assert render(SKIPPED, output_format).splitlines()[-3:] == lines

    def test_they_are_no_success(self) -> None:
        assert not SKIPPED.passed


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "-"),
        ("text", "text"),
        (12345, "12345"),
        (True, "True"),
        (0.0, "0"),
        (-0.0, "0"),
        (2.0, "2.00"),
        (4.5678, "4.57"),
        (12.34, "12.3"),
        (123.4, "123"),
        (1234.5678, "1235"),
        (0.012345, "0.0123"),
        (9.996, "10.0"),
        (99.96, "100"),
        (0.9999, "1.00"),
        (0.0000123, "0.0000123"),
        (0.00000123, "1.23e-06"),
        (-4.5678, "-4.57"),
        (float("nan"), "nan"),
        (float("inf"), "inf"),
    ],
)
def test_cells(value: Cell, expected: str) -> None:
    assert cell_text(value) == expected


@given(st.floats(1e-5, 1e9))
def test_a_float_keeps_three_digits(value: float) -> None:
    assert float(cell_text(value)) == pytest.approx(value, rel=5.1e-3)


@pytest.mark.parametrize("output_format", OUTPUT_FORMATS)
def test_every_format_ends_with_a_line_or_is_empty(output_format: str) -> None:
    assert render(REPORT, output_format).endswith("\n")
    assert render(EMPTY, output_format).endswith("\n") or output_format == "github"


def test_unknown_format() -> None:
    with pytest.raises(UnknownName, match="output format 'jsn'"):
        render(REPORT, "jsn")


def test_a_report_passes_with_its_checks() -> None:
    assert EMPTY.passed
    assert not REPORT.passed
    assert not FAILED.passed


def test_a_row_of_another_length() -> None:
    with pytest.raises(ValueError, match="2 cells in a table of 1"):
        Table("t", ("a",), ((1, 2),))


def test_reports_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        REPORT.title = "other"  # type: ignore[misc]  # that it is refused is the test
