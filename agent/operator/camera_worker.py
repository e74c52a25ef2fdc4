"""The child process one camera's picture is read in: `python -m agent.operator.camera_worker PICTURE LARGE SMALL`.

← {"refused": text}          it is no picture that can be shown
← {"width", "height"}        of the small one; LARGE and SMALL are JPEGs made anew, so nothing of PICTURE is left but what is seen
"""

import sys
import warnings
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps, UnidentifiedImageError

from agent.operator.shrinking import encoded, shrunk
from agent.wire.confined import answer, confine

LARGE_PX, LARGE_BYTES = 1280, 250_000
SMALL_PX, SMALL_BYTES = 480, 16_000
"""Three are in sight at once on a phone, and a page has 100 kB for its first load."""
MOST_PIXELS = 60_000_000


def main() -> None:
    confine()
    warnings.simplefilter("ignore")  # about what is refused or dropped here anyway; stderr is for what went wrong
    answer(_made(*map(Path, sys.argv[1:4])))


def _made(path: Path, large: Path, small: Path) -> dict[str, Any]:
    Image.MAX_IMAGE_PIXELS = None  # our own limit is stricter, and asked first
    try:
        with Image.open(path, formats=["JPEG"]) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                return {"refused": f"it has {opened.width} × {opened.height} pixels"}
            opened.draft("RGB", (LARGE_PX, LARGE_PX))
            picture = shrunk(ImageOps.exif_transpose(opened).convert("RGB"), LARGE_PX)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError):
        return {"refused": "it is damaged, or not complete"}
    bare = Image.new("RGB", picture.size)
    bare.paste(picture)
    large.write_bytes(encoded(bare, LARGE_BYTES))
    little = shrunk(bare, SMALL_PX)
    small.write_bytes(encoded(little, SMALL_BYTES))
    return {"width": little.width, "height": little.height}


if __name__ == "__main__":
    main()
