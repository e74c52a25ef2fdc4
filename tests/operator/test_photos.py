"""Photos as phones send them, and files that are none: what is kept, what is hinted at, what is refused. Pictures are made here."""

import dataclasses
import functools
import io
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from agent.domain.errors import NeedsOperator, Refused
from agent.ledger.files import DiskStore
from agent.operator import photo_worker, photos, shrinking
from agent.operator.photo_bytes import Unusable, kind_of, refuse_polyglot
from agent.operator.photos import LARGEST_PHOTO_BYTES, CheckedPhoto, check_photo, check_photos
from tests.conftest import FIGURES, Tell


def scene(shift: int = 0, size: tuple[int, int] = (1600, 1200)) -> Image.Image:
    """A blue part with the lines of its layers, before a wall that is lit from the right, with a camera's noise."""
    width, height = size
    wall = np.linspace(140, 200, width, dtype=np.float32)[None, :].repeat(height, axis=0)
    picture = Image.fromarray(wall.astype(np.uint8)).convert("RGB")
    draw = ImageDraw.Draw(picture)
    left, top, right, bottom = width * 3 // 10 + shift, height * 3 // 10, width * 7 // 10 + shift, height * 3 // 4
    draw.rectangle((left, top, right, bottom), fill=(40, 60, 140))
    for y in range(top, bottom, height // 130):
        draw.line((left, y, right, y), fill=(60, 80, 165), width=max(1, height // 600))
    draw.ellipse((left + 200, top + 150, left + 350, top + 300), fill=(200, 200, 205))
    noise = np.random.default_rng(7).normal(0, 3, (height, width, 1))
    return Image.fromarray((np.asarray(picture, np.float32) + noise).clip(0, 255).astype(np.uint8))


def encoded(picture: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    written = io.BytesIO()
    picture.save(written, kind, **({"quality": 85} | options if kind == "JPEG" else options))
    return written.getvalue()


@functools.cache
def good() -> Image.Image:
    """Made where a test needs it: each worker of a run imports this file, and few of them run it."""
    return scene()


@functools.cache
def good_jpeg() -> bytes:
    return encoded(good())


@pytest.fixture
def store(tmp_path: Path) -> DiskStore:
    opened = DiskStore(tmp_path / "files")
    opened.open()
    return opened


@pytest.fixture
def photo(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(content: bytes) -> Path:
        path = tmp_path / f"photo-{len(list(tmp_path.iterdir()))}"
        path.write_bytes(content)
        return path

    return write


def codes(checked: CheckedPhoto) -> list[str]:
    return [hint.code for hint in checked.hints]


# --- what is kept ----------------------------------------------------------------------------------------------------
async def test_place_time_and_camera_are_gone_and_the_picture_stands_upright(store: DiskStore, photo: Callable[[bytes], Path]) -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0110] = 6, "Camera Maker", "Model 12345"
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 8.0, 14.0), 3: "E", 4: (11.0, 34.0, 31.0)})
    content = encoded(good(), exif=exif, comment=b"written by hand", xmp=b"<x:xmpmeta>secret</x:xmpmeta>")
    assert b"Camera Maker" in content and b"written by hand" in content and b"secret" in content
    checked = await check_photo(photo(content), store)
    kept = store.path(checked.sha256).read_bytes()
    assert (checked.refused, checked.width, checked.height) == (None, 1200, 1600), "turned as the camera was held"
    for word in (b"Camera", b"Model", b"written", b"secret", b"Exif", b"ICC", b"http"):
        assert word not in kept, word
    with Image.open(io.BytesIO(kept)) as cleaned:
        assert (cleaned.format, dict(cleaned.getexif()), cleaned.size) == ("JPEG", {}, (1200, 1600))
        assert set(cleaned.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
        # The light came from the right; turned clockwise it comes from below.
        light = np.asarray(cleaned.convert("L"), np.float32)
        assert light[-50:].mean() > light[:50].mean() + 30


@pytest.mark.parametrize(
    "content",
    [
        lambda: encoded(good(), "PNG", compress_level=1),
        lambda: encoded(good(), "WEBP", quality=80, method=0),
        lambda: encoded(good().convert("L")),
        lambda: encoded(good().convert("CMYK")),
        lambda: encoded(good(), progressive=True),
        lambda: encoded(good().convert("RGBA"), "PNG", compress_level=1),
        lambda: encoded(good().convert("P"), "PNG", compress_level=1),
        lambda: good_jpeg() + b"\0\0\0\x18ftypmp42" + bytes(5000),  # a phone's moving photo
        lambda: good_jpeg() + good_jpeg(),  # and its second exposure
    ],
    ids=["png", "webp", "grey", "cmyk", "progressive", "rgba", "palette", "with a film behind it", "with another behind it"],
)
def test_what_cameras_and_programs_write_is_taken(content: Callable[[], bytes], tmp_path: Path) -> None:
    """In this process: what is judged is the same, and none of these is hostile."""
    (tmp_path / "photo").write_bytes(content())
    told = photo_worker._looked_at(tmp_path / "photo", tmp_path / "kept", tmp_path / "small")
    assert (told["width"], told["height"]) == (1600, 1200)
    kept = Image.open(tmp_path / "kept")
    difference = np.abs(np.asarray(kept.convert("L"), np.float32) - np.asarray(good().convert("L"), np.float32)).mean()
    assert difference < 20, "it shows what was photographed"


def test_sixteen_bits_and_transparency_become_what_a_person_sees(tmp_path: Path) -> None:
    deep = Image.fromarray(np.full((300, 400), 0x8000, np.uint16))
    clear = Image.new("RGBA", (400, 300), (255, 0, 0, 0))
    for picture, grey in ((deep, 128), (clear, 255)):
        (tmp_path / "photo").write_bytes(encoded(picture, "PNG"))
        photo_worker._looked_at(tmp_path / "photo", tmp_path / "kept", tmp_path / "small")
        assert abs(np.asarray(Image.open(tmp_path / "kept"), np.float32).mean() - grey) < 2


async def test_twelve_megapixels_take_about_a_second_and_become_small(
    store: DiskStore, photo: Callable[[bytes], Path], record_property: Tell
) -> None:
    path = photo(encoded(good().resize((4000, 3000), Image.Resampling.NEAREST), quality=92))
    began = time.monotonic()
    checked = await check_photo(path, store)
    took = time.monotonic() - began
    record_property(FIGURES, f"photo of 12 MP, {path.stat().st_size / 1e6:.1f} MB: checked and cleaned in {took:.2f} s")
    assert (checked.refused, checked.width, codes(checked)) == (None, 2000, [])
    assert store.path(checked.sha256).stat().st_size < photo_worker.LARGEST_BYTES
    small = store.path(checked.small_sha256).read_bytes()
    assert len(small) <= photo_worker.SMALL_BYTES and Image.open(io.BytesIO(small)).size == (360, 270)


def test_not_even_noise_is_kept_large() -> None:
    noise = Image.fromarray(np.random.default_rng(3).integers(0, 256, (2560, 2560, 3), np.uint8))
    assert len(shrinking.encoded(noise, photo_worker.LARGEST_BYTES)) <= photo_worker.LARGEST_BYTES


# --- what is hinted at -------------------------------------------------------------------------------------------------
def _plain_part() -> Image.Image:
    """A grey part before a grey wall: hardly any detail, and sharp."""
    picture = Image.new("RGB", (1600, 1200), (180, 180, 180))
    ImageDraw.Draw(picture).rectangle((600, 400, 920, 760), fill=(225, 225, 225))
    return picture


def _shaken(picture: Image.Image, pixels: int) -> Image.Image:
    still, light = np.asarray(picture), np.zeros((picture.height, picture.width, 3), np.uint16)
    for n in range(pixels):
        light += np.roll(still, (n, n), axis=(0, 1))
    return Image.fromarray((light // pixels).astype(np.uint8))


@pytest.mark.parametrize(
    ("made", "hints"),
    [
        (good, []),
        (_plain_part, []),
        (lambda: good().filter(ImageFilter.GaussianBlur(1)), []),
        (lambda: good().filter(ImageFilter.GaussianBlur(4)), ["blurred"]),
        (lambda: _plain_part().filter(ImageFilter.GaussianBlur(3)), ["blurred"]),
        (lambda: _shaken(good(), 24), ["blurred"]),
        (lambda: Image.new("RGB", (1600, 1200), (150, 150, 150)), ["blurred"]),
        (lambda: good().point(lambda light: light * 0.6), []),
        (lambda: good().point(lambda light: light * 0.25), ["dark"]),
        (lambda: Image.new("RGB", (1600, 1200)), ["dark"]),
        (lambda: good().point(lambda light: min(255, light + 30)), []),
        (lambda: good().point(lambda light: min(255, light + 190)), ["bright"]),
        (lambda: good().resize((640, 480)), ["small"]),
    ],
    ids=[
        "sharp",
        "sharp, plain",
        "soft",
        "blurred",
        "blurred, plain",
        "shaken",
        "a wall",
        "dim",
        "dark",
        "black",
        "light",
        "glare",
        "small",
    ],
)
def test_hints(made: Callable[[], Image.Image], hints: list[str]) -> None:
    """In this process: one for each picture would take half a minute."""
    picture = made()
    told = {"width": picture.width, "height": picture.height, **photo_worker.measured(picture)}
    assert [hint.code for hint in photos._hints(told)] == hints, told


async def test_nearly_the_same_photo_twice_is_told_another_side_is_not(store: DiskStore, photo: Callable[[bytes], Path]) -> None:
    again = encoded(good().resize((1100, 825)).point(lambda light: min(255, light * 1.1)), quality=60)
    sent = [photo(content) for content in (good_jpeg(), encoded(scene(shift=200)), again)]
    first, other, same = await check_photos(sent, store)
    assert (codes(first), codes(other), codes(same)) == ([], [], ["duplicate"])
    assert "photo 1" in same.hints[0].text
    assert len({first.sha256, other.sha256, same.sha256}) == 3 and all(map(store.has, (first.sha256, same.sha256)))


# --- what is refused ---------------------------------------------------------------------------------------------------
def _png_bomb(width: int, height: int) -> bytes:
    """A PNG of a few kilobytes that says it is this large."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(1_000_000))) + chunk(b"IEND", b"")


def _animation(kind: str) -> bytes:
    frames = [good().resize((400, 300)), scene(100, (400, 300))]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=100)


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (lambda: b"", "empty", "empty"),
        (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "not_a_photo", "SVG"),
        (lambda: b"\xef\xbb\xbf  <?xml version='1.0'?><svg/>", "not_a_photo", "SVG"),
        (lambda: encoded(good().resize((300, 300)), "GIF"), "not_a_photo", "a GIF"),
        (lambda: encoded(good().resize((300, 300)), "TIFF"), "not_a_photo", "a TIFF"),
        (lambda: b"\0\0\0\x18ftypheic" + bytes(100), "not_a_photo", "most compatible"),
        (lambda: b"solid cube", "not_a_photo", "JPEG"),
        (lambda: good_jpeg()[:20_000], "broken", "damaged"),
        (lambda: good_jpeg()[:-200], "broken", "damaged"),
        (lambda: encoded(good(), "PNG", compress_level=1)[:-5000], "broken", "damaged"),
        (lambda: b"\xff\xd8\xff", "broken", "damaged"),
        (lambda: b"RIFF\x10\0\0\0WEBPVP8 a photo", "broken", "damaged"),
        (lambda: _animation("PNG"), "animated", "animation"),
        (lambda: _animation("WEBP"), "animated", "animation"),
        (lambda: _png_bomb(30_000, 30_000), "too_large", "30000"),
        (lambda: _png_bomb(7_000, 7_000), "broken", "damaged"),
        (lambda: encoded(good().resize((200, 150))), "too_small", "200"),
        (lambda: good_jpeg() + b"PK\x03\x04" + bytes(100), "polyglot", "goes on"),
        (lambda: good_jpeg() + b"\n<?php system($_GET[0]);", "polyglot", "goes on"),
        (lambda: encoded(good().resize((300, 300)), "PNG") + b"%PDF-1.7", "polyglot", "goes on"),
        (lambda: encoded(good().resize((300, 300)), "WEBP") + b"<html><script>", "polyglot", "goes on"),
    ],
)
def test_what_is_no_photo_is_refused_with_a_plain_reason(content: Callable[[], bytes], code: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "photo").write_bytes(content())
    refused, text = photo_worker._looked_at(tmp_path / "photo", tmp_path / "kept", tmp_path / "small")["refused"]
    assert (refused, says in text) == (code, True), text
    assert not any((tmp_path / name).exists() for name in ("kept", "small"))


async def test_a_refusal_comes_through_the_process_and_leaves_nothing(store: DiskStore, photo: Callable[[bytes], Path]) -> None:
    checked = await check_photo(photo(_png_bomb(30_000, 30_000)), store)
    assert checked.refused is not None and checked.refused.code == "too_large" and checked.sha256 == ""
    assert list(store.new_temporary().parent.iterdir()) == []


async def test_a_picture_that_takes_too_much_memory_ends_its_process_only(
    store: DiskStore, photo: Callable[[bytes], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    greedy = encoded(Image.new("RGB", (7000, 7000), (90, 90, 90)), "PNG", compress_level=1)
    monkeypatch.setattr(photos, "_LIMITS", dataclasses.replace(photos._LIMITS, memory_bytes=300 * 2**20))
    checked = await check_photo(photo(greedy), store)
    assert checked.refused is not None and checked.refused.code == "too_costly"
    assert (await check_photo(photo(good_jpeg()), store)).refused is None


@pytest.mark.parametrize("path", ["/nowhere/front.jpg", "/", "/dev/zero", "/dev/null"])
async def test_what_cannot_be_read_is_no_photo(store: DiskStore, path: str) -> None:
    with pytest.raises(Refused, check=lambda error: error.code == "no_photo" and bool(error.hint)):
        await check_photo(Path(path), store)


async def test_a_file_of_gigabytes_is_not_even_opened(store: DiskStore, tmp_path: Path) -> None:
    with (tmp_path / "huge.jpg").open("wb") as file:
        file.truncate(LARGEST_PHOTO_BYTES + 1)
    checked = await check_photo(tmp_path / "huge.jpg", store)
    assert checked.refused is not None and checked.refused.code == "too_large"


async def test_a_full_disk_is_no_fault_of_the_photo(tmp_path: Path, photo: Callable[[bytes], Path]) -> None:
    class Full(DiskStore):
        def new_temporary(self, suffix: str = "") -> Path:
            link = super().new_temporary(suffix)
            link.symlink_to("/dev/full")
            return link

    with pytest.raises(NeedsOperator, check=lambda error: error.code == "disk_full"):
        await check_photo(photo(good_jpeg()), Full(tmp_path / "full"))


@functools.cache
def small(kind: str) -> bytes:
    return encoded(good().resize((320, 240)), kind)


@given(
    kind=st.sampled_from(["JPEG", "PNG", "WEBP"]),
    cuts=st.lists(st.tuples(st.integers(0, 30_000), st.binary(max_size=6)), max_size=4),
    behind=st.binary(max_size=20),
)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_in_it_the_answer_is_a_clean_picture_or_a_reason(
    tmp_path: Path, kind: str, cuts: list[tuple[int, bytes]], behind: bytes
) -> None:
    content = bytearray(small(kind))
    for place, other in cuts:
        content[place : place + len(other)] = other
    (tmp_path / "photo").write_bytes(bytes(content) + behind)
    for name in ("kept", "small"):
        (tmp_path / name).unlink(missing_ok=True)
    told = photo_worker._looked_at(tmp_path / "photo", tmp_path / "kept", tmp_path / "small")
    if "refused" in told:
        assert told["refused"][0] and told["refused"][1].endswith(".")
    else:
        assert [kind_of((tmp_path / name).read_bytes()) for name in ("kept", "small")] == ["JPEG", "JPEG"]


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_no_bytes_are_taken_for_a_photo_by_accident(content: bytes) -> None:
    for start in (b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBP"):
        try:
            refuse_polyglot(start + content, kind_of(start + content))
        except Unusable as unusable:
            assert unusable.code and str(unusable)
