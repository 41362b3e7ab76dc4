"""``prunnet-export`` of a network with a teacher, from the gallery file to the artifact that is verified again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prunnet_export.artifact import read_manifest
from prunnet_export.benchmarks.cli import command as bench
from prunnet_export.cli._command import command as export
from prunnet_export.evaluating import embed_in_torch, inputs_of, load_reference
from prunnet_export.network import load_checkpoint
from prunnet_export.network_config import TEACHER_FILE
from prunnet_export.teachers import load_sample
from tests._cli import DIM, Ran, assert_error, call, shell, write_network
from tests._teacher import NamedSplit, Vectors, give_teacher, glyphs, sample_of_split

Environment = dict[str, str]
ROWS = 11_000  # more than an artifact holds


@dataclass(frozen=True)
class Taught:
    """A network whose teacher is its own dense network as it was, its images, and the teacher's vectors of them."""

    network: Path
    images: Path
    split: NamedSplit
    vectors: Vectors

    @property
    def threshold(self) -> float:
        """A similarity that a tenth of the pairs of images reaches, by dot product."""
        return round(float(np.quantile(self.vectors @ self.vectors.T, 0.9)), 4)

    def arguments(self, *more: str | Path) -> list[str]:
        """The arguments of an export that fits its budget."""
        words = ["--target=x86-onnxruntime", f"--network={self.network}", f"--data={self.images}", "--threads=1"]
        return [*words, "--budget-ms=1000", *map(str, more)]


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Taught:
    root = tmp_path_factory.mktemp("taught")
    split = glyphs(classes=20)
    for index, name in enumerate(split.relative_names):
        file = root / "images" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(split.encoded(index))
    network = write_network(root / "network")
    checkpoint = load_checkpoint(network)
    inputs = inputs_of(split, range(len(split)), checkpoint.config.preprocessing)
    vectors = 3 * embed_in_torch(checkpoint.network.embedder, inputs)
    give_teacher(network, sample_of_split(split, vectors))
    return Taught(network, root / "images", split, vectors)


@pytest.fixture(scope="module")
def large_gallery(taught: Taught, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gallery of more vectors than an artifact holds, in float16, with the images of the data set among them."""
    draw = np.random.default_rng(0)
    around = taught.vectors[draw.integers(0, len(taught.vectors), ROWS)]
    rows = around + draw.normal(0, 0.2, (ROWS, DIM))
    rows[500 : 500 + len(taught.vectors)] = taught.vectors
    names = [f"theirs/{row}.png" for row in range(ROWS)]
    names[500 : 500 + len(taught.vectors)] = taught.split.relative_names
    file = tmp_path_factory.mktemp("gallery") / "their.npz"
    np.savez(
        file, allow_pickle=False, embeddings=rows.astype(np.float16), names=np.array(names), metric=np.array("dot")
    )
    return file


@pytest.fixture(scope="module")
def exported(
    taught: Taught, large_gallery: Path, environment: Environment, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Ran, Path]:
    """An export in a process of its own, and the folder of its artifact."""
    place = tmp_path_factory.mktemp("exported") / "dist"
    words = taught.arguments("--gallery", large_gallery, "--out", place, "--output-format=json", "--pattern=channel")
    asked = f"--teacher-threshold={taught.threshold}"
    return shell(environment, "prunnet-export", *words, "--precision=fp32", asked), place


def gate(verification: dict[str, Any], name: str) -> dict[str, Any]:
    [found] = [one for one in verification["gates"] if one["name"] == name]
    return dict(found)


def test_the_report_names_teacher_metric_overlap_and_threshold(
    exported: tuple[Ran, Path], taught: Taught, large_gallery: Path
) -> None:
    ran, _ = exported
    assert ran.code == 0, ran.err
    report = json.loads(ran.out)
    assert report["teacher"]["name"] == "their-model.onnx"
    verification = report["verification"]
    gallery = verification["gallery"]
    assert gallery["sha256"] == hashlib.sha256(large_gallery.read_bytes()).hexdigest()
    assert {name: gallery[name] for name in ("made_by", "file", "count", "dim", "stored", "metric", "unit")} == {
        "made_by": "teacher",
        "file": "their.npz",
        "count": ROWS,
        "dim": DIM,
        "stored": "float16",
        "metric": "dot",
        "unit": False,
    }
    overlap = gate(verification, "neighbour overlap")
    assert overlap["threshold"] == 0.5 <= overlap["interval"][0] <= overlap["value"] <= overlap["interval"][1]
    assert overlap["n"] == verification["n_queries"] == 40
    [threshold] = verification["match_thresholds"]
    assert threshold["teacher"] == taught.threshold
    assert 0.01 < threshold["false_accept_rate"] < 0.5
    assert 40 * 9999 <= threshold["pairs"] <= 40 * 10_000  # a query is no pair with itself
    # The artifact is the teacher itself, with unit vectors: inner products are a third.
    assert threshold["artifact"] == pytest.approx(taught.threshold / 3, rel=1e-3)


def test_the_artifact_holds_rows_of_the_gallery_and_passes_again(
    exported: tuple[Ran, Path], environment: Environment
) -> None:
    ran, place = exported
    reference = load_reference(place / "verification.npz")
    assert reference.rows is not None
    assert 10 <= len(reference.rows) < 40 * 30
    assert reference.entry.count == ROWS
    again = shell(environment, "prunnet-bench", place, "--output-format", "json")
    assert again.code == 0, again.err
    [artifact] = json.loads(again.out)["artifacts"]
    before, after = json.loads(ran.out)["verification"], artifact["verification"]
    assert gate(after, "neighbour overlap") == gate(before, "neighbour overlap")
    for name in ("gallery", "match_thresholds", "n_gallery"):
        assert after[name] == before[name]


def test_the_card_says_whose_gallery_it_is(exported: tuple[Ran, Path]) -> None:
    card = (exported[1] / "README.md").read_text(encoding="utf-8")
    assert "a gallery of its *teacher*, their-model.onnx" in card
    assert "their.npz: 11,000 x 16 float16, searched by dot" in card
    assert "(95%" in card
    assert "accepts matches by a threshold" in card
    manifest = read_manifest(exported[1])
    assert manifest.network.teacher is not None
    assert manifest.network.teacher.kind == "onnx"


def test_without_a_gallery_the_report_says_what_was_searched(
    taught: Taught, environment: Environment, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = taught.arguments("--out", tmp_path / "dist", "--pattern=channel", "--precision=fp32")
    ran = call(capfd, export, environment, *words)
    assert ran.code == 0, ran.err
    assert "the teacher's vectors of training images, as no --gallery is given (80 x 16 float32, cosine)" in ran.out
    assert "their-model.onnx (onnx)" in ran.out
    assert "teacher's self-test" in ran.out  # the images lie in class folders
    assert "false-accept rate" in ran.out
    assert "R@1 against the teacher gallery" in ran.out


def faults(taught: Taught) -> dict[str, tuple[Vectors, str]]:
    permuted = taught.vectors[:, np.random.default_rng(0).permutation(DIM)]
    return {
        "permuted": (permuted, "have other vectors than the teacher gave"),
        "longer": (np.concatenate([taught.vectors, taught.vectors], axis=1), "length 32, the teacher's have 16"),
    }


@pytest.mark.parametrize("fault", ["permuted", "longer"])
def test_another_gallery_is_refused_before_the_search(
    fault: str, taught: Taught, environment: Environment, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    vectors, message = faults(taught)[fault]
    file = tmp_path / "other.npz"
    np.savez(file, allow_pickle=False, embeddings=vectors, names=np.array(taught.split.relative_names))
    words = taught.arguments("--gallery", file, "--out", tmp_path / "dist")
    ran = call(capfd, export, environment, *words)
    assert_error(ran, 2)
    assert message in ran.err
    assert not (tmp_path / "dist").exists()


def test_an_image_that_changed_since_the_training_is_refused(
    taught: Taught, environment: Environment, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    network = write_network(tmp_path / "network")
    sample = load_sample(taught.network / TEACHER_FILE)
    row = int(np.flatnonzero(sample.is_query)[3])
    hashes = [*sample.image_sha256[:row], "0" * 64, *sample.image_sha256[row + 1 :]]
    give_teacher(network, replace(sample, image_sha256=tuple(hashes)))
    words = replace(taught, network=network).arguments("--out", tmp_path / "dist")
    ran = call(capfd, export, environment, *words)
    assert_error(ran, 2)
    assert f"{sample.names[row]} changed since the training" in ran.err


def test_a_metric_without_a_gallery_is_refused(
    taught: Taught, environment: Environment, capfd: pytest.CaptureFixture[str]
) -> None:
    ran = call(capfd, export, environment, *taught.arguments("--metric=dot"))
    assert ran.code == 2
    assert "add --gallery FILE" in ran.err


def test_the_compatibility_table_is_of_the_teachers_gallery(
    taught: Taught, large_gallery: Path, environment: Environment, capfd: pytest.CaptureFixture[str]
) -> None:
    words = ("compat", "--network", taught.network, "--data", taught.images, "--capacities=1,0.3")
    ran = call(capfd, bench, environment, *words, "--output-format=json")
    assert ran.code == 0, ran.err
    report = json.loads(ran.out)
    full, small = report["rows"]
    assert (full["asked"], small["asked"]) == (1, 0.3)
    assert full["overlap"] == pytest.approx(1, abs=0.02)
    assert full["cross_r1"] == pytest.approx(full["teacher_self_r1"], abs=0.03)
    assert small["overlap"] < full["overlap"]
    assert (report["n_queries"], report["n_gallery"], report["gallery"]) == (40, 80, None)
    human = call(capfd, bench, environment, *words, "--gallery", large_gallery)
    assert human.code == 0, human.err
    assert "40 held-out queries in their.npz (11,000 x 16)" in " ".join(human.out.split())
    assert "teacher's R@1" in human.out
    assert call(capfd, bench, environment, *words, "--all-pairs").code == 2


def test_a_network_without_a_teacher_has_no_teachers_gallery(
    tiny_network: Path,
    tiny_data: Path,
    large_gallery: Path,
    environment: Environment,
    capfd: pytest.CaptureFixture[str],
) -> None:
    words = ("compat", "--network", tiny_network, "--data", tiny_data, "--gallery", large_gallery)
    ran = call(capfd, bench, environment, *words)
    assert ran.code == 2
    assert "has no teacher but itself" in ran.err


@pytest.mark.usefixtures("our_galleries")
def test_a_gallery_in_a_database_of_another_package(
    exported: tuple[Ran, Path],
    taught: Taught,
    large_gallery: Path,
    environment: Environment,
    capfd: pytest.CaptureFixture[str],
) -> None:
    place, address = exported[1].with_name("of-database"), f"our-npz://{large_gallery}/products"
    words = taught.arguments("--gallery", address, "--out", place, "--pattern=channel", "--precision=fp32")
    ran = call(capfd, export, environment, *words)
    assert ran.code == 0, ran.err
    shown = " ".join(ran.out.split())
    assert "our-npz:products (11,000 x 16 float16, dot, searched by our database 1.2)" in shown
    manifest = read_manifest(place)
    entry = manifest.verification.gallery
    assert (entry.file, entry.engine, entry.sha256) == ("our-npz:products", "our database 1.2", None)
    assert "with our database 1.2" in (place / "README.md").read_text("utf-8")
    reference = load_reference(place / "verification.npz")
    assert reference.rows is not None
    overlap = manifest.verification.gate("neighbour overlap")
    assert overlap is not None
    of_file = gate(json.loads(exported[0].out)["verification"], "neighbour overlap")
    assert (overlap.value, list(overlap.interval or ())) == (of_file["value"], of_file["interval"])


DATABASE_FAULTS = {
    "our-search://{}/products": "gallery database 'our-search' failed, search(): 30 s have passed",
    "our-exits://{}/products": "SystemExit the licence has expired",
    "our-npz://{}/products?token=s3cret": "unknown option 'token'",
    "pinecone://{}/products": "unknown gallery database 'pinecone'",
    "milvus://user:s3cret@{}/products": "holds a user or a password",
    "our-npz://products": "is no address of a gallery",
}


@pytest.mark.usefixtures("our_galleries")
@pytest.mark.parametrize("address", DATABASE_FAULTS)
def test_a_database_that_does_not_work_is_one_error(
    address: str, taught: Taught, large_gallery: Path, environment: Environment, capfd: pytest.CaptureFixture[str]
) -> None:
    words = taught.arguments("--gallery", address.format(large_gallery), "--dry-run")
    if "search" in address:  # the search comes after the dry run
        words = taught.arguments("--gallery", address.format(large_gallery), "--pattern=channel", "--precision=fp32")
    ran = call(capfd, export, environment, *words)
    assert_error(ran, 2)
    assert DATABASE_FAULTS[address] in ran.err
    assert "s3cret" not in ran.err
