"""A carrier's label as a small real PDF: one page of 4 × 6 inches, written by hand after ISO 32000-1, 7.5 (file structure)."""

import hashlib
from collections.abc import Sequence

_WIDTH, _HEIGHT = 288, 432  # 4 × 6 inches in points
_LEFT = 24


def label_pdf(lines: Sequence[str], tracking_number: str) -> bytes:
    """One page with a frame, these lines of text and bars drawn from the tracking number. The same input gives the same bytes."""
    drawing = "\n".join([_frame(), *_text(lines), *_bars(tracking_number)]).encode("ascii")
    return _file(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {_WIDTH} {_HEIGHT}] /Contents 4 0 R "
            "/Resources << /Font << /F1 5 0 R >> >> >>".encode(),
            b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawing), drawing),
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        ]
    )


def _frame() -> str:
    return f"1 w 12 12 {_WIDTH - 24} {_HEIGHT - 24} re S"


def _text(lines: Sequence[str]) -> list[str]:
    top = _HEIGHT - 48
    return [f"BT /F1 12 Tf {_LEFT} {top - 18 * row} Td ({_escaped(line)}) Tj ET" for row, line in enumerate(lines)]


def _escaped(line: str) -> str:
    """A PDF string of printable ASCII: what is outside becomes a question mark, brackets and backslash are escaped."""
    plain = "".join(c if " " <= c <= "~" else "?" for c in line)
    return plain.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")


def _bars(tracking_number: str) -> list[str]:
    """Upright bars of one or two points. It looks like a bar code; no scanner reads it."""
    bits = "".join(f"{byte:08b}" for byte in hashlib.sha256(tracking_number.encode()).digest()[:10])
    return [f"{_LEFT + 3 * place} 60 {1 + int(bit)} 90 re f" for place, bit in enumerate(bits)]


def _file(objects: Sequence[bytes]) -> bytes:
    """Header, numbered objects, cross-reference table with each one's byte offset, trailer."""
    written = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    offsets: list[int] = []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(written))
        written += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = len(written)
    written += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    written += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    written += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table)
    return bytes(written)
