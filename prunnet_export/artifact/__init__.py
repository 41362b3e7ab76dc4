"""Artifacts: the folder that is deployed, with the manifest that says what was measured and verified."""

from prunnet_export.artifact._card import render_card
from prunnet_export.artifact._files import hash_files, read_manifest, verify_files
from prunnet_export.artifact._loaded import LoadedArtifact, load
from prunnet_export.artifact._manifest import (
    AlternativeEntry,
    FileEntry,
    FrontierEntry,
    Gate,
    Manifest,
    MemoryEntry,
    NetworkEntry,
    RuntimeEntry,
    SubnetworkEntry,
    VerificationEntry,
    decode_manifest,
    encode_manifest,
    manifest_schema,
)
from prunnet_export.artifact._writer import ArtifactWriter

__all__ = [
    "AlternativeEntry",
    "ArtifactWriter",
    "FileEntry",
    "FrontierEntry",
    "Gate",
    "LoadedArtifact",
    "Manifest",
    "MemoryEntry",
    "NetworkEntry",
    "RuntimeEntry",
    "SubnetworkEntry",
    "VerificationEntry",
    "decode_manifest",
    "encode_manifest",
    "hash_files",
    "load",
    "manifest_schema",
    "read_manifest",
    "render_card",
    "verify_files",
]
