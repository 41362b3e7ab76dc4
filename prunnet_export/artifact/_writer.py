"""Writing an artifact so that a reader never sees a half-written one."""

from __future__ import annotations

import errno
import stat
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import final

import msgspec

from prunnet_export._errors import InvalidInput, StorageError
from prunnet_export._files import read_bytes, remove_folder, storage_errors
from prunnet_export._guarantees import MODES, sync_path, tolerated
from prunnet_export._limits import SETTINGS_BYTES
from prunnet_export._lock import FolderLock
from prunnet_export.artifact._card import render_card
from prunnet_export.artifact._exchange import exchange
from prunnet_export.artifact._files import ATTRIBUTES, CARD, KEEP_LINE_ENDS, hash_files, read_manifest
from prunnet_export.artifact._manifest import MANIFEST, Manifest
from prunnet_export.artifact._manifest_file import encode_manifest
from prunnet_export.artifact._names import REJECTED, temporary_folders, temporary_name

_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO})


@final
class ArtifactWriter:
    """A temporary folder next to the destination. At the end it is renamed to the destination.

    ::

        with ArtifactWriter(Path("dist/jetson")) as writer:
            entry, *_ = runtime.compile(onnx_file, writer.folder, precision="fp32")
            ...
            folder = writer.finish(manifest)

    Without :meth:`finish`, and after any error, the destination does not change. A rejected artifact is written to
    ``NAME.rejected``, and the folder NAME does not change.

    Args:
        destination: The artifact's folder; its parents are made, and an older artifact there is replaced.

    Raises:
        StorageError: raised on entering: another process writes there, the folder holds something that is not an
            artifact, or the disk is full or read-only.

    Attributes:
        folder: The temporary folder, inside the ``with`` block.
    """

    def __init__(self, destination: Path) -> None:
        self.destination = Path(destination).resolve()
        if not self.destination.name:
            raise StorageError(f"{destination} cannot be an artifact's folder", hint="choose another folder")
        self.folder = temporary_name(self.destination, "partial")
        self._lock = FolderLock(self.destination)

    def __enter__(self) -> ArtifactWriter:
        try:
            self._lock.acquire()
            with storage_errors(self.destination):
                self._clean_up()
                _check_replaceable(self.destination)
                self.folder.mkdir()
        except BaseException:  # Ctrl-C may come when the folder is already there
            remove_folder(self.folder)
            self._lock.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            remove_folder(self.folder)
        finally:
            with suppress(OSError):
                self._lock.close()
        if isinstance(error, OSError) and self._concerns_artifact(error):
            with storage_errors(self.destination):
                raise error

    def finish(self, manifest: Manifest) -> Path:
        """Write the model card and the manifest, sync all files to disk, and move the artifact to its place.

        Args:
            manifest: The manifest; its field ``files`` is set here.

        Returns:
            The artifact's folder.

        Raises:
            InvalidInput: the manifest could not be read back, or its entry is missing.
            StorageError: the disk is full or read-only, or the place holds something that is not an artifact.
        """
        rejected = manifest.status == "rejected"
        place = self.destination.with_name(self.destination.name + REJECTED) if rejected else self.destination
        with storage_errors(place):
            (self.folder / CARD).write_bytes(render_card(manifest).encode())
            (self.folder / ATTRIBUTES).write_bytes(KEEP_LINE_ENDS)
            manifest = msgspec.structs.replace(manifest, files=hash_files(self.folder))
            (self.folder / MANIFEST).write_bytes(encode_manifest(manifest))
            files = [*self.folder.rglob("*"), self.folder]
            _even_out_modes(files, self.folder)
            for file in files:
                sync_path(file)
            _check_replaceable(place)
            self._move_into(place)
            sync_path(place.parent)
        return place

    def _move_into(self, place: Path) -> None:
        if place.exists() and exchange(self.folder, place):
            return  # the older artifact has the temporary folder's name now, and is removed with it
        old = temporary_name(place, "old")
        try:
            if place.exists():
                place.rename(old)
            self.folder.rename(place)
        except BaseException:  # a signal may interrupt between the two renames
            if old.exists() and not place.exists():
                old.rename(place)
            raise
        finally:
            remove_folder(old)

    def _clean_up(self) -> None:
        """Remove the temporary folders of killed exports; restore an artifact that was moved but not replaced."""
        for place in (self.destination, self.destination.with_name(self.destination.name + REJECTED)):
            for old in temporary_folders(place, "old"):
                if place.exists():
                    remove_folder(old)
                else:
                    old.rename(place)
            for partial in temporary_folders(place, "partial"):
                remove_folder(partial)

    def _concerns_artifact(self, error: OSError) -> bool:
        named = str(error.filename or "")
        return error.errno in _DISK_ERRORS or named.startswith((str(self.folder), str(self.destination)))


def _check_replaceable(place: Path) -> None:
    """Check that ``place`` is free, an empty folder, or an artifact without other files.

    Raises:
        StorageError: an export must not delete what is there.
    """
    if not place.exists():
        return
    if not place.is_dir():
        raise StorageError(f"{place} is a file", hint="choose another --out")
    present = {file.relative_to(place).as_posix() for file in place.rglob("*") if not file.is_dir()}
    if not present:
        return
    hint = "choose another --out, or move that folder away"
    try:
        manifest = read_manifest(place)
    except InvalidInput as error:
        raise StorageError(f"{place} is not an artifact and is not replaced ({error.message})", hint=hint) from None
    foreign = sorted(present - {MANIFEST, *manifest.files, *_unchanged_attributes(place)})
    if foreign:
        raise StorageError(f"{place} holds {foreign[0]}, which is no part of the artifact", hint=hint)


def _unchanged_attributes(place: Path) -> set[str]:
    """The name of the file for git, if it is as it was written. One that somebody has changed is theirs."""
    with suppress(InvalidInput):
        if read_bytes(place / ATTRIBUTES, at_most=SETTINGS_BYTES) == KEEP_LINE_ENDS:
            return {ATTRIBUTES}
    return set()


def _even_out_modes(files: list[Path], folder: Path) -> None:
    """Give every file the permissions of the manifest, and every folder those of the artifact's folder.

    These are new, so they are as the umask wants it. Libraries write files that only this user may read.
    """
    modes = {True: stat.S_IMODE(folder.stat().st_mode), False: stat.S_IMODE((folder / MANIFEST).stat().st_mode)}
    for file in files:
        wanted = modes[file.is_dir()]
        if not file.is_symlink() and stat.S_IMODE(file.stat().st_mode) != wanted:
            with tolerated(MODES, folder.parent):
                file.chmod(wanted)
