"""The configuration of a network, ``config.json``, read without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from prunnet_export._documents import decode_json
from prunnet_export._errors import InvalidInput
from prunnet_export._files import read_bytes
from prunnet_export._limits import SETTINGS_BYTES
from prunnet_export._numbers import percent
from prunnet_export._stored_paths import path_from_stored
from prunnet_export.preprocessing import Preprocessing

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "network.safetensors"
TEACHER_FILE = "teacher.npz"
DEMO = Path(__file__).parent / "network" / "demo"  # the network that is used if none is given
STATISTICS_IMAGES = 2000  # BatchNorm statistics are taken on at most this many images
LEAST_DIMENSIONS, MOST_DIMENSIONS = 2, 8192  # of an embedding; the direction of one number means nothing
LEAST_STATISTICS_IMAGES = 2  # one image has no variance

BackboneOption = bool | int | float | list[int | float]
TeacherKind = Literal["vectors", "onnx", "network", "timm", "self"]


class DataSource(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The data set of a network, so that a later command finds its images again.

    Attributes:
        source: Name of a built-in data set, or a path as :func:`stored_path` writes it.
        layout: Name of the format, if the user gave it.
        seed: Seed of a built-in data set that is rendered.
    """

    source: str
    layout: str | None = None
    seed: int = 0

    @property
    def place(self) -> str:
        """Name of a built-in data set, or the path."""
        return path_from_stored(self.source)

    def at_place_of(self, other: DataSource) -> bool:
        """Whether both are the same, apart from how the path is written."""
        same = (self.layout, self.seed) == (other.layout, other.seed)
        return same and Path(self.place).resolve() == Path(other.place).resolve()


class TeacherEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The teacher whose gallery a network answers.

    Attributes:
        name: Name of its file or architecture, without folders.
        kind: ``vectors`` if only its vectors are known, else the kind of the model: ``onnx``, ``network``, ``timm``,
            or ``self`` for the network's own backbone with the weights that the training started from.
        sha256: SHA-256 of the file of vectors and of names beside it, or of the model and its preprocessing.
        sample_sha256: SHA-256 of ``teacher.npz``, which holds some of its vectors.
    """

    name: str
    kind: TeacherKind
    sha256: str
    sample_sha256: str


class NetworkConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The values of ``config.json``.

    Attributes:
        backbone: A timm architecture, or an architecture of :func:`prunnet_export.network.build_embedder`.
        backbone_options: Keyword arguments of the backbone.
        embedding_dim: Length of the embedding.
        preprocessing: How an image becomes an input.
        weights_sha256: SHA-256 of the weights file; it identifies the network in manifests and galleries.
        data: The data set that the network was trained on.
        training: Settings of the training, for people.
        teacher: The teacher, if the network was trained to answer a gallery that it did not make.
    """

    backbone: str
    embedding_dim: Annotated[int, msgspec.Meta(ge=1, le=MOST_DIMENSIONS)]
    preprocessing: Preprocessing
    weights_sha256: str
    backbone_options: dict[str, BackboneOption] = {}
    data: DataSource | None = None
    training: dict[str, bool | int | float | str | list[float | str]] = {}
    teacher: TeacherEntry | None = None
    format: Literal["prunnet-network"] = "prunnet-network"
    version: Literal[1] = 1

    def smallest_trained(self, pattern: str) -> float | None:
        """The smallest capacity of a pattern that the training had; None if the file does not say it."""
        patterns, capacities = self.training.get("patterns"), self.training.get("capacities")
        if not isinstance(patterns, list) or not isinstance(capacities, list) or pattern not in patterns:
            return None
        numbers = [one for one in capacities if isinstance(one, float) and 0 < one <= 1]
        return min(numbers, default=None)


def below_trained(subnetwork: object, capacity: float, smallest: float | None) -> str | None:
    """A warning if a subnetwork is smaller than all that its network was trained at, else None.

    Args:
        subnetwork: What is printed for it.
        capacity: Its capacity.
        smallest: The smallest trained capacity of its pattern; None if that is not known.
    """
    if smallest is None or capacity >= smallest:
        return None
    return (
        f"{subnetwork} is below {percent(smallest)}, the smallest capacity that this network was trained at; it may"
        " find far less, and a training with smaller --capacities helps"
    )


def read_config(folder: Path) -> NetworkConfig:
    """The configuration of the checkpoint in a folder.

    Raises:
        InvalidInput: the folder holds no checkpoint, or its configuration is corrupt.
    """
    file = folder / CONFIG_FILE
    if not file.is_file():
        raise InvalidInput(
            f"{folder} holds no network: {CONFIG_FILE} is missing", hint="give a folder that prunnet-train wrote"
        )
    try:
        return decode_json(read_bytes(file, at_most=SETTINGS_BYTES), NetworkConfig)
    except (msgspec.DecodeError, InvalidInput) as error:  # a ValidationError is a DecodeError
        raise InvalidInput(
            f"{file}: {error}", hint="the file is not a network configuration, or of a newer version"
        ) from None
