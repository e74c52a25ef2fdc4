"""The ZIP archive that a 3MF file is, from somebody nobody trusts.

Parts are only ever streamed to the reader of XML, within a budget for all of them, and by the names the file itself gives. Nothing is
unpacked to a disk, so a name that climbs out of a folder leads nowhere; what nobody asks for costs nothing, however large it says it is.
"""

import errno
import io
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from agent.meshes.limits import MB, Limits
from agent.meshes.reading import UnreadableModel

_CHUNK = MB
_DIRECTORY_MOST = MB
"""Of the table of contents, which is read at once and costs twenty times its size: some ten thousand entries."""
_RATIO_MOST = 100
_RATIO_FROM = 16 * MB
"""Coordinates shrink to a fifth or a tenth, never to a hundredth."""
_ENCRYPTED = 1


class _Guarded(io.FileIO):
    """zipfile reads the table of contents in one go, as large as the file says it is."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _DIRECTORY_MOST:
            raise UnreadableModel("BAD_3MF", "The table of contents of the archive is larger than that of any model.")
        return super().read(size)


class Package:
    """The parts of an archive by their names, which stand for themselves whatever their case is and whether they begin with a slash."""

    def __init__(self, archive: zipfile.ZipFile, limits: Limits) -> None:
        self._archive = archive
        self._left = limits.max_xml_bytes
        self._limits = limits
        self._entries: dict[str, zipfile.ZipInfo] = {}
        for entry in archive.infolist():
            if self._entries.setdefault(part_name(entry.filename), entry) is not entry:
                raise UnreadableModel("BAD_3MF", "The archive holds two parts of the same name.")

    @classmethod
    @contextmanager
    def opened(cls, path: Path, limits: Limits) -> Iterator[Self]:
        """Raises UnreadableModel, also while its parts are read; OSError where the disk fails."""
        with _Guarded(path) as file, _refusals():
            if not zipfile.is_zipfile(file):
                raise UnreadableModel("TRUNCATED", "The file was cut off: it is a ZIP archive without its end.")
            with zipfile.ZipFile(file) as archive:
                yield cls(archive, limits)

    @property
    def names(self) -> list[str]:
        return list(self._entries)

    def __contains__(self, name: str) -> bool:
        return part_name(name) in self._entries

    def chunks(self, name: str) -> Iterator[bytes]:
        """The content of a part that is there; its checksum was right when the last of it has come."""
        entry = self._entries[part_name(name)]
        self._look_at(entry)
        with self._archive.open(entry) as part:
            while chunk := part.read(_CHUNK):
                self._left -= len(chunk)
                if self._left < 0:
                    raise self._too_large()
                yield chunk

    def _look_at(self, entry: zipfile.ZipInfo) -> None:
        if entry.flag_bits & _ENCRYPTED:
            raise UnreadableModel("BAD_3MF", "The file is protected by a password.")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UnreadableModel("BAD_3MF", "The file is packed in a way 3MF does not know.")
        if entry.file_size > max(_RATIO_FROM, _RATIO_MOST * entry.compress_size):
            raise UnreadableModel("TOO_LARGE", "Unpacked, the file would be more than a hundred times larger; no model is.")
        if entry.file_size > self._left:
            raise self._too_large()

    def _too_large(self) -> UnreadableModel:
        return UnreadableModel("TOO_LARGE", f"The model is larger than {self._limits.max_xml_bytes // MB} MB when it is unpacked.")


def part_name(name: str) -> str:
    return name.replace("\\", "/").lstrip("/").casefold()


@contextmanager
def _refusals() -> Iterator[None]:
    """The one place where the errors of zipfile become a refusal."""
    damaged = UnreadableModel("BAD_3MF", "The archive is damaged.")
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, UnicodeDecodeError) as error:
        raise damaged from error
    except OSError as error:
        if error.errno == errno.EINVAL:  # a place before the beginning of the file
            raise damaged from error
        raise
