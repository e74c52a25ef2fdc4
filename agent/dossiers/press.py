"""The child process that sets the readable part: `python -m agent.dossiers.press PAPER OUTPUT`, JSON of blocks in, a PDF out.

fpdf2 and Pillow live here only: photos and customers' words are in it. The same blocks give the same bytes, where the fonts are the same.
"""

import json
import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from fpdf import FPDF
from fpdf.enums import WrapMode, XPos, YPos
from fpdf.errors import FPDFException
from fpdf.fonts import TTFFont

from agent.wire.confined import answer, confine

_FONTS = Path("/usr/share/fonts/truetype/dejavu")
"""Debian's fonts-dejavu-core; PrusaSlicer brings it along."""
_MARGIN, _LINE, _NAME_WIDTH = 15.0, 4.6, 46.0
_PICTURE = (85.0, 65.0)
_LONGEST_CELL = 400


def main() -> None:
    confine()
    answer({"pages": press(Path(sys.argv[1]), Path(sys.argv[2]))})


def press(paper: Path, output: Path) -> int:
    """How many pages it has."""
    work = json.loads(paper.read_bytes())
    sheet = _Sheet(work["footer"], datetime.fromisoformat(work["at"]))
    for block in work["blocks"]:
        (kind, content), *_ = block.items()
        sheet.put(kind, content)
    sheet.output(str(output))
    return int(sheet.pages_count)


class _Sheet(FPDF):
    """A4, one column, page numbers below."""

    def __init__(self, footer: str, at: datetime) -> None:
        super().__init__(format="A4")
        self._footer = footer
        self.set_creation_date(at)
        self.set_margin(_MARGIN)
        self.set_auto_page_break(True, 18)
        self._family = "Helvetica"
        if (_FONTS / "DejaVuSans.ttf").is_file() and (_FONTS / "DejaVuSans-Bold.ttf").is_file():
            self._family = "DejaVu"
            self.add_font("DejaVu", "", _FONTS / "DejaVuSans.ttf")
            self.add_font("DejaVu", "B", _FONTS / "DejaVuSans-Bold.ttf")
        self._put: dict[str, Callable[[Any], None]] = {
            "title": lambda text: self._lines(text, 16, bold=True, below=3),
            "heading": self._heading,
            "text": lambda text: self._lines(text, 9, below=2),
            "facts": self._facts,
            "table": self._table,
            "pictures": self._pictures,
            "event": self._event,
        }
        self.add_page()

    def put(self, kind: str, content: Any) -> None:
        self._put[kind](content)

    def footer(self) -> None:
        self.set_y(-12)
        self._use(7)
        self.cell(0, 4, self._shown(f"{self._footer}, page {self.page_no()}"), align="C")

    def _use(self, size: float, *, bold: bool = False) -> None:
        self.set_font(self._family, "B" if bold else "", size)

    def _shown(self, text: str) -> str:
        """A character that the font lacks is told by its number: nothing is lost, and nothing falls over."""
        font = self.current_font
        known: Callable[[str], bool] = (lambda c: ord(c) in font.cmap) if isinstance(font, TTFFont) else _in_core_font
        return "".join(c if c == "\n" or known(c) else " " if c == "\t" else f"<U+{ord(c):04X}>" for c in text)

    def _lines(self, text: str, size: float, *, bold: bool = False, below: float = 0.0) -> None:
        self._use(size, bold=bold)
        wrap = _wrap(text)
        self.multi_cell(0, size * 0.51, self._shown(text), new_x=XPos.LMARGIN, new_y=YPos.NEXT, wrapmode=wrap, align="L")
        self.ln(below)

    def _heading(self, text: str) -> None:
        if self.will_page_break(25):
            self.add_page()
        self.ln(3)
        self._lines(text, 12, bold=True, below=1)

    def _facts(self, facts: Sequence[Sequence[str]]) -> None:
        for name, value in facts:
            if self.will_page_break(2 * _LINE):
                self.add_page()
            top = self.get_y()
            self._use(8, bold=True)
            self.multi_cell(_NAME_WIDTH, _LINE, self._shown(name), wrapmode=WrapMode.CHAR, align="L")
            below, page = self.get_y(), self.page
            self.set_xy(_MARGIN + _NAME_WIDTH + 2, top)
            self._use(8)
            wrap = _wrap(value)
            self.multi_cell(0, _LINE, self._shown(value), new_x=XPos.LMARGIN, new_y=YPos.NEXT, wrapmode=wrap, align="L")
            if self.page == page:
                self.set_y(max(below, self.get_y()))
        self.ln(2)

    def _table(self, rows: Sequence[Sequence[str]]) -> None:
        self._use(7)
        with self.table(line_height=4, text_align="LEFT", padding=0.6, wrapmode=WrapMode.CHAR) as table:
            for row in rows:
                cells = table.row()
                for cell in row:
                    cells.cell(self._shown(cell if len(cell) <= _LONGEST_CELL else f"{cell[:_LONGEST_CELL]}…"))
        self.ln(2)

    def _pictures(self, pictures: Sequence[Sequence[str]]) -> None:
        width, height = _PICTURE
        for n, (path, caption) in enumerate(pictures):
            column = n % 2
            if column == 0 and self.will_page_break(height + 8):
                self.add_page()
            top, left = self.get_y(), _MARGIN + column * (width + 5)
            self._use(7)
            try:
                self.image(path, x=left, y=top, w=width, h=height, keep_aspect_ratio=True)
            except (OSError, SyntaxError, ValueError, FPDFException):
                self.text(left, top + 10, "This picture cannot be shown; it is beside this document.")
            self.text(left, top + height + 4, self._shown(caption)[:60])
            if column == 1 or n == len(pictures) - 1:
                self.set_xy(_MARGIN, top + height + 8)

    def _event(self, event: Sequence[str]) -> None:
        if self.will_page_break(12):
            self.add_page()
        self._lines(event[0], 8, bold=True)
        self._lines(event[1], 6.5, below=1)


def _wrap(text: str) -> WrapMode:
    """A word that is longer than a line cannot be broken between words."""
    return WrapMode.CHAR if any(len(word) > 60 for word in text.split()) else WrapMode.WORD


def _in_core_font(c: str) -> bool:
    try:
        c.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return c.isprintable()


if __name__ == "__main__":
    main()
