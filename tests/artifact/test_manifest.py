from __future__ import annotations

import inspect
import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

import prunnet_export.artifact as room
from prunnet_export._errors import InvalidInput
from prunnet_export.artifact import (
    GalleryEntry,
    Gate,
    GoldenEntry,
    Manifest,
    MatchThreshold,
    read_manifest,
    verify_files,
)
from prunnet_export.artifact._files import hash_files
from prunnet_export.artifact._manifest_file import decode_manifest, encode_manifest, manifest_schema, schema_document
from prunnet_export.budget import Budget
from prunnet_export.measuring import PartLatency
from prunnet_export.network_config import TeacherEntry

replace = msgspec.structs.replace
PART = PartLatency(name="decode", p50_ms=1, percentile_ms=1, mean_ms=1, n=90)


def edited(manifest: Manifest, *path: str | int, value: Any) -> bytes:
    """The manifest's document with one value replaced."""
    document = json.loads(encode_manifest(manifest))
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return json.dumps(document).encode()


def test_survives_writing_and_reading(manifest: Manifest) -> None:
    document = encode_manifest(manifest)
    assert decode_manifest(document, name="m") == manifest
    assert document.endswith(b"}\n")


def test_least_manifest_survives_too(manifest: Manifest) -> None:
    least = replace(
        manifest,
        files={},
        dense_latency=None,
        memory=None,
        frontier=[],
        device=None,
        tools={},
        budget=Budget(size_mb=1),
    )
    assert decode_manifest(encode_manifest(least), name="m") == least


def test_a_teacher_an_interval_and_thresholds_survive_too(manifest: Manifest) -> None:
    teacher = TeacherEntry(name="their.onnx", kind="onnx", sha256="b" * 64, sample_sha256="c" * 64)
    gallery = GalleryEntry(
        made_by="teacher", file="g.npy", sha256="d" * 64, count=9, dim=4, stored="int8", metric="l2", query_scale=2.5
    )
    overlap = Gate(name="neighbour overlap", value=0.7, passed=True, n=64, interval=(0.6, 0.8))
    verification = replace(
        manifest.verification,
        gallery=gallery,
        gates=[overlap],
        match_thresholds=[MatchThreshold(false_accept_rate=0.01, pairs=1000, teacher=-1.5, artifact=-2.5)],
    )
    taught = replace(manifest, network=replace(manifest.network, teacher=teacher), verification=verification)
    document = encode_manifest(taught)
    assert decode_manifest(document, name="m") == taught
    jsonschema.validate(json.loads(document), manifest_schema())


def test_descriptions_of_the_schema_are_not_indented() -> None:
    def descriptions(value: object) -> list[str]:
        if isinstance(value, dict):
            own = [value["description"]] if isinstance(value.get("description"), str) else []
            return own + [found for one in value.values() for found in descriptions(one)]
        return [found for one in value for found in descriptions(one)] if isinstance(value, list) else []

    found = descriptions(json.loads(schema_document()))
    assert found
    assert found == [inspect.cleandoc(one) for one in found]


def test_committed_schema_is_current() -> None:
    def in_order(value: Any) -> Any:
        """The same schema with its alternatives in one order. Older versions of msgspec have another one."""
        if isinstance(value, dict):
            return {
                key: sorted(map(in_order, one), key=str) if key == "anyOf" else in_order(one)
                for key, one in value.items()
            }
        return list(map(in_order, value)) if isinstance(value, list) else value

    committed = Path(room.__file__).with_name("manifest.schema.json").read_text(encoding="utf-8")
    expected = in_order(json.loads(schema_document()))
    assert in_order(json.loads(committed)) == expected, "run: python -m prunnet_export.artifact > <that file>"


def test_schema_is_a_schema_and_takes_an_example(manifest: Manifest) -> None:
    schema = manifest_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(encode_manifest(manifest)), schema)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("surprise",), 1),
        (("status",), "dry-run"),
        (("created",), "yesterday"),
        (("entry",), "../model.onnx"),
        (("entry",), "/etc/passwd"),
        (("latency", "source"), "guessed"),
        (("latency", "p50_ms"), None),
        (("latency", "p50_ms"), "NaN"),
        (("latency", "extra"), 1),
        (("subnetwork", "capacity"), 1.5),
        (("verification", "cross_r1"), 91.0),
        (("verification", "gates", 0, "comparison"), ">"),
        (("network", "sha256"), "A" * 64),
        (("device", "id"), "0"),
        (("frontier", 0, "inside"), "yes"),
    ],
)
def test_a_wrong_field_is_refused_by_reader_and_schema_and_named(
    path: tuple[str | int, ...], value: object, manifest: Manifest
) -> None:
    document = edited(manifest, *path, value=value)
    with pytest.raises(InvalidInput) as caught:
        decode_manifest(document, name="where.json")
    assert caught.value.message.startswith("where.json")
    assert str([key for key in path if isinstance(key, str)][-1]) in caught.value.message
    assert "\n" not in caught.value.message
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(json.loads(document), manifest_schema())


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "a/../x",
        "/x",
        "a//b",
        ".hidden",
        "a/.hidden",
        "..",
        "a\\b",
        "C:x",
        "",
        "a/",
        "x" * 201,
        "a\nb",
        "a\n",
    ],
)
def test_file_names_that_leave_the_folder_are_refused(name: str, manifest: Manifest) -> None:
    entry = {"sha256": "0" * 64, "bytes": 1}
    document = edited(manifest, "files", value={"model.onnx": entry, name: entry})
    with pytest.raises(InvalidInput, match="files"):
        decode_manifest(document, name="m")


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"manifest"',
        b"\xff\xfe\x00",
        b"\x80\x04\x95",
        b'{"format": "prunnet-artifact"}',
        b'{"format": "prunnet-artifact", "version": "1"}',
        b'{"format": "prunnet-artifact", "version": 3}',
        b'{"format": "prunnet-artifact", "version": NaN}',
        b"[" * 100_000,
        b'{"format": "prunnet-artifact", "version": 3, "status": ' + b"[" * 100_000,
    ],
)
def test_corrupt_documents_are_refused_in_one_line(document: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        decode_manifest(document, name="m")
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 200
    assert caught.value.hint


def test_a_newer_version_says_to_upgrade(manifest: Manifest) -> None:
    with pytest.raises(InvalidInput, match="version 4") as caught:
        decode_manifest(edited(manifest, "version", value=4), name="m")
    assert "--upgrade" in caught.value.hint


def test_another_format_is_no_artifact() -> None:
    with pytest.raises(InvalidInput, match="format"):
        decode_manifest(b'{"format": "web-app", "version": 4}', name="m")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_are_not_read(number: str, manifest: Manifest) -> None:
    document = encode_manifest(manifest).replace(b'"size_mb": 1.25', f'"size_mb": {number}'.encode())
    assert number.encode() in document
    with pytest.raises(InvalidInput, match="not a manifest"):
        decode_manifest(document, name="m")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_that_are_none_are_not_written(value: float, manifest: Manifest) -> None:
    verification = replace(manifest.verification, cross_r1=value)
    with pytest.raises(InvalidInput, match=r"verification\.cross_r1"):
        encode_manifest(replace(manifest, verification=verification))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"entry": "other.onnx"}, "other.onnx"),
        ({"status": "rejected"}, "0 reasons"),
        ({"reasons": ["slow"]}, "1 reasons"),
        ({"size_mb": -1.0}, "size_mb"),
        ({"golden": GoldenEntry()}, "golden/input.png"),
        ({"latency": {"n": 0}}, "a measured latency of 0 samples"),
        ({"latency": {"source": "predicted"}}, "a predicted latency of"),
        ({"latency": {"batch": 8}}, "a latency of batch 8, scope compute and a budget of batch 1, scope compute"),
        ({"latency": {"parts": [PART]}}, "scope compute with the times of 1 parts"),
    ],
)
def test_nonsense_is_not_written(change: dict[str, Any], message: str, manifest: Manifest) -> None:
    if "latency" in change:
        change = {"latency": replace(manifest.latency, **change["latency"])}
    with pytest.raises(InvalidInput, match=message):
        encode_manifest(replace(manifest, **change))


def test_impossible_preprocessing_is_refused(manifest: Manifest) -> None:
    with pytest.raises(InvalidInput, match="crops"):
        decode_manifest(edited(manifest, "preprocessing", "crop", value=1000), name="m")


def test_a_folder_without_manifest_says_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"no manifest\.json"):
        read_manifest(tmp_path)
    with pytest.raises(InvalidInput, match="no such folder"):
        read_manifest(tmp_path / "none")
    (tmp_path / "manifest.json").mkdir()
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_manifest(tmp_path)


def test_a_huge_manifest_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "manifest.json").open("wb") as file:
        file.truncate(17 * 2**20)
    with pytest.raises(InvalidInput, match="larger"):
        read_manifest(tmp_path)


def test_hashes_find_every_change(manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "model.onnx").write_bytes(b"model")
    (tmp_path / "sub" / "part.bin").write_bytes(b"part")
    (tmp_path / "manifest.json").write_bytes(b"{}")
    hashed = replace(manifest, files=hash_files(tmp_path))
    assert list(hashed.files) == ["model.onnx", "sub/part.bin"]
    verify_files(tmp_path, hashed)
    (tmp_path / "model.onnx").write_bytes(b"modem")
    with pytest.raises(InvalidInput, match="SHA-256"):
        verify_files(tmp_path, hashed)
    (tmp_path / "model.onnx").write_bytes(b"mode")
    with pytest.raises(InvalidInput, match="4 bytes"):
        verify_files(tmp_path, hashed)
    (tmp_path / "model.onnx").unlink()
    with pytest.raises(InvalidInput, match="missing"):
        verify_files(tmp_path, hashed)


def test_a_link_out_of_the_folder_is_not_followed(manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    folder = tmp_path / "artifact"
    folder.mkdir()
    (folder / "model.onnx").symlink_to("../secret")
    with pytest.raises(InvalidInput, match="leads out"):
        verify_files(folder, replace(manifest, files=hash_files(folder)))


def test_links_in_a_circle_are_a_missing_file(manifest: Manifest, tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_bytes(b"model")
    named = replace(manifest, files=hash_files(tmp_path))
    file.unlink()
    file.symlink_to("model.onnx")
    with pytest.raises(InvalidInput, match=r"model\.onnx: missing"):
        verify_files(tmp_path, named)


def test_a_link_within_the_folder_is_fine(manifest: Manifest, tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"model")
    (tmp_path / "model.onnx").symlink_to("blob")
    verify_files(tmp_path, replace(manifest, files=hash_files(tmp_path)))
