"""Pictures made small enough. For child processes only: Pillow is in here."""

import io

from PIL import Image

_QUALITIES = (88, 75, 60, 40, 25)


def shrunk(picture: Image.Image, longest_px: int) -> Image.Image:
    """No longer than that on its longer side; the one that is given stays as it is."""
    smaller = picture.copy()
    smaller.thumbnail((longest_px, longest_px), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return smaller


def encoded(picture: Image.Image, largest_bytes: int) -> bytes:
    """A JPEG of no more than that, as far as a JPEG can be: only much detail, or noise, needs a second try."""
    content = b""
    for quality in _QUALITIES:
        written = io.BytesIO()
        picture.save(written, "JPEG", quality=quality, optimize=True)
        content = written.getvalue()
        if len(content) <= largest_bytes:
            break
    return content
