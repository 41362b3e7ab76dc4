from __future__ import annotations

import shlex
import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prunnet_export._errors import InvalidInput
from prunnet_export.devices import find_device
from prunnet_export.devices._address import Address, parse_address


@pytest.mark.parametrize(
    ("url", "address", "words"),
    [
        ("ssh://pi@board", Address("board", "pi"), ["-l", "pi", "--", "board"]),
        ("ssh://board", Address("board"), ["--", "board"]),
        ("ssh://Board_2.local/", Address("Board_2.local"), ["--", "Board_2.local"]),
        ("ssh://pi@10.0.0.7:2222", Address("10.0.0.7", "pi", 2222), ["-l", "pi", "-p", "2222", "--", "10.0.0.7"]),
        ("ssh://[fe80::1%eth0]:22", Address("fe80::1%eth0", None, 22), ["-p", "22", "--", "fe80::1%eth0"]),
        (
            "ssh://a.b+c-d@h?python=python3.12",
            Address("h", "a.b+c-d", None, "python3.12"),
            ["-l", "a.b+c-d", "--", "h"],
        ),
        ("ssh://h/?python=/opt/my%20env/python", Address("h", python="/opt/my env/python"), ["--", "h"]),
    ],
)
def test_addresses(url: str, address: Address, words: list[str]) -> None:
    assert parse_address(url) == address
    assert address.ssh_arguments() == words


@pytest.mark.parametrize(
    "url",
    [
        "ssh://",
        "ssh://@host",
        "ssh://pi@",
        "ssh://-oProxyCommand=touch%20x",
        "ssh://-oProxyCommand=x@host",
        "ssh://pi@-oProxyCommand=x",
        "ssh://pi:secret@host",
        "ssh://host;touch x",
        "ssh://$(touch x)",
        "ssh://`touch x`@host",
        "ssh://ho st",
        "ssh://host\n",
        "ssh://ho\tst",
        "ssh://host:0",
        "ssh://host:65536",
        "ssh://host:",
        "ssh://host:22x",
        "ssh://host:٢٢",
        "ssh://host/folder",
        "ssh://host#x",
        "ssh://host?",
        "ssh://host?python=",
        "ssh://host?python=-c",
        "ssh://host?python=%2dc",
        "ssh://host?python=a%00b",
        "ssh://host?python=a%0Ab",
        "ssh://host?python=a&python=b",
        "ssh://host?config=/tmp/x",
        "ssh://[::1",
        "ssh://[::1]x",
        "ssh://[--x]",
        "ssh://a@b@c",
        "SSH://host",
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(InvalidInput, match="no address") as caught:
        parse_address(url)
    assert "ssh://user@host" in caught.value.hint


@given(st.text(max_size=30))
def test_no_word_is_an_option(text: str) -> None:
    try:
        words = parse_address(f"ssh://{text}").ssh_arguments()
    except InvalidInput:
        return
    assert words[-2] == "--"
    assert not words[-1].startswith("-")
    assert {word for word in words[:-2] if word.startswith("-")} <= {"-l", "-p"}


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S", "Zs"]), min_size=1, max_size=20))
def test_any_interpreter_is_one_word_there(python: str) -> None:
    if python.startswith("-"):
        return
    address = parse_address(f"ssh://host?python={quote(python, safe='')}")
    assert address.python == python
    relative = "/" in python.removeprefix("~/") and not python.removeprefix("~/").startswith("/")
    home = "$HOME/" if relative else ""
    assert shlex.split(address.command("m")) == ["cd", "/;", "exec", home + python.removeprefix("~/"), "-m", "m"]


@pytest.mark.parametrize("python", ['{home}/it\'s $(touch boom); "python"', '~/it\'s $(touch boom); "python"', "named"])
def test_a_shell_runs_it_and_nothing_else(python: str, tmp_path: Path) -> None:
    for name in ('it\'s $(touch boom); "python"', "named"):
        (tmp_path / name).write_text('#!/bin/sh\npwd; echo "$@"\n')
        (tmp_path / name).chmod(0o755)
    address = parse_address(f"ssh://host?python={quote(python.format(home=tmp_path))}")
    done = subprocess.run(
        ["/bin/sh", "-c", address.command("some.module")],
        capture_output=True,
        check=True,
        text=True,
        cwd=tmp_path,
        env={"HOME": str(tmp_path), "PATH": f"{tmp_path}:/usr/bin:/bin"},
    )
    assert (done.stdout, done.stderr) == ("/\n-m some.module\n", "")
    assert not (tmp_path / "boom").exists()


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("ssh://pi@board:2222?python=/x", "SshDevice('ssh://pi@board:2222')"),
        ("ssh://[::1]", "SshDevice('ssh://[::1]')"),
    ],
)
def test_a_device_shows_its_address(url: str, shown: str) -> None:
    assert repr(find_device(url)) == shown
