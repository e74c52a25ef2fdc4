"""What becomes an order of the files that are dropped, with real files and the real watchdog."""

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.domain.offer import OfferState, Supports
from agent.domain.values import Color
from tests.marketplaces.hot_folder.bench import ONE_ITEM, ORDER, STL, Logs, hot_folder, lying, offered, told, unwatched


async def test_an_stl_alone_is_an_order_with_the_folders_options(inbox: Path, tmp_path: Path) -> None:
    async with hot_folder(inbox) as market:
        (inbox / "Hook.STL").write_bytes(STL)
        (offer,) = await offered(market)
        assert offer.state is OfferState.OPEN
        assert offer.files_before_accept
        assert (offer.accept_by - offer.created_at).total_seconds() == 900
        assert 890 < offer.accept_within_s <= 900
        assert str(offer.payout) == "0.00 EUR"
        (item,), (file,) = offer.items, offer.files
        assert (item.quantity, item.material, item.color.name, item.infill_percent) == (1, "PLA", "black", 15)
        assert item.supports is Supports.OPERATOR
        assert (file.name, file.bytes, file.sha256) == ("Hook.STL", len(STL), hashlib.sha256(STL).hexdigest())
        await market.fetch(offer.offer_id, None, file.file_id, tmp_path / "copy", 1000)
        assert (tmp_path / "copy").read_bytes() == STL
        assert lying(inbox) == set()


@unwatched
@pytest.mark.parametrize(("name", "kind"), [("Hook.3MF", "model/3mf"), ("hook.obj", "model/obj"), ("h\u00f6ok.stl", "model/stl")])
async def test_a_model_of_any_format_alone_is_an_order(inbox: Path, name: str, kind: str) -> None:
    async with hot_folder(inbox, still_s=0) as market:
        (inbox / name).write_bytes(STL)
        (offer,) = await offered(market)
        assert [(file.name, file.media_type) for file in offer.files] == [(name, kind)]
        assert lying(inbox) == set()


@unwatched
async def test_an_order_file_takes_models_of_any_format(inbox: Path) -> None:
    (inbox / "hook.toml").write_text('[[items]]\nfile = "hook.3mf"\n[[items]]\nfile = "lid.OBJ"\n')
    for name in ("hook.3mf", "lid.OBJ"):
        (inbox / name).write_bytes(STL)
    async with hot_folder(inbox, still_s=0) as market:
        (offer,) = await offered(market)
        assert [file.name for file in offer.files] == ["hook.3mf", "lid.OBJ"]


@unwatched
async def test_a_name_that_is_too_long_keeps_its_ending(inbox: Path) -> None:
    (inbox / f"{'x' * 240}.3mf").write_bytes(STL)
    async with hot_folder(inbox, still_s=0) as market:
        (offer,) = await offered(market)
        assert len(offer.files[0].name) <= 200 and offer.files[0].name.endswith("….3mf")


@pytest.mark.parametrize("drops", [["order.toml", "hook.stl", "lid.stl"], ["hook.stl lid.stl", "order.toml"]])
async def test_an_order_file_and_its_stls_are_one_order_whichever_comes_first(inbox: Path, drops: list[str]) -> None:
    async with hot_folder(inbox) as market:
        for drop in drops:
            for name in drop.split():
                (inbox / name).write_bytes(ORDER.encode() if name.endswith("toml") else STL + name.encode())
            await market.offers()
        (offer,) = await offered(market)
        assert str(offer.payout) == "12.50 EUR"
        assert offer.ship_by == datetime(2026, 10, 24, 16, 0, tzinfo=UTC)
        assert offer.special_instructions == "gift wrap"
        assert [file.name for file in offer.files] == ["hook.stl", "lid.stl"]
        hook, lid = offer.items
        assert (hook.quantity, hook.material, hook.infill_percent, hook.layer_height_mm) == (2, "PETG", 40, 0.3)
        assert hook.color == Color(name="signal red", hex="#aa0000")
        assert hook.supports is Supports.NO
        assert (lid.quantity, lid.material, lid.color.name, lid.infill_percent) == (1, "PLA", "white", 15)
        assert offer.file(lid.file_id).name == "lid.stl"


async def test_an_order_waits_for_an_stl_that_is_not_there_yet_and_tells_once(inbox: Path, logs: Logs) -> None:
    async with hot_folder(inbox) as market:
        (inbox / "order.toml").write_text(ORDER)
        (inbox / "hook.stl").write_bytes(STL)
        (inbox / "other.stl").write_bytes(STL)
        (other,) = await offered(market)
        assert other.files[0].name == "other.stl"
        assert await told(market, logs, "hot_folder_waits", "order.toml") == "it names lid.stl, which is not there"
        (inbox / "lid.stl").write_bytes(STL)
        await offered(market, 2)
        assert len([entry for entry in logs if entry["event"] == "hot_folder_waits"]) == 1


@unwatched
async def test_the_same_model_twice_in_an_order_is_one_file(inbox: Path) -> None:
    (inbox / "order.toml").write_text('[[items]]\nfile = "hook.stl"\ncolor = "red"\n[[items]]\nfile = "hook.stl"\ncolor = "blue"\n')
    (inbox / "hook.stl").write_bytes(STL)
    async with hot_folder(inbox, still_s=0) as market:
        (offer,) = await offered(market)
        assert len(offer.files) == 1
        assert [item.color.name for item in offer.items] == ["red", "blue"]


@unwatched
async def test_the_same_file_dropped_twice_is_two_orders(inbox: Path) -> None:
    async with hot_folder(inbox, still_s=0) as market:
        (inbox / "hook.stl").write_bytes(STL)
        (first,) = await offered(market)
        (inbox / "hook.stl").write_bytes(STL)
        both = await offered(market, 2)
        assert both[0] == first.model_copy(update={"accept_within_s": both[0].accept_within_s})
        assert both[1].offer_id != first.offer_id


@unwatched
@pytest.mark.parametrize(
    "name", ["größe ☃.stl", "a b.stl", "two\nlines.stl", "-rf.stl", "$(reboot).stl", "x" * 240 + ".stl", "..a.stl"[1:] + ".stl"]
)
async def test_odd_names_are_taken_and_never_hurt(inbox: Path, tmp_path: Path, name: str) -> None:
    name = name.lstrip(".")
    async with hot_folder(inbox, still_s=0) as market:
        (inbox / name).write_bytes(STL)
        (offer,) = await offered(market)
        assert offer.files[0].name.isprintable()
        await market.fetch(offer.offer_id, None, "f1", tmp_path / "copy", 1000)
        assert (tmp_path / "copy").read_bytes() == STL


@unwatched
async def test_an_order_file_may_write_a_name_in_the_other_form_of_accents_and_case(inbox: Path) -> None:
    (inbox / "Cafe\u0301.STL").write_bytes(STL)
    (inbox / "order.toml").write_text('\ufeff[[items]]\r\nfile = "caf\u00e9.stl"\r\n')
    async with hot_folder(inbox, still_s=0) as market:
        (offer,) = await offered(market)
        assert offer.files[0].name == "Cafe\u0301.STL"


async def test_what_is_no_order_is_left_alone(inbox: Path, logs: Logs) -> None:
    ignored = {
        ".hook.stl",
        "hook.stl.part",
        "hook.stl.tmp",
        "hook.stl.crdownload",
        "hook.stl~",
        "readme.txt",
        "sub.stl",
        "pipe.stl",
        "link.stl",
    }
    for name in ignored - {"sub.stl", "pipe.stl", "link.stl"}:
        (inbox / name).write_bytes(STL)
    (inbox / "sub.stl").mkdir()
    (inbox / "sub.stl" / "inner.stl").write_bytes(STL)
    os.mkfifo(inbox / "pipe.stl")
    (inbox / "link.stl").symlink_to(inbox / "readme.txt")
    (inbox / "empty.stl").touch()
    async with hot_folder(inbox) as market:
        (inbox / "hook.stl").write_bytes(STL)
        (offer,) = await offered(market)
        assert offer.files[0].name == "hook.stl"
        assert "links are not followed" in await told(market, logs, "hot_folder_waits", "link.stl")
        assert await told(market, logs, "hot_folder_waits", "empty.stl") == "it is empty"
        assert lying(inbox) == ignored | {"empty.stl"}


@unwatched
async def test_a_name_that_is_not_utf8_is_told_and_left(inbox: Path, logs: Logs) -> None:
    (inbox / os.fsdecode(b"\xff\xfe.stl")).write_bytes(STL)
    async with hot_folder(inbox, still_s=0) as market:
        assert "not UTF-8" in await told(market, logs, "hot_folder_waits", "??.stl")
        assert await market.offers() == []


@unwatched
async def test_add_ons_are_part_of_the_order(inbox: Path) -> None:
    (inbox / "hook.stl").write_bytes(STL)
    sanding = '[[add_ons]]\ntitle = "sand the top"\nextra_pay = "2.00 EUR"\n[[add_ons]]\ntitle = "threaded insert M4"\n'
    (inbox / "order.toml").write_text(ONE_ITEM + sanding)
    async with hot_folder(inbox, still_s=0) as market:
        (offer,) = await offered(market)
        assert [(one.code, one.title, str(one.extra_pay or "")) for one in offer.add_ons] == [
            ("a1", "sand the top", "2.00 EUR"),
            ("a2", "threaded insert M4", ""),
        ]
        assert (await market.accept(offer.offer_id, "k")).add_ons == offer.add_ons


@unwatched
@pytest.mark.parametrize(
    ("name", "why"), [("orders.zip", "packed"), ("hook.STEP", "export it"), ("hook.gcode", "drop the model"), ("monday", "folder")]
)
async def test_what_people_drop_by_mistake_is_told_and_left(inbox: Path, logs: Logs, name: str, why: str) -> None:
    if name == "monday":
        (inbox / name).mkdir()
        (inbox / name / "hook.stl").write_bytes(STL)
    else:
        (inbox / name).write_bytes(STL)
    async with hot_folder(inbox, still_s=0) as market:
        assert why in await told(market, logs, "hot_folder_waits", name)
        assert (await market.offers(), lying(inbox)) == ([], {name})


@unwatched
async def test_what_waits_is_told_in_the_folder_itself_for_as_long_as_it_waits(inbox: Path) -> None:
    waiting = inbox / "WAITING.txt"
    (inbox / "order.toml").write_text(ONE_ITEM)
    (inbox / "all.zip").write_bytes(b"PK")
    (inbox / "a\nb.zip").write_bytes(b"PK")
    async with hot_folder(inbox, still_s=0) as market:
        await market.offers()
        await market.offers()
        lines = waiting.read_text().splitlines()
        assert "order.toml: it names hook.stl, which is not there." in lines
        assert len(lines) == 5
        written = waiting.stat().st_mtime_ns
        await market.offers()
        assert waiting.stat().st_mtime_ns == written
        for gone in inbox.glob("*.zip"):
            gone.unlink()
        (inbox / "hook.stl").write_bytes(STL)
        await offered(market)
        assert not waiting.exists()
    waiting.write_text("of an agent that was killed")
    async with hot_folder(inbox, still_s=0) as market:
        await market.offers()
    assert not waiting.exists()


@unwatched
async def test_a_model_larger_than_any_model_is_not_even_read(inbox: Path, logs: Logs) -> None:
    with (inbox / "huge.stl").open("wb") as file:
        file.truncate(1 << 42)
    (inbox / "hook.stl").write_bytes(STL)
    async with hot_folder(inbox, still_s=0) as market:
        (offer,) = await offered(market)
        assert offer.files[0].name == "hook.stl"
        assert "larger than" in await told(market, logs, "hot_folder_waits", "huge.stl")
        assert lying(inbox) == {"huge.stl"}
