"""Checking the operator's photos: what cannot be used is refused, what could be better is hinted at, and what a phone adds is taken off.

Nothing heavy is imported here. The picture is read, cleaned and measured in a process of its own (`photo_worker`), one a photo.
"""

from collections.abc import Sequence
from pathlib import Path

import structlog

from agent.domain.errors import NeedsOperator, Refused
from agent.domain.mesh import Reason
from agent.domain.values import Value
from agent.ports.files import FileStore
from agent.wire.child import Limits
from agent.wire.confined import Died, ask

_log = structlog.get_logger()

LARGEST_PHOTO_BYTES = 30_000_000
_LIMITS = Limits(wall_s=20, cpu_s=10, memory_bytes=1024 * 2**20, file_bytes=8_000_000)
"""A photo of twelve megapixels takes a second and a tenth of the memory; one of two hundred is meant to pass as well."""
_WORKER = "agent.operator.photo_worker"

# Measured on pictures that tests make (tests/operator/test_photos.py): see docs/decisions/0022.
SHARP = 0.1
SMALL_PX = 600
DARK_BRIGHTEST = 70.0
BRIGHT_DARKEST, BRIGHT_CLIPPED = 200.0, 0.8
ALIKE = 0.25
"""Of what stands out in either of two pictures, so much may be another: scaled and encoded anew it is less, from another side far more."""


class CheckedPhoto(Value):
    """`sha256`: the cleaned JPEG in the store, upright, without place, time and camera; empty where `refused` says why it cannot be used.
    `small_sha256`: the same for a list of several; empty where there is none.

    `hints` are advice, never an obstacle. `fingerprint`: to tell photos that are alike; hexadecimal.
    """

    sha256: str = ""
    small_sha256: str = ""
    width: int = 0
    height: int = 0
    hints: list[Reason] = []
    refused: Reason | None = None
    fingerprint: str = ""


async def check_photos(photos: Sequence[Path], store: FileStore) -> list[CheckedPhoto]:
    """Each photo of one order, in this order; one that is nearly the same as an earlier one is told so."""
    checked: list[CheckedPhoto] = []
    for path in photos:
        checked.append(with_duplicate_hint(await check_photo(path, store), checked))
    return checked


async def check_photo(photo: Path, store: FileStore) -> CheckedPhoto:
    """Refused (no_photo) where there is no such file; NeedsOperator (disk_full) where the cleaned one finds no room."""
    size = _size(photo)
    if size > LARGEST_PHOTO_BYTES:
        text = f"The photo has {size / 1e6:.0f} MB; up to {LARGEST_PHOTO_BYTES / 1e6:.0f} MB are taken. Take it with a smaller size."
        return _refused("too_large", text)
    output, small = store.new_temporary(".jpg"), store.new_temporary(".jpg")
    try:
        try:
            told = await ask(_WORKER, [str(path.absolute()) for path in (photo, output, small)], _LIMITS)
        except Died as died:
            _log.warning("photo_check_died", photo=str(photo), why=str(died))
            _refuse_full_disk(str(died))
            return _refused("too_costly", "Looking at the picture took more time or memory than a photo does. Take it again.")
        if "refused" in told:
            return _refused(*told["refused"])
        kept = {"sha256": store.adopt(output), "small_sha256": store.adopt(small)}
        return CheckedPhoto.model_validate({**told, **kept, "hints": _hints(told)})
    finally:
        output.unlink(missing_ok=True)
        small.unlink(missing_ok=True)


def with_duplicate_hint(photo: CheckedPhoto, others: Sequence[CheckedPhoto]) -> CheckedPhoto:
    """`others`: the earlier photos of the same order."""
    for n, other in enumerate(others, start=1):
        if photo.sha256 and other.sha256 and alike(photo, other):
            hint = Reason(code="duplicate", text=f"It is nearly the same as photo {n}: take one from another side.")
            return photo.model_copy(update={"hints": [*photo.hints, hint]})
    return photo


def alike(one: CheckedPhoto, other: CheckedPhoto) -> bool:
    """Also two in which nothing stands out at all."""
    here, there = int(one.fingerprint, 16), int(other.fingerprint, 16)
    return (here ^ there).bit_count() <= ALIKE * (here | there).bit_count()


def _size(photo: Path) -> int:
    try:
        if photo.is_file():
            return photo.stat().st_size
        why = "it is no file"
    except OSError as error:
        why = error.strerror or str(error)
    raise Refused(f"{photo} cannot be read: {why}.", hint="Give the path of a photo.", code="no_photo")


def _refused(code: str, text: str) -> CheckedPhoto:
    return CheckedPhoto(refused=Reason(code=code, text=text))


def _refuse_full_disk(why: str) -> None:
    if "No space left on device" in why or "Disk quota exceeded" in why:
        raise NeedsOperator("The disk is full: the photo cannot be kept.", hint="Free some space, then send it again.", code="disk_full")


def _hints(told: dict[str, float]) -> list[Reason]:
    """One about the light hides the one about sharpness: without light nothing is sharp."""
    found = []
    if told["brightest"] < DARK_BRIGHTEST:
        found.append(Reason(code="dark", text="It is too dark: turn on the light."))
    elif told["darkest"] > BRIGHT_DARKEST or told["clipped_share"] > BRIGHT_CLIPPED:
        found.append(Reason(code="bright", text="It is too bright: turn away from the light, or tap on the part before you take it."))
    elif told["sharpness"] < SHARP:
        found.append(Reason(code="blurred", text="It is blurred: hold still, wipe the lens, tap on the part before you take it."))
    if min(told["width"], told["height"]) < SMALL_PX:
        found.append(Reason(code="small", text=f"It has only {told['width']:.0f} × {told['height']:.0f} pixels: flaws may not be seen."))
    return found
