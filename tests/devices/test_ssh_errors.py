from __future__ import annotations

import pytest

from prunnet_export.devices._address import Address
from prunnet_export.devices._ssh_errors import explain

BOARD = Address("board", "pi", 2222)


@pytest.mark.parametrize(
    ("errors", "message", "hint"),
    [
        (
            "ssh: connect to host board port 2222: Connection timed out",
            "ssh://pi@board:2222 does not answer",
            "is it on, and in this network?",
        ),
        (
            "ssh: connect to host board port 2222: No route to host",
            "there is no route to ssh://pi@board:2222",
            "is it on, and in this network?",
        ),
        (
            "Welcome!\nReceived disconnect from board: 2: Too many authentication failures",
            "ssh://pi@board:2222 does not let us in",
            "name one key: IdentityFile in ~/.ssh/config",
        ),
        (
            "@  WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!  @\nHost key verification failed.",
            "the host key of ssh://pi@board:2222 has changed",
            "if that is right: ssh-keygen -R '[board]:2222'",
        ),
        (
            "kex_exchange_identification: \x1b[31mConnection closed\r\n \n",
            "ssh cannot connect to ssh://pi@board:2222: kex_exchange_identification: [31mConnection closed",
            "does it work by hand? ssh -l pi -p 2222 -- board",
        ),
        ("", "ssh cannot connect to ssh://pi@board:2222", "does it work by hand? ssh -l pi -p 2222 -- board"),
    ],
)
def test_what_ssh_says(errors: str, message: str, hint: str) -> None:
    assert explain(BOARD, 255, errors, greeted=False) == (message, hint)


def test_a_connection_that_was_there_is_lost_whatever_was_said() -> None:
    message, _ = explain(BOARD, 255, "Connection refused" + "x" * 999, greeted=True)
    assert message.startswith("the connection to ssh://pi@board:2222 was lost: Connection refusedx")
    assert len(message) < 250


@pytest.mark.parametrize(("port", "name"), [(None, "board"), (22, "board"), (23, "'[board]:23'")])
def test_the_name_that_a_key_is_kept_under(port: int | None, name: str) -> None:
    changed = "REMOTE HOST IDENTIFICATION HAS CHANGED"
    assert explain(Address("board", port=port), 255, changed, greeted=False)[1].endswith(f"-R {name}")
