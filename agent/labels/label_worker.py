"""The child process a label is looked at in: `python -m agent.labels.label_worker PDF`. pypdf lives here only.

← {"broken": why}                                        it cannot be read
← {"encrypted": true}
← {"pages", "width_mm", "height_mm", "text", "active"}   the first page's size as it is shown; `active`: what is in it besides pages
"""

import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pypdf import PageObject, PdfReader
from pypdf.errors import PyPdfError
from pypdf.generic import ArrayObject, DictionaryObject, IndirectObject, PdfObject

from agent.wire.confined import answer, confine

_MM = 25.4 / 72
_MOST_TEXT = 20_000
_MOST_OBJECTS = 20_000
_ACTIONS = {
    "/JavaScript": "JavaScript",
    "/Launch": "starts a program",
    "/SubmitForm": "sends a form",
    "/ImportData": "reads a file",
    "/GoToR": "opens another file",
    "/GoToE": "opens an embedded file",
    "/Rendition": "plays something",
    "/Movie": "plays something",
    "/Sound": "plays something",
    "/RichMediaExecute": "plays something",
}
"""Values of /S (ISO 32000-1, 12.6.4) that do more than show a page."""
_KEYS = {
    "/JS": "JavaScript",
    "/JavaScript": "JavaScript",
    "/EmbeddedFiles": "embedded files",
    "/EF": "embedded files",
    "/XFA": "a form that is a program",
    "/RichMediaContent": "media",
}

_FLAWS = (PyPdfError, ValueError, TypeError, KeyError, IndexError, AttributeError, AssertionError, ArithmeticError, NotImplementedError)
"""A damaged file shows itself as any of these inside pypdf; this process reads nothing else."""


def main() -> None:
    confine()
    logging.disable()  # pypdf tells of every flaw it gets over
    answer(_looked_at(Path(sys.argv[1])))


def _looked_at(path: Path) -> dict[str, Any]:
    try:
        reader = PdfReader(path, strict=False)
        if reader.is_encrypted:
            return {"encrypted": True}
        active = sorted(set(_active(reader.trailer)))
        pages = len(reader.pages)
        if not pages:
            return {"broken": "it has no page"}
        page = reader.pages[0]
        return {**_size(page), "pages": pages, "text": _text(reader)[:_MOST_TEXT], "active": active}
    except RecursionError:
        return {"broken": "it goes round in circles"}
    except _FLAWS as flaw:
        return {"broken": f"{type(flaw).__name__}: {flaw}"[:200]}


def _text(reader: PdfReader) -> str:
    return "\n".join(page.extract_text() for page in reader.pages[:3])


def _size(page: PageObject) -> dict[str, float]:
    box, unit = page.cropbox, float(page.user_unit)
    width, height = float(box.width) * _MM * unit, float(box.height) * _MM * unit
    if page.rotation % 180:
        width, height = height, width
    return {"width_mm": round(width, 1), "height_mm": round(height, 1)}


def _active(root: PdfObject) -> Iterator[str]:
    """Whatever is reachable and does more than show a page; every object is looked at once."""
    waiting: list[Any] = [root]
    seen: set[tuple[int, int]] = set()
    looked = 0
    while waiting:
        item = waiting.pop()
        looked += 1
        if looked > _MOST_OBJECTS:
            yield "more objects than a label has"
            return
        if isinstance(item, IndirectObject):
            if (item.idnum, item.generation) not in seen:
                seen.add((item.idnum, item.generation))
                waiting.append(item.get_object())
        elif isinstance(item, DictionaryObject):
            yield from _named(item)
            waiting.extend(item.values())
        elif isinstance(item, ArrayObject):
            waiting.extend(item)


def _named(item: DictionaryObject) -> Iterator[str]:
    for key in item:
        if key in _KEYS:
            yield _KEYS[key]
    action = item.raw_get("/S") if "/S" in item else None
    if isinstance(action, IndirectObject):
        action = action.get_object()
    if isinstance(action, str) and action in _ACTIONS:
        yield _ACTIONS[action]


if __name__ == "__main__":
    main()
