"""The picture that goes with a notice, read from the store when the notice is sent."""

import asyncio
from pathlib import Path
from typing import NamedTuple

from agent.domain.errors import Refused

LARGEST_BYTES = 5_000_000
"""More would keep a slow uplink busy for longer than somebody is to wait for the call. A camera's 1080p picture has about 0.5 MB."""
_KINDS = {b"\xff\xd8\xff": ("picture.jpg", "image/jpeg"), b"\x89PNG\r\n\x1a\n": ("picture.png", "image/png")}


class Picture(NamedTuple):
    """A JPEG or PNG. `name` has the ending that tells programs what it is; the file in the store has none."""

    path: Path
    content: bytes
    name: str
    media_type: str


async def read_picture(path: Path) -> Picture:
    """Refused where it is not there, cannot be read, is too large, or is neither JPEG nor PNG."""
    content = await asyncio.to_thread(_read, path)
    for begins, (name, media_type) in _KINDS.items():
        if content.startswith(begins):
            return Picture(path, content, name, media_type)
    raise Refused("The picture is neither a JPEG nor a PNG.", hint="What does the printer's camera send?")


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise Refused(f"The picture cannot be read: {error.strerror}.", hint="Was data_dir tidied up, or the disk?") from error
    if len(content) > LARGEST_BYTES:
        hint = "A lower resolution of the camera is enough."
        raise Refused(f"The picture has more than {LARGEST_BYTES / 1e6:.0f} MB.", hint=hint)
    return content
