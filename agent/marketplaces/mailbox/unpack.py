"""A mail as text and files, in a process of its own: `python -m agent.marketplaces.mailbox.unpack MAIL FOLDER LARGEST_BYTES`.

Whoever sends a mail chooses how long taking it apart takes, and how much of it there is. So it is done by a child that has limits of
time, memory and disk (wire/child.py), and imports nothing but the standard library. It writes FOLDER/unpacked.json and the models.

Models are known by what they hold, in whatever they are called. A zip archive is opened once, and refused as a whole where anything in it
is not as it should be; an archive within stays closed. All else is named, and not opened.
"""

import hashlib
import json
import re
import stat
import sys
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from email import message_from_binary_file
from email.errors import MessageError
from email.message import Message
from email.policy import default
from html.parser import HTMLParser
from mmap import mmap
from pathlib import Path
from typing import Any, cast

RESULT = "unpacked.json"
LONGEST_TEXT = 200_000
MOST_PARTS, MOST_FILES, MOST_ENTRIES = 200, 100, 200
MOST_RATIO = 200
"""Of what comes out of an archive to what it takes there; ASCII STL packs to a tenth."""
_HEAD = 4096
_CHUNK = 1 << 16
_UNREADABLE = (MessageError, ValueError, LookupError, AttributeError, TypeError, RecursionError, AssertionError)
"""What the standard library's parser raises at what nobody would send."""
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError, *_UNREADABLE)
"""What zipfile raises at an archive that is none, or is cut off."""
_ASCII_STL = re.compile(rb"\s*solid\b[^\0]*\bfacet\b", re.IGNORECASE)
_OBJ = re.compile(rb"(?:\A|\n)[ \t]*v[ \t]+[-+0-9.eE]+[ \t]+[-+0-9.eE]+[ \t]+[-+0-9.eE]+")


@dataclass(frozen=True)
class ModelPart:
    """A model that came. `path`: in the folder. `kind`: its ending by what it holds, .stl, .3mf or .obj."""

    name: str
    kind: str
    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class ClosedPart:
    """A file that was not opened, and why."""

    name: str
    bytes: int
    sha256: str
    why: str


@dataclass
class Mail:
    """`text`: what a person reads in it. `from_html`: there was no plain text."""

    text: str = ""
    from_html: bool = False
    models: list[ModelPart] = field(default_factory=list)
    closed: list[ClosedPart] = field(default_factory=list)


class TooMuch(Exception):
    """There is more of it than a mail may hold. The text says what."""


class BadArchive(Exception):
    """An archive that is not opened. The text says why."""


class Unpacking:
    """Takes one mail apart into `folder`. `largest_bytes`: all models together."""

    def __init__(self, folder: Path, largest_bytes: int) -> None:
        self._folder = folder
        self._left = largest_bytes
        self.mail = Mail()

    def take(self, message: Message) -> None:
        """TooMuch where it holds more than it may."""
        plain: list[str] = []
        pages: list[str] = []
        for part in _leaves(message):
            kind = part.get_content_type()
            if kind in ("text/plain", "text/html") and not _is_attached(part):
                (plain if kind == "text/plain" else pages).append(_text(part))
            else:
                self._file(_file_name(part), _payload(part))
        if len("".join(plain)) + len("".join(pages)) > 4 * LONGEST_TEXT:
            raise TooMuch("it is longer than any offer")
        self.mail.from_html = not any(text.strip() for text in plain) and bool(pages)
        self.mail.text = "\n".join(map(_reduced, pages) if self.mail.from_html else plain)
        if len(self.mail.text) > LONGEST_TEXT:
            raise TooMuch("it is longer than any offer")

    def _file(self, name: str, content: bytes) -> None:
        kind = kind_of(content)
        if kind in (".stl", ".3mf", ".obj"):
            self._model(name, kind, content)
        elif kind != ".zip":
            self._closed(name, content, "it is no model")
        else:
            try:
                inside = list(_entries(self._folder / _ARCHIVE, content, self._left))
            except BadArchive as bad:
                self._closed(name, content, str(bad))
                return
            except _DAMAGED:
                self._closed(name, content, "it is damaged")
                return
            for entry, data in inside:
                kind = kind_of(data)
                if kind in (".stl", ".3mf", ".obj"):
                    self._model(entry, kind, data)
                else:
                    self._closed(f"{name}/{entry}", data, "an archive in an archive" if kind == ".zip" else "it is no model")

    def _model(self, name: str, kind: str, content: bytes) -> None:
        self._left -= len(content)
        if self._left < 0 or len(self.mail.models) >= MOST_FILES:
            raise TooMuch("its models are larger, or more, than is taken from one mail")
        path = f"m{len(self.mail.models) + 1}{kind}"
        (self._folder / path).write_bytes(content)
        self.mail.models.append(ModelPart(name, kind, path, len(content), hashlib.sha256(content).hexdigest()))

    def _closed(self, name: str, content: bytes, why: str) -> None:
        if len(self.mail.closed) < MOST_PARTS:
            self.mail.closed.append(ClosedPart(name, len(content), hashlib.sha256(content).hexdigest(), why))


# --- parts of a mail ---------------------------------------------------------------------------------------------


def _leaves(message: Message) -> Iterator[Message]:
    """Not by recursion: how deep it goes is the sender's choice. A mail in a mail is a file."""
    left, seen = [message], 0
    while left:
        part = left.pop(0)
        seen += 1
        if seen > MOST_PARTS:
            raise TooMuch(f"it has more than {MOST_PARTS} parts")
        if part.is_multipart() and part.get_content_maintype() == "multipart":
            left[:0] = cast(list[Message], part.get_payload())
        else:
            yield part


def _is_attached(part: Message) -> bool:
    return part.get_content_disposition() == "attachment" or bool(part.get_filename())


def _file_name(part: Message) -> str:
    """The last part of what it is called, without control characters: a name and never a path."""
    try:
        name = part.get_filename() or "unnamed"
    except _UNREADABLE:
        name = "unnamed"
    return plain_name(name)


def plain_name(name: str) -> str:
    last = re.split(r"[/\\]", name)[-1].encode("utf-8", "replace").decode()
    return "".join(c if c.isprintable() else "_" for c in last).strip()[:150] or "unnamed"


def _payload(part: Message) -> bytes:
    if part.is_multipart():
        return b""
    try:
        content = part.get_payload(decode=True)
    except _UNREADABLE:
        return b""
    return content if isinstance(content, bytes) else b""


def _text(part: Message) -> str:
    """Bytes that are not of its character set are shown as such: no number and no name is read from them."""
    content = _payload(part)
    try:
        text = content.decode(part.get_content_charset("utf-8"), errors="replace")
    except (LookupError, ValueError, TypeError):
        text = content.decode("utf-8", errors="replace")
    return text.encode("utf-8", "replace").decode()


class _Page(HTMLParser):
    """What a person reads of a page: a line for each block and table row, cells with a space between them."""

    _BLOCKS = frozenset(
        [
            *("address", "article", "blockquote", "br", "center", "div", "dl", "dt", "dd", "footer", "form", "header", "hr"),
            *("li", "ol", "p", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "section", "table", "tr", "ul"),
        ]
    )
    _HIDDEN = frozenset(["script", "style", "head", "title", "template"])

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002 - the parser's signature
        self._hidden += tag in self._HIDDEN
        self._break(tag)

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in self._HIDDEN and self._hidden > 0
        self._break(tag)

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.text.append(re.sub(r"\s+", " ", data))

    def _break(self, tag: str) -> None:
        if tag in self._BLOCKS:
            self.text.append("\n")
        elif tag in ("td", "th"):
            self.text.append(" ")


def _reduced(page: str) -> str:
    parser = _Page()
    try:
        parser.feed(page)
        parser.close()
    except _UNREADABLE:
        return ""
    lines = (" ".join(line.split()) for line in "".join(parser.text).split("\n"))
    return "\n".join(line for line in lines if line)


# --- files -------------------------------------------------------------------------------------------------------

_ARCHIVE = "archive.zip"


def kind_of(content: bytes | mmap) -> str:
    """.stl, .3mf, .obj or .zip, by what it holds; empty for all else."""
    head = content[:_HEAD]
    if head.startswith(b"PK\x03\x04"):
        return ".3mf" if all(content.find(part) >= 0 for part in (b"3D/", b"[Content_Types].xml", b".model")) else ".zip"
    announced = 84 + 50 * int.from_bytes(head[80:84], "little")
    if 84 < announced == len(content) or _ASCII_STL.match(head):
        return ".stl"
    return ".obj" if b"\0" not in head and _OBJ.search(head) else ""


def _entries(path: Path, content: bytes, limit_bytes: int) -> Iterator[tuple[str, bytes]]:
    """The files in an archive. BadArchive at the first thing that should not be there."""
    path.write_bytes(content)
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            _check(infos, len(content), limit_bytes)
            for info in infos:
                if not info.is_dir():
                    yield plain_name(info.filename), _entry(archive, info)
    finally:
        path.unlink()


def _check(infos: list[zipfile.ZipInfo], packed_bytes: int, limit_bytes: int) -> None:
    if len(infos) > MOST_ENTRIES:
        raise BadArchive(f"it holds more than {MOST_ENTRIES} files")
    total = sum(info.file_size for info in infos)
    if total > limit_bytes or total > MOST_RATIO * max(packed_bytes, 1000):
        raise BadArchive("what is in it is larger than is taken")
    if len({info.filename.lower() for info in infos}) != len(infos):
        raise BadArchive("it holds two files of one name")
    for info in infos:
        if why := _odd(info):
            raise BadArchive(why)


def _odd(info: zipfile.ZipInfo) -> str:
    parts = re.split(r"[/\\]", info.filename)
    if ".." in parts or parts[0] == "" or re.match(r"[A-Za-z]:", info.filename) or "\0" in info.orig_filename:
        return "it holds a path that leads out of it"
    if info.flag_bits & 0x1:
        return "it is encrypted"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "it is packed in a way that is not known"
    mode = info.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "it holds a link, or no file"
    return ""


def _entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """No more than was announced: a bomb says less than it holds."""
    content = bytearray()
    with archive.open(info) as file:
        while chunk := file.read(_CHUNK):
            content += chunk
            if len(content) > info.file_size:
                raise BadArchive("it holds more than it says")
    return bytes(content)


def main(arguments: list[str]) -> int:
    mail, folder, largest = Path(arguments[0]), Path(arguments[1]), int(arguments[2])
    unpacking = Unpacking(folder, largest)
    result: dict[str, Any]
    try:
        with mail.open("rb") as file:
            unpacking.take(message_from_binary_file(file, policy=default))
        result = {"why": "", **asdict(unpacking.mail)}
    except TooMuch as much:
        result = {"why": str(much)}
    except _UNREADABLE as error:
        result = {"why": f"it is no mail that can be read ({type(error).__name__})"}
    (folder / RESULT).write_text(json.dumps(result), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
