"""What the readers of all formats share: what they hand on, and how they refuse. In the child process."""

import re
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from agent.meshes.findings import Finding

FAR_MM = 1e5
"""Farther out float32 moves in steps of 0.01 mm and more: the shape is lost."""

ZIP = b"PK\x03\x04"
_MAGIC = (
    (ZIP, "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
    (b"ISO-10303-21", "a STEP file"),
    (b"glTF", "a glTF file"),
    (b"ply\n", "a PLY file"),
    (b"ply\r", "a PLY file"),
    (b"%PDF", "a PDF document"),
    (b"\x89PNG", "a picture (PNG)"),
    (b"\xff\xd8\xff", "a picture (JPEG)"),
    (b"\xff\xfe", "text in UTF-16"),
    (b"\xfe\xff", "text in UTF-16"),
)
_MARKUP = re.compile(rb"\s*<(!doctype|html|\?xml|svg|!--)", re.IGNORECASE)


class Model(NamedTuple):
    """What was read.

    `corners`: (n, 3, 3), mm, at least one triangle, every coordinate finite and within `FAR_MM`. `findings`: what was seen beside them.
    """

    corners: npt.NDArray[np.float32]
    findings: list[Finding]


class UnreadableModel(Exception):
    """The file is no model that can be used. `code` is for programs, the message for the customer."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def kind_of(head: bytes) -> str | None:
    """What a file that begins like this is, with its article; None where its first bytes do not tell."""
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    return "a web page or an XML file (the download may have failed)" if _MARKUP.match(head) else None


def numbers_in(words: bytes, of: type[float] | type[int]) -> npt.NDArray[Any] | None:
    """Words with blanks between them as float64, or int64; None where one of them is no such number. "nan" and "inf" are numbers here."""
    try:
        # Blanks alone would be read as one number.
        return np.fromstring(words.strip(), np.float64 if of is float else np.int64, sep=" ")
    except ValueError:
        return None


def position_problem(corners: npt.NDArray[np.floating]) -> tuple[str, str] | None:
    """Code and sentence where a coordinate is no number or too far out. The extremes tell, and cost no memory: NaN and infinity run
    through them."""
    low, high = float(corners.min()), float(corners.max())
    if not np.isfinite([low, high]).all():
        return "NONFINITE", "A corner of the model has no position (not a number, or infinite)."
    if max(-low, high) > FAR_MM:
        return "RANGE", "A corner of the model lies more than 100 m from the origin; so far out its shape cannot be told."
    return None
