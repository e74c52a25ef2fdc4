"""Files on their way to a real Moonraker: large, cut off, mixed up, doubled."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.domain.errors import Transient
from agent.printers.moonraker import web
from tests.printers.benches import new_name
from tests.printers.moonraker_bench import MoonrakerBench

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("klipper")]

MB = 1_000_000


def _large(folder: Path, letter: str, size: int) -> Path:
    path = folder / f"{letter}.gcode"
    line = f"; {letter * 60}\n".encode()
    with path.open("wb") as file:
        for _ in range(size // MB):
            file.write(line * (MB // len(line)))
    return path


async def test_uploads_that_moonraker_mixes_up_are_found_out(klipper: MoonrakerBench, tmp_path: Path) -> None:
    """Its temporary file is named by the second. It says 201, with a right checksum, to what it stored wrongly; it is sent again."""
    files = {new_name(): _large(tmp_path, letter, 25 * MB) for letter in "ab"}
    async with klipper.another_adapter() as other:
        pairs = zip((klipper.printer, other), files.items(), strict=True)
        ends = await asyncio.gather(*(printer.upload(file, name) for printer, (name, file) in pairs), return_exceptions=True)
    assert ends == [None, None]
    for name, file in files.items():
        assert (klipper.server.gcodes / name).read_bytes() == file.read_bytes()


async def test_a_file_that_was_damaged_on_its_way_is_not_kept(klipper: MoonrakerBench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "APART_S", (0.0, 0.0))
    monkeypatch.setattr(web, "_sha256", lambda _path: "0" * 64)
    name = new_name()
    with pytest.raises(Transient) as damaged:
        await klipper.printer.upload(klipper.brief, name)
    assert damaged.value.code == "damaged"
    assert not (klipper.server.gcodes / name).exists()


@pytest.fixture(autouse=True)
async def _no_file_stays(klipper: MoonrakerBench) -> AsyncIterator[None]:
    yield
    for file in klipper.server.gcodes.iterdir():
        if file.is_file() and file.stat().st_size > 10 * MB:
            file.unlink()
