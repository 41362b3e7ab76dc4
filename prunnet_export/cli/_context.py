"""The first choices of several commands: the network, its data, the patterns and the precisions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from prunnet_export._config import read_project_config
from prunnet_export._errors import InvalidInput, UnknownName
from prunnet_export._text import shown

if TYPE_CHECKING:
    from prunnet_export.datasets import RetrievalData
    from prunnet_export.network import Checkpoint
    from prunnet_export.target import Target

AUTO = "auto"


@dataclass(frozen=True)
class NetworkChoice:
    """The folder and the name of the chosen network, and the reason of the choice."""

    folder: Path
    name: str
    because: str


def choose_network(given: Path | None) -> NetworkChoice:
    """The network of ``--network``, else of the project's settings, else the demo network.

    Raises:
        InvalidInput: the project's settings cannot be read.
    """
    if given is not None:
        return NetworkChoice(given, shown(given.resolve().name), "--network")
    configured = read_project_config(Path.cwd()).network
    if configured is not None:
        return NetworkChoice(Path(configured), shown(Path(configured).name), "[tool.prunnet-export] in pyproject.toml")
    from prunnet_export.network_config import DEMO

    return NetworkChoice(DEMO, "demo", "the bundled demo network, as no --network is given")


def open_data(given: str | None, layout: str | None, checkpoint: Checkpoint) -> RetrievalData:
    """The data set of ``--data``, else of the project's settings, else the one that the network was trained on.

    Raises:
        InvalidInput: none of them is known.
    """
    from prunnet_export.datasets import open_dataset

    source = given or read_project_config(Path.cwd()).data
    if source is not None:
        return open_dataset(source, layout=layout)
    trained_on = checkpoint.config.data
    if trained_on is None:
        raise InvalidInput("the network does not say what it was trained on", hint="give --data")
    try:
        return open_dataset(trained_on.place, layout=layout or trained_on.layout, seed=trained_on.seed)
    except InvalidInput as error:
        raise InvalidInput(
            f"{error.message}; the network was trained on it", hint="if the images were moved, give --data"
        ) from None


def choose_patterns(given: str, target: Target) -> tuple[str, ...]:
    """The patterns to search: the given one, or those that the target profits from.

    Raises:
        InvalidInput: ``auto`` is given, but the target names no pattern.
        UnknownName: there is no such pattern.
    """
    from prunnet_export.patterns import find_pattern

    names = target.patterns if given == AUTO else (given,)
    if not names:
        raise InvalidInput(f"target {target.name} names no pattern", hint="give one, e.g. --pattern channel")
    return tuple(find_pattern(name).name for name in names)


def choose_precisions(given: str, target: Target) -> tuple[str, ...]:
    """The precisions to search: the given one, or those that are worth trying on the target.

    Raises:
        UnknownName: the target does not have it.
    """
    if given == AUTO:
        return target.precisions
    if given not in target.precisions:
        raise UnknownName("precision", given, target.precisions)
    return (given,)
