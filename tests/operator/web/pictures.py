"""Photos as a phone takes them, as far as the checks can tell."""

import io
import random

from PIL import Image, ImageDraw


def photo_of_a_part(seed: int = 1, exif: Image.Exif | None = None) -> bytes:
    """A JPEG with edges, light and shade; another seed shows other things."""
    chance = random.Random(seed)
    picture = Image.new("RGB", (800, 640), (150, 150, 145))
    draw = ImageDraw.Draw(picture)
    for _ in range(60):
        x, y, size = chance.randrange(800), chance.randrange(640), chance.randrange(10, 160)
        shade = chance.randrange(10, 250)
        draw.rectangle((x, y, x + size, y + size // 2), fill=(shade, shade, chance.randrange(10, 250)))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=90, **({"exif": exif} if exif is not None else {}))
    return out.getvalue()
