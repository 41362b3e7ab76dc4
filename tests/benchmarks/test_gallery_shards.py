"""Embedding a gallery by several processes: they are killed, go on, and their files are one gallery."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from prunnet_export._errors import InvalidInput
from prunnet_export.benchmarks.cli import command as bench
from prunnet_export.evaluating import save_gallery
from prunnet_export.evaluating._given_gallery import open_gallery
from prunnet_export.network import load_checkpoint
from prunnet_export.vectors import open_vectors, sha256_of
from tests._cli import Ran, assert_error, call, command_file
from tests._inputs import write_folder

Environment = dict[str, str]
IMAGES, PART = 400, 20
PARTS = IMAGES // PART


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images whose gallery takes a while to embed."""
    folder = write_folder(tmp_path_factory.mktemp("many") / "shop", side=32)
    there = list((folder / "gallery").rglob("*.png"))
    draw = np.random.default_rng(0)
    for number in range(IMAGES - len(there)):
        pixels = draw.integers(0, 256, (4, 4, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
        Image.fromarray(pixels).save(there[number % 2].with_name(f"more-{number}.png"))
    return folder


def words(network: Path, data: Path, out: Path, size: int = PART) -> list[str]:
    return ["gallery", "--network", str(network), "--data", str(data), "--out", str(out), f"--shard-images={size}"]


def start(environment: Environment, arguments: list[str], *torchrun: str) -> subprocess.Popen[str]:
    command = [command_file("prunnet-bench"), *arguments, "--output-format=json"]
    if torchrun:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--no-python", *torchrun, *command]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def test_two_processes_are_killed_and_go_on(
    many: Path, tiny_network: Path, environment: Environment, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "gallery"
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    processes = [start({**environment, **place, "RANK": rank}, words(tiny_network, many, out)) for rank in "01"]
    deadline = time.monotonic() + 100
    while len(before := sorted(out.glob("part-*.npz"))) < 3:
        assert all(process.poll() is None for process in processes)
        assert time.monotonic() < deadline
        time.sleep(0.005)
    for process in processes:
        process.kill()
        process.communicate()
    made = {file: file.stat().st_ino for file in before}
    with pytest.raises(InvalidInput, match="parts are missing"):
        open_vectors(out)
    again = start(environment, words(tiny_network, many, out), "--nproc-per-node=2")
    printed, said = again.communicate(timeout=200)
    assert again.returncode == 0, said
    report = json.loads(printed)
    assert (report["images"], report["files"]) == (IMAGES, PARTS)
    assert {file: file.stat().st_ino for file in before} == made  # what was there was not made again
    assert {file.name for file in out.iterdir()} == {f"part-{n:05d}-of-{PARTS:05d}.npz" for n in range(PARTS)}
    alone = tmp_path / "alone.npz"
    assert call(capfd, bench, environment, *words(tiny_network, many, alone)).code == 0
    whole, parts = open_vectors(alone), open_vectors(out)
    assert (parts.count, parts.dim, parts.network) == (whole.count, whole.dim, whole.network)
    np.testing.assert_array_equal(parts.labels, whole.labels)
    np.testing.assert_allclose(parts.rows(0, IMAGES), whole.rows(0, IMAGES), atol=1e-5)
    picked = np.array([IMAGES - 1, 0, PART, PART - 1, 0])
    np.testing.assert_array_equal(parts.take(picked), parts.rows(0, IMAGES)[picked])
    np.testing.assert_array_equal(np.concatenate([rows for _, rows in parts.chunks(7)]), parts.rows(0, IMAGES))
    assert parts.names is not None
    assert parts.names[0].startswith("gallery/")
    assert len(sha256_of(out)) == 64


def complete(capfd: pytest.CaptureFixture[str], environment: Environment, network: Path, data: Path, out: Path) -> int:
    """How many files are written by the same command again."""
    ran = call(capfd, bench, environment, *words(network, data, out, 2), "--output-format=json")
    assert ran.code == 0, ran.err
    return int(json.loads(ran.out)["files that this process wrote"])


def test_only_what_is_missing_or_changed_is_embedded_again(
    tiny_network: Path, environment: Environment, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data, out = write_folder(tmp_path / "shop", side=32), tmp_path / "gallery"
    assert complete(capfd, environment, tiny_network, data, out) == 2
    assert complete(capfd, environment, tiny_network, data, out) == 0
    first, last = sorted(out.glob("*.npz"))
    last.write_bytes(last.read_bytes()[:-30])
    assert complete(capfd, environment, tiny_network, data, out) == 1
    images = sorted((data / "gallery").rglob("*.png"))
    images[0].write_bytes(images[-1].read_bytes())
    before = first.read_bytes()
    assert complete(capfd, environment, tiny_network, data, out) == 1
    assert first.read_bytes() != before


def test_a_folder_of_another_gallery_is_refused(
    tiny_network: Path, tiny_data: Path, environment: Environment, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "gallery"
    assert call(capfd, bench, environment, *words(tiny_network, tiny_data, out, 2)).code == 0
    ran = call(capfd, bench, environment, *words(tiny_network, tiny_data, out, 1))
    assert_error(ran, 2)
    assert "of another gallery" in ran.err


def test_several_processes_do_not_write_one_file(
    tiny_network: Path, tiny_data: Path, environment: Environment, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    together = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    ran: Ran = call(capfd, bench, {**environment, **together}, *words(tiny_network, tiny_data, tmp_path / "g.npz"))
    assert_error(ran, 2)
    assert "give a folder" in ran.err


def test_the_export_takes_the_folder_as_one_gallery(tiny_network: Path, tmp_path: Path) -> None:
    config = load_checkpoint(tiny_network).config
    rows = np.eye(4, config.embedding_dim, dtype=np.float32)
    for number in range(2):
        part = slice(2 * number, 2 * number + 2)
        file = tmp_path / f"part-{number:05d}-of-00002.npz"
        save_gallery(file, rows[part], labels=np.arange(4)[part], network=config.weights_sha256)
    opened = open_gallery(tmp_path, config, None)
    assert (opened.entry.count, opened.entry.file) == (4, tmp_path.name)
    assert opened.entry.sha256 == sha256_of(tmp_path)
