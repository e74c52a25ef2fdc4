"""What the printer looks at in a .gcode.3mf before it prints it."""

import hashlib
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

BAD_PATH = 0x0500_4002
CANNOT_PARSE = 0x0500_4003
CARD_READ = 0x0500_C010
_PREDICTION = re.compile(rb'key="prediction"\s+value="(\d+)"')
_LAYERS = re.compile(rb"; total layer number:\s*(\d+)")
_DWELL = re.compile(rb"^G4 P(\d+)", re.MULTILINE)
_HEAD_BYTES = 65536
# ftp:///f, ftp://f, ftp://cache/f, file:///sdcard/f, file:///sdcard/cache/f and so on: firmwares differ, this printer takes all of them.
_URL = re.compile(r"(?:file:///sdcard|file:///mnt/sdcard|ftp://)/?(?P<path>.+)")


class Unfit(Exception):
    """The printer does not print it. `error`: its print_error."""

    def __init__(self, error: int, reason: str) -> None:
        super().__init__(reason)
        self.error, self.reason = error, reason


@dataclass(frozen=True)
class Project:
    """`duration_s`: as the slicer predicted, or else what the G-code itself says it waits; None: neither."""

    layers: int | None
    duration_s: float | None


def locate(card: Path, url: str) -> Path:
    """The file of a project_file command. Unfit: another form of URL, outside the card, or not there."""
    match = _URL.fullmatch(url)
    if match is None:
        raise Unfit(BAD_PATH, "bad url")
    try:
        path = (card / unquote(match["path"])).resolve()
        found = path.is_relative_to(card.resolve()) and path.is_file()
    except (OSError, ValueError) as error:  # no name that a file can have
        raise Unfit(BAD_PATH, "bad url") from error
    if not found:
        raise Unfit(BAD_PATH, "file not found")
    return path


def examine(path: Path, plate: str, md5: str) -> Project:
    """The whole archive is read, as a cut-off upload shows nowhere else. `plate`: the member to print; `md5`: of that member or of the
    whole file (the sources do not say which), empty to skip."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:
                raise Unfit(CARD_READ, "file is damaged")
            gcode = archive.read(plate)
            config = archive.read("Metadata/slice_info.config") if "Metadata/slice_info.config" in archive.namelist() else b""
            sums = archive.read(f"{plate}.md5") if f"{plate}.md5" in archive.namelist() else b""
    except (zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise Unfit(CARD_READ, "file is damaged") from error
    except KeyError as error:
        raise Unfit(CANNOT_PARSE, "plate not found") from error
    except (RuntimeError, NotImplementedError) as error:
        raise Unfit(CANNOT_PARSE, "encrypted, or packed in an unknown way") from error
    _check_sums(path, gcode, md5.lower(), sums.decode("latin-1").strip().lower())
    layers = _LAYERS.search(gcode[:_HEAD_BYTES])
    return Project(layers=int(layers[1]) if layers else None, duration_s=_duration(config, gcode))


def _check_sums(path: Path, gcode: bytes, told: str, written: str) -> None:
    found = hashlib.md5(gcode, usedforsecurity=False).hexdigest()
    if written and written != found:
        raise Unfit(CANNOT_PARSE, "the plate's md5 does not match")
    if told and told != found:
        with path.open("rb") as file:
            whole = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if told != whole:
            raise Unfit(CANNOT_PARSE, "md5 does not match")


def _duration(config: bytes, gcode: bytes) -> float | None:
    prediction = _PREDICTION.search(config)
    if prediction and int(prediction[1]):
        return float(prediction[1])
    return sum(int(ms) for ms in _DWELL.findall(gcode)) / 1000 or None
