"""The pages are tested: every shown command runs or at least parses, every link works, every page is in the index."""

from __future__ import annotations

import contextlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from prunnet_export.benchmarks.cli import command as bench
from prunnet_export.cli._command import command as export
from prunnet_export.training.cli import command as train

ROOT = Path(__file__).parents[1]
DOCS = sorted(ROOT.glob("docs/*.md"))
PAGES = sorted([*ROOT.glob("*.md"), *DOCS, *ROOT.glob("examples/*/*.md")])
INDEX = ROOT / "docs" / "index.md"
COMMANDS: dict[str, click.Command] = {"prunnet-export": export, "prunnet-train": train, "prunnet-bench": bench}
BIN = Path(sys.executable).parent


def shown_commands(page: Path) -> Iterator[list[str]]:
    """Every command line in the page's shell blocks, and every one in backticks that starts with our names."""
    text = page.read_text("utf-8")
    for kind, block in re.findall(r"```(sh|console)\n(.*?)```", text, flags=re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if kind == "console" and not line.startswith("$ "):
                continue  # what the command printed
            stripped = line.removeprefix("$ ").split(" # ")[0].strip()
            stripped = re.sub(r"^torchrun .*?(?=prunnet-)", "", stripped)  # parse the command that torchrun starts
            stripped = stripped.split(" > ")[0]  # the shell's part
            if stripped.startswith(("prunnet-", "make ")):
                yield shlex.split(stripped)
    for code in re.findall(r"`(prunnet-(?:export|train|bench) [^`]*)`", text):
        yield shlex.split(code)


def examples() -> list[list[str]]:
    found = [command for page in PAGES for command in shown_commands(page)]
    return [list(command) for command in dict.fromkeys(map(tuple, found))]


def test_the_readme_shows_commands() -> None:
    shown = {command[0] for command in shown_commands(ROOT / "README.md")}
    assert shown == {"prunnet-export", "prunnet-train", "prunnet-bench", "make"}


@pytest.mark.parametrize("command", examples(), ids=shlex.join)
def test_every_shown_command_parses(command: list[str]) -> None:
    name, *arguments = command
    if name == "make":
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE)
        assert arguments[0] in targets
        return
    with contextlib.suppress(click.exceptions.Exit):  # --help ends the parsing
        _parse(COMMANDS[name], name, arguments)


def _parse(command: click.Command, name: str, arguments: list[str]) -> None:
    """Parse arguments as the command line does, down to the subcommand; click raises on unknown ones."""
    # Words in capitals are placeholders.
    filled = [{"T": "x86-onnxruntime", "MS": "2", "B": "resnet18"}.get(word, word) for word in arguments]
    context = command.make_context(name, list(filled), resilient_parsing=False)
    if isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]
        if not rest:  # a group that runs without a subcommand
            return
        if rest[0] not in command.commands:  # an artifact instead of a subcommand means `check`
            assert rest[0].startswith(("dist/", "ARTIFACT"))
            return
        _parse(command.commands[rest[0]], rest[0], rest[1:])


@pytest.mark.parametrize("command", [["--list-targets"], ["--doctor"], ["--help"], ["--version"]], ids=" ".join)
def test_the_survey_commands_run(command: list[str]) -> None:
    done = subprocess.run([BIN / "prunnet-export", *command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_main_job_runs_right_after_installing(tmp_path: Path) -> None:
    [main_job] = [c for c in shown_commands(ROOT / "README.md") if c == shlex.split(MAIN_JOB)][:1]
    done = subprocess.run(
        [BIN / main_job[0], *main_job[1:]], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "demo network" in done.stdout
    assert "verified: " in done.stdout
    artifact = tmp_path / "dist" / "x86-onnxruntime"
    assert (artifact / "manifest.json").is_file()


MAIN_JOB = "prunnet-export --target x86-onnxruntime --budget-ms 2"


def test_the_python_that_the_readme_shows_is_what_the_package_has() -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), flags=re.DOTALL)
    assert blocks
    for number, block in enumerate(blocks):
        compile(block, f"README.md block {number}", "exec")
    assert "prunnet_export.load(" in blocks[0]


def links(page: Path) -> list[tuple[Path, str]]:
    """The file and the anchor of every relative link in a page; code blocks have none."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    parts = [target.partition("#") for target in targets]
    return [((page.parent / file).resolve() if file else page, anchor) for file, _, anchor in parts]


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    text = re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    dead = [
        (file, anchor) for file, anchor in links(page) if not file.exists() or (anchor and anchor not in anchors(file))
    ]
    assert dead == []


def test_every_source_file_that_a_page_names_exists() -> None:
    folders = "prunnet_export|training|targets|benchmarks|tests"
    pages = [page for page in PAGES if page.name != "ARCHITECTURE.md"]  # another test checks that page
    named = {name for page in pages for name in re.findall(rf"`((?:{folders})/[\w/.]+)`", page.read_text("utf-8"))}
    assert len(named) > 5  # the pattern still finds some
    assert sorted(name for name in named if not (ROOT / name).exists()) == []


def test_the_index_links_every_page() -> None:
    linked = {file for file, _ in links(INDEX)}
    assert [page.name for page in DOCS if page not in linked and page != INDEX] == []
    assert INDEX in {file for file, _ in links(ROOT / "README.md")}


def test_the_readme_shows_a_part_of_the_whole_output() -> None:
    [shown], [whole] = (_outputs(page) for page in (ROOT / "README.md", ROOT / "docs" / "export.md"))
    assert "..." in shown
    assert [line for line in shown if line not in whole] == ["...", "..."]


def _outputs(page: Path) -> list[list[str]]:
    return [
        block.splitlines() for block in re.findall(r"```console\n(.*?)```", page.read_text("utf-8"), flags=re.DOTALL)
    ]
