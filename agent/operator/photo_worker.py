"""The child process one photo is looked at in: `python -m agent.operator.photo_worker PHOTO OUTPUT SMALL`.

← {"refused": [code, text]}                                     it cannot be used
← {"width", "height", "sharpness", "darkest", "brightest",      OUTPUT holds the cleaned JPEG, SMALL the same for a list of several;
   "middle", "clipped_share", "fingerprint"}                    what was measured on the first
"""

import io
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from agent.operator.photo_bytes import Unusable, kind_of, refuse_polyglot
from agent.operator.shrinking import encoded, shrunk
from agent.wire.confined import answer, confine

LONGEST_PX = 2560
"""The longer side of what is kept, at most."""
ENOUGH_PX = 1800
"""A JPEG is decoded at half, a quarter or an eighth of its size where that leaves its longer side as long as this: that takes no time."""
LARGEST_BYTES = 4_000_000
SMALL_PX, SMALL_BYTES = 360, 24_000
"""Shown 120 pixels wide, of which phones make three each."""
MOST_PIXELS = {"JPEG": 220_000_000, "PNG": 60_000_000, "WEBP": 60_000_000}
"""A JPEG is decoded at a fraction of its size, so phones with 200 megapixels are let in; the others must be decoded whole."""
LEAST_PX = 240
"""The shorter side of what a person can judge a part on at all."""
_MEASURED_PX = 1024
"""The longer side of the grey picture that everything is measured on, so that one limit holds for every camera."""
_TILES = 8
_CLIPPED = 252
_LEAST_CONTRAST = 5.0
_CLEARLY = 0.05
_Light = np.ndarray[Any, np.dtype[np.float32]]


def main() -> None:
    confine()
    warnings.simplefilter("ignore")  # about what is refused or dropped here anyway; stderr is for what went wrong
    answer(_looked_at(*map(Path, sys.argv[1:4])))


def _looked_at(path: Path, output: Path, small: Path) -> dict[str, Any]:
    content = path.read_bytes()
    try:
        kind = kind_of(content)
        refuse_polyglot(content, kind)
        picture = _decoded(content, kind)
    except Unusable as unusable:
        return {"refused": [unusable.code, str(unusable)]}
    output.write_bytes(encoded(picture, LARGEST_BYTES))
    small.write_bytes(encoded(shrunk(picture, SMALL_PX), SMALL_BYTES))
    return {"width": picture.width, "height": picture.height, **measured(picture)}


def _decoded(content: bytes, kind: str) -> Image.Image:
    """As a person sees it: turned upright, in sRGB, no larger than is kept, and nothing else of the file."""
    Image.MAX_IMAGE_PIXELS = None  # our own limits are stricter, and asked first
    try:
        with Image.open(io.BytesIO(content), formats=[kind]) as opened:
            _refuse_by_header(opened, kind)
            if kind == "JPEG":
                width, height = (max(1, ENOUGH_PX * side // max(opened.size)) for side in opened.size)
                opened.draft("RGB", (width, height))
            opened.load()
            # Not every frame but the first: phones put a depth map, or a second exposure, behind a JPEG.
            return _clean(opened)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError) as broken:
        raise Unusable("broken", "The picture is damaged or not complete. Take it again, or send it once more.") from broken


def _refuse_by_header(opened: Image.Image, kind: str) -> None:
    width, height = opened.size
    if width * height > MOST_PIXELS[kind]:
        raise Unusable("too_large", f"The picture has {width} × {height} pixels, more than is taken. Take it with a smaller size.")
    if min(width, height) < LEAST_PX:
        raise Unusable("too_small", f"The picture has {width} × {height} pixels. At least {LEAST_PX} on the shorter side are needed.")
    if kind != "JPEG" and getattr(opened, "is_animated", False):
        raise Unusable("animated", "It is an animation. A photo is needed.")


def _clean(opened: Image.Image) -> Image.Image:
    profile = opened.info.get("icc_profile")
    picture = ImageOps.exif_transpose(opened)
    picture.thumbnail((LONGEST_PX, LONGEST_PX), Image.Resampling.LANCZOS, reducing_gap=2.0)
    picture = _in_rgb(picture, profile)
    bare = Image.new("RGB", picture.size)
    bare.paste(picture)
    return bare


def _in_rgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    if picture.mode.startswith("I"):  # sixteen bits a grey
        return Image.fromarray((np.asarray(picture, np.uint32) >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture).convert("RGB")
    if profile and picture.mode == "RGB":
        try:
            given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            converted = ImageCms.profileToProfile(picture, given, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError):
            return picture  # a profile that is broken: the colours stay as the numbers say
        return converted or picture
    return picture.convert("RGB")


def measured(picture: Image.Image) -> dict[str, Any]:
    """Light from 0 to 255, the darkest and the brightest without the outermost 5 %.

    `sharpness`: see there. `fingerprint`: 1024 bits, of which most that are set stay when a picture is scaled or encoded anew.
    """
    grey = picture.convert("L")
    grey.thumbnail((_MEASURED_PX, _MEASURED_PX), Image.Resampling.BOX)
    light = np.asarray(grey, np.float32)
    dark, middle, bright = np.percentile(light, (5, 50, 95))
    return {
        "sharpness": round(sharpness(light), 2),
        "darkest": round(float(dark), 1),
        "middle": round(float(middle), 1),
        "brightest": round(float(bright), 1),
        "clipped_share": round(float(np.mean(light >= _CLIPPED)), 3),
        "fingerprint": _fingerprint(grey),
    }


def sharpness(light: _Light) -> float:
    """The variance of the Laplacian over the variance of the light itself, in the tile of 64 that is the tenth part from the best.

    Over the light's own: a pale part is as sharp as one of strong contrast. By tiles: so is one that is small before a plain wall.
    Tiles in which nothing can be told from noise do not count; 0 where there are no others.
    """
    around = light[:-2, 1:-1] + light[2:, 1:-1] + light[1:-1, :-2] + light[1:-1, 2:]
    inner = light[1:-1, 1:-1]
    seen = sorted(
        float(detail.var() / tile.var())
        for tile, detail in zip(_tiles(inner), _tiles(4 * inner - around), strict=True)
        if tile.var() >= _LEAST_CONTRAST**2
    )
    return seen[-1 - len(seen) // 10] if seen else 0.0


def _tiles(light: _Light) -> Iterator[_Light]:
    for row in np.array_split(light, _TILES):
        yield from np.array_split(row, _TILES, axis=1)


def _fingerprint(grey: Image.Image) -> str:
    """Where a picture of 17 × 17 becomes clearly brighter, and where darker, to the right and downwards."""
    small = np.asarray(grey.resize((17, 17), Image.Resampling.BOX), np.float32)
    clearly = max(2.0, float(np.ptp(small)) * _CLEARLY)
    right, down = np.diff(small, axis=1)[:16], np.diff(small, axis=0)[:, :16]
    bits = [right > clearly, right < -clearly, down > clearly, down < -clearly]
    return np.packbits(np.stack(bits)).tobytes().hex()


if __name__ == "__main__":
    main()
