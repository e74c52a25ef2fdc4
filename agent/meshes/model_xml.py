"""The XML of a 3MF file: parsed with nothing that could be blown up or opened, and fast where it is what programs write.

expat stops at the first DTD (3MF forbids them): without one there are no entities. It calls back for every element, at some 3 µs each,
so long rows of vertices and triangles, which are nearly all of a model, are taken past it: expat says where such a row begins, and
what is not exactly as programs write it goes through expat after all.
"""

import re
from collections.abc import Iterable
from typing import Any
from xml.parsers import expat

import numpy.typing as npt

from agent.meshes.limits import MB, Limits
from agent.meshes.model_part import SPACE, UNDERSTOOD, Part, PartBuilder, bad
from agent.meshes.reading import UnreadableModel, numbers_in

_CORE = f"{SPACE}/core/2015/02 "
_FOREIGN = "?"
_ROWS = ("vertices", "triangles")
_PARENTS = {
    "model": ("",),
    "metadata": ("model", "metadatagroup"),
    "metadatagroup": ("object", "item"),
    "resources": ("model",),
    "basematerials": ("resources",),
    "base": ("basematerials",),
    "object": ("resources",),
    "mesh": ("object",),
    "vertices": ("mesh",),
    "vertex": ("vertices",),
    "triangles": ("mesh",),
    "triangle": ("triangles",),
    "components": ("object",),
    "component": ("components",),
    "build": ("model",),
    "item": ("build",),
}
"""Every element of the core, and where it may stand; none of them can stand in itself, so a core is not deep."""
_ELEMENTS = {_CORE + element: (element, parents) for element, parents in _PARENTS.items()}
_MOST_ELEMENTS = 1_000_000
"""That expat calls back for."""
_DEEPEST = 32
_LONGEST_TAG = 4 * MB


def read_part(chunks: Iterable[bytes], limits: Limits) -> Part:
    """A model part from its bytes. Raises UnreadableModel, and whatever `chunks` raises."""
    reader = _Reader(limits)
    rest = b""
    for chunk in chunks:
        rest = reader.take(rest + chunk)
    return reader.finish(rest)


def attributes_of(chunks: Iterable[bytes], element: str) -> list[dict[str, str]]:
    """The attributes of every such element (namespace, blank, name) in a small part. Raises UnreadableModel, and what `chunks` raises."""
    found: list[dict[str, str]] = []
    text = _Text()
    text.parser.StartElementHandler = lambda name, values: found.append(values) if name == element else None
    for chunk in chunks:
        text.feed(chunk)
    text.end()
    return found


class _Text:
    """expat, with its errors as refusals. `fed`: the bytes it was given."""

    def __init__(self) -> None:
        self.parser = expat.ParserCreate("UTF-8", " ")
        self.parser.StartDoctypeDeclHandler = _refuse_dtd
        self.fed = 0

    def feed(self, data: bytes) -> None:
        """A tag that does not end is read from its beginning with every piece of it: refused before that costs time."""
        self._parse(data, last=False)
        self.fed += len(data)
        if self.fed - self.parser.CurrentByteIndex > _LONGEST_TAG:
            raise bad("a tag of its XML is too long")

    def end(self) -> None:
        self._parse(b"", last=True)

    def _parse(self, data: bytes, *, last: bool) -> None:
        try:
            self.parser.Parse(data, last)
        except expat.ExpatError as error:
            raise bad("its XML is damaged") from error


def _refuse_dtd(*_: object) -> None:
    raise bad("its XML has a document type definition")


class _Reader:
    def __init__(self, limits: Limits) -> None:
        self._builder = PartBuilder(limits)
        self._text = _Text()
        self._text.parser.StartElementHandler = self._start
        self._text.parser.EndElementHandler = self._end
        self._text.parser.StartNamespaceDeclHandler = self._namespace
        self._spaces: dict[str, str] = {}
        self._elements = 0
        self._open: list[str] = [""]
        self._row_began_at = -1
        self._row: _Form | None = None

    # --- the text ------------------------------------------------------------------------------------------------------
    def take(self, data: bytes) -> bytes:
        """Reads what is whole of it; the rest comes back, to be given again with what follows."""
        at = 0
        while True:
            if self._row is not None:
                at = self._take_row(data, at, self._row)
                if self._row is not None:
                    return data[at:]
            opening = _OPENING.search(data, at)
            if opening is None:
                break
            begins_at = self._text.fed + opening.start() - at
            self._text.feed(data[at : opening.end()])
            at = opening.end()
            if self._row_began_at != begins_at:
                break  # it stands in a comment: expat would read that from its beginning for every one of them
            self._row = _FORMS[opening[0]]
        cut = data.rfind(b"<", max(at, len(data) - _LONGEST_OPENING))
        whole = len(data) if cut < 0 else cut
        self._text.feed(data[at:whole])
        return data[whole:]

    def _take_row(self, data: bytes, at: int, form: "_Form") -> int:
        """Where the plain elements that begin at `at` end. `_row` stays where more of them may come."""
        end = data.find(b"</", at)
        last = data.rfind(b"/>", at)
        stop = end if end >= 0 else at if last < 0 else last + 2
        numbers = form.numbers(data[at:stop])
        if numbers is None or (stop == at and len(data) - at > _LONGEST_TAG):
            self._row = None
            return at
        self._builder.add_plain(numbers, of=form.of)
        if end >= 0:
            self._row = None
        return stop

    def finish(self, rest: bytes) -> Part:
        self._text.feed(rest)
        self._text.end()
        return self._builder.part

    # --- elements ------------------------------------------------------------------------------------------------------
    def _start(self, name: str, values: dict[str, str]) -> None:
        self._elements += 1
        if self._elements > _MOST_ELEMENTS:
            raise UnreadableModel("TOO_COMPLEX", "The file holds too much beside plain triangles; leave out colours, or export an STL.")
        parent = self._open[-1]
        element, parents = _ELEMENTS.get(name, (_FOREIGN, ()))
        if parent not in parents:
            element = self._foreign(name, element, parent)
        self._open.append(element)
        if element in _ROWS:
            self._row_began_at = self._text.parser.CurrentByteIndex
        elif element == "model":
            self._model(values)
        self._builder.begin(element, values)

    def _foreign(self, name: str, element: str, parent: str) -> str:
        """Not of the core, or in what is not: passed over, with all that is in it."""
        if parent == "" or (element != _FOREIGN and parent != _FOREIGN) or len(self._open) > _DEEPEST:
            raise bad(f"<{name.rpartition(' ')[2][:40]}> stands where it does not belong")
        if name.endswith(" beamlattice"):
            self._builder.doubt("it has beams besides its triangles, and they cannot be read")
        return _FOREIGN

    def _end(self, _name: str) -> None:
        self._builder.end(self._open.pop())

    def _namespace(self, prefix: str | None, space: str) -> None:
        self._spaces.setdefault(prefix or "", space)

    def _model(self, values: dict[str, str]) -> None:
        part = self._builder.part
        part.unit = values.get("unit", part.unit).strip()
        part.recommended = self._strange(values.get("recommendedextensions", ""))
        if needed := self._strange(values.get("requiredextensions", "")):
            raise UnreadableModel("UNSUPPORTED_3MF", f"The model needs extensions of 3MF that cannot be read: {', '.join(needed)}.")

    def _strange(self, prefixes: str) -> list[str]:
        """Extensions that are not understood, by their namespaces."""
        spaces = [self._spaces.get(prefix, prefix) for prefix in prefixes.split()[:10]]
        return [space.removeprefix(f"{SPACE}/")[:60] for space in spaces if space not in UNDERSTOOD]


# --- rows of plain elements --------------------------------------------------------------------------------------------
_PLACES = b"\1\2\3\4"
_NOTHING = (b"\1\2", b"\2\3", b"\3\4")
_NO_PLACES = bytes.maketrans(_PLACES, b"    ")
_NUMBERS = b"0123456789+-.eE"
_BLANK = b" \t\r\n"


class _Form:
    """How programs write an element of three numbers."""

    def __init__(self, of: type[float] | type[int], *marks: bytes) -> None:
        self.of = of
        self._marks = marks

    def numbers(self, text: bytes) -> npt.NDArray[Any] | None:
        """Those of a row of such elements with one number an attribute; None where it is anything else."""
        if any(place in text for place in _PLACES):
            return None
        text = text.replace(b'" />', b'"/>')
        count = text.count(self._marks[0])
        for mark, place in zip(self._marks, _PLACES, strict=True):
            text = text.replace(mark, bytes((place,)))
        if text.translate(None, _NUMBERS + _BLANK) != _PLACES * count:
            return None
        text = b" ".join(text.split())
        if text.count(b" ") != text.count(b"\4 \1") or any(nothing in text for nothing in _NOTHING):
            return None
        numbers = numbers_in(text.translate(_NO_PLACES), self.of)
        return numbers if numbers is not None and len(numbers) == 3 * count else None


_OPENING = re.compile(rb"<(?:vertices|triangles)>")
_LONGEST_OPENING = len(b"<triangles>")
_FORMS = {
    b"<vertices>": _Form(float, b'<vertex x="', b'" y="', b'" z="', b'"/>'),
    b"<triangles>": _Form(int, b'<triangle v1="', b'" v2="', b'" v3="', b'"/>'),
}
