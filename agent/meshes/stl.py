"""The strict reader of STL files nobody trusts, and the writer of the only kind of STL a slicer is given.

Runs in the child process. Nothing is taken silently: what does not keep the format is an `UnreadableStl` with a code and a sentence.
Binary: 80 bytes header, a count (uint32), then 50 bytes a facet: normal, three corners (float32 each), an attribute. Normals and
attributes are ignored: exporters write anything there. ASCII: any case, any line end, byte order mark, several solids in a file.
"""

import re
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

from agent.meshes.limits import MB, Limits, count_problem, size_problem
from agent.meshes.reading import FAR_MM, UnreadableModel, kind_of, position_problem

Corners = npt.NDArray[np.float32]
"""Triangles as (n, 3, 3): facet, corner, x/y/z in mm."""

_ABSURDLY_SMALL = 1e-12
_HEAD = 4096
_AT_ONCE = 1 << 14
"""Facets. A block stays in the processor's cache; a large file's records would take more memory than its corners."""
_FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_ASCII_WORD = re.compile(rb"\bfacet\b|(?:^|[\r\n])\s*endsolid\b", re.IGNORECASE)
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")


class UnreadableStl(UnreadableModel):
    """The file is no STL that can be used."""


def read_stl(path: Path, limits: Limits) -> Corners:
    """The triangles of the file, at least one, every coordinate finite and within `FAR_MM`. Raises UnreadableStl, OSError, MemoryError."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
        size = file.seek(0, 2)
    problem = size_problem(size, limits)
    if problem is not None:
        raise UnreadableStl(*problem)
    facets = _announced(head, size)
    if facets is None:
        return _read_ascii(path, size, limits)
    if facets > limits.max_facets:
        raise _too_many(facets, limits)
    return _read_binary(path, facets, size)


def _too_many(facets: int, limits: Limits) -> UnreadableStl:
    return UnreadableStl(*count_problem(facets, limits))


# --- what is it --------------------------------------------------------------------------------------------------
def _announced(head: bytes, size: int) -> int | None:
    """The count of facets of a binary STL, None for ASCII; anything else is refused by what it is."""
    facets = struct.unpack_from("<I", head, 80)[0] if len(head) >= 84 else None
    if facets and 84 + 50 * facets == size:
        return int(facets)
    _refuse_other_formats(head)
    if _is_ascii(head):
        return None
    if facets is None:
        raise UnreadableStl("NOT_STL", f"This is not an STL file: {size} bytes are too few for one.")
    return _binary_of_odd_length(head, size, facets)


def _refuse_other_formats(head: bytes) -> None:
    kind = kind_of(head)
    if kind is not None:
        raise UnreadableStl("NOT_STL", f"This is {kind}, not an STL file.")
    if not head.strip(b"\0"):
        raise UnreadableStl("NOT_STL", "The file begins with nothing but zeros; the upload or the export failed.")


def _is_ascii(head: bytes) -> bool:
    """True for an ASCII STL. Text of any other kind is refused here."""
    text = head.removeprefix(b"\xef\xbb\xbf")
    if _CONTROL.search(text):
        return False
    if text.lstrip()[:5].lower() != b"solid":
        raise UnreadableStl("NOT_STL", "This is a text file, but not an STL file.")
    if _ASCII_WORD.search(text):
        return True
    if len(head) == _HEAD and not re.search(rb"[\r\n]", text):
        raise UnreadableStl("BAD_ASCII", "The text in the file does not keep the STL format: its first line has no end.")
    raise UnreadableStl("NOT_STL", "This is a text file that begins with the word “solid”, but not an STL file.")


def _binary_of_odd_length(head: bytes, size: int, facets: int) -> int:
    room = (size - 84) // 50
    if facets > room:
        _refuse_noise(np.frombuffer(head, _FACET, min(room, (len(head) - 84) // 50), 84))
        raise UnreadableStl("TRUNCATED", f"The file was cut off: it announces {facets:,} triangles and has room for {room:,}.")
    if facets == 0:
        raise UnreadableStl("NO_FACETS", "The file holds no triangles.")
    rest = size - 84 - 50 * facets
    if rest >= _FACET.itemsize:
        raise UnreadableStl("TRAILING", f"The file announces {facets:,} triangles, but {rest:,} bytes of something else follow them.")
    return facets


# --- binary ------------------------------------------------------------------------------------------------------
def _read_binary(path: Path, facets: int, size: int) -> Corners:
    corners = np.empty((facets, 3, 3), np.float32)
    with path.open("rb") as file:
        file.seek(84)
        for start in range(0, facets, _AT_ONCE):
            part = corners[start : start + _AT_ONCE]
            records = np.fromfile(file, _FACET, len(part))
            if len(records) != len(part):
                text = f"The file was cut off while it was read: {start + len(records):,} of {facets:,} triangles in {size:,} bytes."
                raise UnreadableStl("TRUNCATED", text)
            if start == 0:
                _refuse_noise(records[:1000])
            part[:] = records["corners"]
    _refuse_wild(corners)
    return corners


def _refuse_noise(records: npt.NDArray[np.void]) -> None:
    """A length that fits proves nothing. Where most triangles mix absurdly far and absurdly small numbers, it is no STL at all."""
    sizes = np.abs(records["corners"].reshape(-1, 9))
    noise = ~(sizes <= FAR_MM).all(axis=1) & ((sizes > 0) & (sizes < _ABSURDLY_SMALL)).any(axis=1)
    if 2 * np.count_nonzero(noise) > len(records):
        raise UnreadableStl("NOT_STL", "This is not an STL file: read as one, it is noise.")


def _refuse_wild(corners: npt.NDArray[np.floating]) -> None:
    problem = position_problem(corners)
    if problem is not None:
        raise UnreadableStl(*problem)


# --- ASCII -------------------------------------------------------------------------------------------------------
_WORDS = (b"facet", b"normal", None, None, None, b"outer", b"loop", *(b"vertex", None, None, None) * 3, b"endloop", b"endfacet")
"""One facet, word by word; None stands for a number."""
_NORMAL, _NUMBERS = (2, 3, 4), [n for n, word in enumerate(_WORDS) if word is None][3:]
_KEYWORDS = {b"solid", b"endsolid", *(word for word in _WORDS if word)}
"""A normal may be anything else: “1.#QNAN” comes from a real exporter."""
_AFTER_END = re.compile(rb"(endloop|endfacet)\b[^\n]*")
_SPACE = re.compile(rb"\s*")
_LONGEST_NUMBER = 64
_CHUNK = 2**20


def _bad(what: str) -> UnreadableStl:
    return UnreadableStl("BAD_ASCII", f"The text in the file does not keep the STL format: {what}.")


def _read_ascii(path: Path, size: int, limits: Limits) -> Corners:
    if size > limits.max_ascii_bytes:
        most = f"up to {limits.max_ascii_bytes // MB} MB are taken. Binary STL is five times smaller."
        raise UnreadableStl("TOO_LARGE", f"The file is text of {size / MB:,.0f} MB; {most}")
    data = path.read_bytes().removeprefix(b"\xef\xbb\xbf").lower().replace(b"\r", b"\n")
    facets = data.count(b"endfacet")
    if facets > limits.max_facets:
        raise _too_many(facets, limits)
    if b"facet" not in data:
        raise UnreadableStl("NO_FACETS", "The file holds no triangles.")
    solids = [_read_facets(data, *span) for span in _bodies(data)]
    corners = np.concatenate([part for parts in solids for part in parts] or [np.empty((0, 3, 3))])
    if not len(corners):
        raise UnreadableStl("NO_FACETS", "The file holds no triangles.")
    _refuse_wild(corners)
    return corners.astype(np.float32)


def _bodies(data: bytes) -> list[tuple[int, int]]:
    """Where the facets of each `solid <name>` … `endsolid <name>` begin and end; empty solids are left out."""
    spans = []
    at = _skip_space(data, 0)
    while at < len(data):
        if not data.startswith(b"solid", at):
            raise _bad("something stands between the solids")
        start = _line_end(data, at)
        end = data.find(b"endsolid", start)
        if end < 0:
            raise _bad("“endsolid” is missing; the file may have been cut off")
        if not (data[end - 1 : end] + (data[end + 8 : end + 9] or b" ")).isspace():
            raise _bad("“endsolid” is no word of its own")
        if end - start > 1:
            spans.append((start, end))
        at = _skip_space(data, _line_end(data, end))
    return spans


def _skip_space(data: bytes, at: int) -> int:
    space = _SPACE.match(data, at)
    return space.end() if space else at


def _line_end(data: bytes, at: int) -> int:
    end = data.find(b"\n", at)
    return len(data) if end < 0 else end


def _read_facets(data: bytes, start: int, end: int) -> list[npt.NDArray[np.float64]]:
    """The corners between two places, a megabyte at a time: words are objects and cost ten times their text."""
    parts = []
    while start < end:
        cut = data.find(b"endfacet", min(start + _CHUNK, end), end)
        stop = end if cut < 0 else min(_line_end(data, cut), end)
        if stop - start > 2 * _CHUNK:
            raise _bad("a line is too long")
        parts.append(_read_words(data[start:stop]))
        start = stop
    return parts


def _read_words(text: bytes) -> npt.NDArray[np.float64]:
    words = text.split()
    if not _keeps_format(words):
        # Some exporters write a comment after these two words; nothing else may follow them on their line.
        words = _AFTER_END.sub(rb"\1", text).split()
        if not _keeps_format(words):
            raise _bad("a triangle is not “facet normal, outer loop, three times vertex, endloop, endfacet”")
    if max(map(len, words), default=0) > _LONGEST_NUMBER:
        raise _bad("a number is too long")
    underscores = b"_" in text
    corners = np.empty((len(words) // len(_WORDS), 9))
    for column, place in enumerate(_NUMBERS):
        column_words = words[place :: len(_WORDS)]
        # float() also takes 1_000, which no STL writer means.
        if underscores and any(b"_" in word for word in column_words):
            raise _bad("a coordinate is not a number")
        corners[:, column] = _numbers(column_words)
    return corners.reshape(-1, 3, 3)


def _keeps_format(words: list[bytes]) -> bool:
    step = len(_WORDS)
    if len(words) % step:
        return False
    facets = len(words) // step
    if not all(words[place::step].count(word) == facets for place, word in enumerate(_WORDS) if word is not None):
        return False
    return all(_KEYWORDS.isdisjoint(words[place::step]) for place in _NORMAL)


def _numbers(words: list[bytes]) -> list[float]:
    try:
        return list(map(float, words))
    except ValueError as error:
        raise _bad("a coordinate is not a number") from error


# --- writing -----------------------------------------------------------------------------------------------------
def write_canonical(path: Path, corners: Corners) -> None:
    """A binary STL with a fixed header, zero normals and zero attributes: the same triangles are always the same bytes. Raises OSError."""
    records = np.zeros(min(len(corners), _AT_ONCE), _FACET)
    with path.open("wb") as file:
        file.write(b"intagly-agent canonical".ljust(80, b"\0") + struct.pack("<I", len(corners)))
        for start in range(0, len(corners), _AT_ONCE):
            part = corners[start : start + _AT_ONCE]
            records["corners"][: len(part)] = part
            records[: len(part)].tofile(file)
