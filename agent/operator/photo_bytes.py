"""What a file is by its bytes, before any library reads it: which of the three kinds of photo, and nothing else besides."""

import re

_KINDS = {b"\xff\xd8\xff": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG"}
_OTHERS = {
    b"GIF8": "a GIF",
    b"BM": "a BMP",
    b"II*\0": "a TIFF",
    b"MM\0*": "a TIFF",
    b"%PDF": "a PDF",
    b"PK\x03\x04": "a ZIP",
    b"<": "text such as SVG or HTML",
}
_HEIF = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"})
_BEHIND = (b"PK\x03\x04", b"PK\x05\x06", b"%PDF", b"Rar!", b"7z\xbc\xaf", b"MZ", b"\x7fELF", b"#!", b"<")
"""What no camera writes behind a picture. Films and notes of its own it does: those are dropped."""

_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])", re.DOTALL)
"""What is no byte of a scan."""


class Unusable(Exception):
    """It cannot be used, in words for the person who took it."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def kind_of(content: bytes) -> str:
    """JPEG, PNG or WEBP."""
    if content.startswith(b"RIFF") and content[8:12] == b"WEBP":
        return "WEBP"
    for magic, kind in _KINDS.items():
        if content.startswith(magic):
            return kind
    if not content:
        raise Unusable("empty", "The file is empty. Send it once more.")
    if content[4:8] == b"ftyp" and content[8:12] in _HEIF:
        raise Unusable("not_a_photo", "It is a HEIC picture. Set the phone's camera to its most compatible format, and take it again.")
    for magic, name in _OTHERS.items():
        if content.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(magic):
            raise Unusable("not_a_photo", f"It is {name}. A JPEG, PNG or WebP is needed.")
    raise Unusable("not_a_photo", "It is no JPEG, PNG or WebP.")


def refuse_polyglot(content: bytes, kind: str) -> None:
    """A picture that is something else as well was made by nobody's camera."""
    if content[_end(content, kind) :].lstrip(b"\0 \t\r\n").startswith(_BEHIND):
        raise Unusable("polyglot", "Behind the picture the file goes on with something that is none. Take the photo again.")


def _end(content: bytes, kind: str) -> int:
    """Where the picture ends, as far as its own structure tells; the file's end where it tells nothing."""
    match kind:
        case "WEBP":
            return 8 + int.from_bytes(content[4:8], "little")
        case "PNG":
            return _png_end(content)
        case _:
            return _jpeg_end(content)


def _png_end(content: bytes) -> int:
    at = 8
    while at + 12 <= len(content):
        length, name = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        at += 12 + length
        if name == b"IEND":
            return at
    return len(content)


def _jpeg_end(content: bytes) -> int:
    """Segments tell their length; what is behind a scan's header goes on to the next marker that is none of its own (ISO 10918-1, B.1)."""
    at = 2
    while (found := _MARKER.search(content, at)) is not None:
        at = found.end()
        if found[1] == b"\xd9":
            return at
        at += int.from_bytes(content[at : at + 2], "big")
    return len(content)
