"""Draws the page's PNG icons from its SVG, which is made of rectangles only: `python -m scripts.icons`, or `python scripts/icons.py`."""

import re
import struct
import zlib
from pathlib import Path

STATIC = Path(__file__).resolve().parents[1] / "agent" / "operator" / "web" / "static"
_RECT = re.compile(r'<rect(?: x="(\d+)" y="(\d+)")? width="(\d+)" height="(\d+)" fill="#([0-9a-f]{3,6})"/>')
_UNITS = 64


def main() -> None:
    svg = (STATIC / "icon.svg").read_text()
    for size in (192, 512):
        (STATIC / f"icon-{size}.png").write_bytes(drawn(svg, size))


def drawn(svg: str, size: int) -> bytes:
    pixels = [[(0, 0, 0)] * size for _ in range(size)]
    for x, y, width, height, color in _RECT.findall(svg):
        left, top, right, bottom = (
            int(value or 0) * size // _UNITS for value in (x, y, int(x or 0) + int(width), int(y or 0) + int(height))
        )
        for row in pixels[top:bottom]:
            row[left:right] = [_rgb(color)] * (right - left)
    rows = b"".join(b"\0" + bytes(value for pixel in row for value in pixel) for row in pixels)
    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows, 9)) + _chunk(b"IEND", b"")


def _rgb(color: str) -> tuple[int, int, int]:
    full = color if len(color) == 6 else "".join(2 * digit for digit in color)
    return int(full[0:2], 16), int(full[2:4], 16), int(full[4:6], 16)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


if __name__ == "__main__":
    main()
