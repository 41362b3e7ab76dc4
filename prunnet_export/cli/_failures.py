"""The report of a command that ends with an error, in the format that the command line asks for."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from prunnet_export.cli._options import FORMATS, OUTPUT_FORMAT
from prunnet_export.reports import Failure, Report, print_report


def print_failure(name: str, message: str, hint: str, exit_code: int) -> None:
    """Print the error of the command ``name`` as a report on stdout, unless the format is the table for people."""
    output_format = asked_format(sys.argv[1:])
    if output_format != FORMATS[0]:
        print_report(Report(title=name, failures=(Failure(name, message, hint, exit_code),)), output_format)


def asked_format(words: Sequence[str]) -> str:
    """The value of the last ``--output-format`` in a command line; the table if there is none.

    The words are searched because an error may occur before the options are parsed.
    """
    found = FORMATS[0]
    for index, word in enumerate(words):
        option, equals, value = word.partition("=")
        value = value if equals else " ".join(words[index + 1 : index + 2])
        if option == OUTPUT_FORMAT and value in FORMATS:
            found = value
    return found
