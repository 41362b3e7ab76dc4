"""What a program that reads stdout gets if a command fails."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import click
import pytest

from prunnet_export._errors import Unreachable
from prunnet_export.benchmarks.cli import command as bench
from prunnet_export.cli import output_options
from prunnet_export.cli._command import command as export
from prunnet_export.cli._failures import asked_format
from tests._cli import call

Environment = dict[str, str]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "table"),
        (["--output-format", "json"], "json"),
        (["--output-format=junit", "--debug"], "junit"),
        (["--output-format=junit", "finish", "--output-format", "github"], "github"),
        (["--output-format", "yaml"], "table"),
        (["--output-format"], "table"),
        (["--out", "json"], "table"),
    ],
)
def test_the_format_that_is_asked_for(words: list[str], expected: str) -> None:
    assert asked_format(words) == expected


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (Unreachable("the board is off", hint="switch it on"), 3, "the board is off"),
        (RuntimeError("surprise"), 70, "internal error: RuntimeError: surprise"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_every_error_is_a_report(
    error: BaseException, code: int, message: str, environment: Environment, capfd: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    @output_options
    def failing(**_options: str) -> None:
        raise error

    ran = call(capfd, failing, environment, "--output-format", "json")
    assert ran.code == code
    [failure] = json.loads(ran.out)["errors"]
    assert (failure["name"], failure["message"], failure["exit_code"]) == ("prunnet", message, code)
    assert ran.err.strip().splitlines() == [f"error: {message}", f"hint: {failure['hint']}"]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (export, ["--target", "nosuch"]),
        (export, ["--no-such-option"]),
        (bench, ["nosuch"]),
        (bench, ["check"]),
        (bench, ["gallery", "--network", "nosuch"]),
    ],
)
def test_bad_usage_is_a_report(
    command: click.Command, words: list[str], environment: Environment, capfd: pytest.CaptureFixture[str]
) -> None:
    ran = call(capfd, command, environment, *words, "--output-format=junit")
    assert ran.code == 2
    [suite] = ET.fromstring(ran.out)  # noqa: S314  # our own text
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("1", "0", "1")


def test_people_read_the_error_on_stderr_alone(environment: Environment, capfd: pytest.CaptureFixture[str]) -> None:
    ran = call(capfd, export, environment, "--target", "nosuch", "--output-format", "table")
    assert (ran.code, ran.out) == (2, "")
