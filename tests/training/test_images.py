"""A run goes on after its images were moved, and not on other images."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from prunnet_export.datasets import open_dataset
from prunnet_export.network import load_checkpoint
from prunnet_export.training import images_digest
from prunnet_export.training._journal import RECIPE_FILE
from prunnet_export.training.cli import command
from tests._cli import Ran, assert_error, call
from tests._inputs import write_folder

TINY = [
    "--backbone-option=channels=8,16,24,32", "--embedding-dim=8", "--crop-px=16", "--batch-size=6", "--epochs=1",
    "--capacities=0.6,0.3", "--channel-multiple=4", "--learning-rate=0.05", "--out=run", "--resume",
]  # fmt: skip
Train = Callable[[str | Path], Ran]


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Train:
    """Starts a run on some images, or goes on with it, in the folder ``tmp_path``."""
    monkeypatch.chdir(tmp_path)
    return lambda data: call(capfd, command, {}, data, *TINY)


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "shop")


def digest(folder: Path) -> str:
    return images_digest(open_dataset(str(folder)))


def test_another_spelling_and_another_place(train: Train, shop: Path, tmp_path: Path) -> None:
    assert train("shop").code == 0
    weights = (tmp_path / "run" / "network.safetensors").read_bytes()
    for spelling in ("shop/", "./shop", str(shop), f"{shop}/../shop/"):
        ran = train(spelling)
        assert ran.code == 0, ran.err
    (tmp_path / "mount").mkdir()
    shutil.copytree(shop, tmp_path / "mount" / "images", copy_function=shutil.copyfile)  # with other times
    shutil.rmtree(shop)
    ran = train("mount/images")
    assert ran.code == 0, ran.err
    assert (tmp_path / "run" / "network.safetensors").read_bytes() == weights
    config = load_checkpoint(tmp_path / "run").config
    assert config.data is not None
    assert config.data.source == "mount/images"
    assert json.loads((tmp_path / "run" / RECIPE_FILE).read_bytes())["data"]["source"] == "mount/images"


def test_other_images_are_refused(train: Train, shop: Path, tmp_path: Path) -> None:
    assert train("shop").code == 0
    recipe = (tmp_path / "run" / RECIPE_FILE).read_bytes()
    shutil.copytree(shop, tmp_path / "others")
    first, second = sorted((tmp_path / "others" / "train").glob("*/*"))[:2]
    shutil.copyfile(second, first)
    ran = train("others")
    assert_error(ran, 2)
    assert "the run to resume was started with the images of shop, not those of others" in ran.err
    (shop / "train" / "class-3" / "7.png").rename(shop / "train" / "class-2" / "7.png")
    ran = train("shop")
    assert_error(ran, 2)
    assert "the run to resume was started with other images than shop has now" in ran.err
    assert (tmp_path / "run" / RECIPE_FILE).read_bytes() == recipe


def test_a_run_of_an_older_version_goes_on_at_its_place_alone(train: Train, shop: Path, tmp_path: Path) -> None:
    assert train("shop").code == 0
    file = tmp_path / "run" / RECIPE_FILE
    recipe = json.loads(file.read_bytes())
    del recipe["images_sha256"]
    file.write_text(json.dumps(recipe))
    shutil.copytree(shop, tmp_path / "moved")
    ran = train("moved")
    assert_error(ran, 2)
    assert "the images of shop, not those of moved" in ran.err
    assert train("shop/").code == 0
    assert train("moved").code == 0  # since then it is known which images they are


def test_names_labels_and_contents_count(shop: Path, tmp_path: Path) -> None:
    before = digest(shop)
    assert digest(shutil.copytree(shop, tmp_path / "copy")) == before
    image = min((tmp_path / "copy" / "train").glob("*/*"))
    image.rename(image.with_name("other.png"))
    assert digest(tmp_path / "copy") != before
    image.with_name("other.png").rename(image)
    assert digest(tmp_path / "copy") == before
    image.write_bytes(image.read_bytes() + b"more")
    assert digest(tmp_path / "copy") != before


def test_query_images_count_where_figures_are_compared(shop: Path, tmp_path: Path) -> None:
    data, others = open_dataset(str(shop)), shutil.copytree(shop, tmp_path / "others")
    image = min((others / "query").glob("*/*"))
    image.write_bytes(image.read_bytes() + b"more")
    other = open_dataset(str(others))
    assert images_digest(data) == images_digest(other)
    assert images_digest(data, whole=True) != images_digest(other, whole=True)


def test_an_image_that_cannot_be_read_is_no_error(shop: Path) -> None:
    data = open_dataset(str(shop))
    before = images_digest(data)
    min((shop / "train").glob("*/*")).unlink()
    assert images_digest(data) != before
