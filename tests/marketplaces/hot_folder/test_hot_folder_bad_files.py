"""Order files that cannot be used: put aside with the reason, and their models are never printed without them."""

import asyncio
import contextlib
import os
import tempfile
from pathlib import Path
from unittest import mock

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.domain.offer import Offer
from agent.marketplaces.hot_folder.watch import FolderWatch
from tests.marketplaces.hot_folder.bench import ONE_ITEM, STL, Logs, hot_folder, lying, offered, rejected, told, unwatched

BAD = {
    "no toml": (b"this is a hook", "not valid TOML"),
    "not utf-8": ("file = 'größe.stl'".encode("latin-1"), "not UTF-8"),
    "utf-16": ('[[items]]\nfile = "hook.stl"'.encode("utf-16"), "not UTF-8"),
    "unknown option": (b'colour = 1\n[[items]]\nfile = "hook.stl"', "colour: there is no such option; did you mean color?"),
    "unknown item option": (
        b'[[items]]\nfile = "hook.stl"\nquantitty = 2',
        "item 1, quantitty: there is no such option; did you mean quantity?",
    ),
    "unknown color option": (b'[[items]]\nfile = "hook.stl"\ncolor = {name = "a", rgb = 1}', "item 1, color, rgb: there is no such option"),
    "nothing ordered": (b'payout = "1.00 EUR"', "items: expected this option; found nothing"),
    "no items": (b"items = []", "items: expected at least 1; found a list of 0"),
    "path": (b'[[items]]\nfile = "../hook.stl"', "without folders; found"),
    "windows path": (b"[[items]]\nfile = 'C:\\models\\hook.stl'", "without folders; found"),
    "hidden": (b'[[items]]\nfile = ".hook.stl"', "plain name of a model"),
    "no model": (b'[[items]]\nfile = "hook.step"', "plain name of a model"),
    "zero": (b'[[items]]\nfile = "hook.stl"\nquantity = 0', "item 1, quantity: expected at least 1; found 0"),
    "much": (b'[[items]]\nfile = "hook.stl"\nquantity = 99999999999999999999', "expected at most 10000; found a very big number"),
    "in quotes": (b'[[items]]\nfile = "hook.stl"\nquantity = "2"', 'a whole number without quotes; found "2"'),
    "bool": (b'[[items]]\nfile = "hook.stl"\nquantity = true', "a whole number without quotes; found true"),
    "not a number": (b'[[items]]\nfile = "hook.stl"\nlayer_height_mm = nan', "item 1, layer_height_mm: expected"),
    "infill": (b'[[items]]\nfile = "hook.stl"\ninfill_percent = 101', "expected at most 100; found 101"),
    "supports": (b'[[items]]\nfile = "hook.stl"\nsupports = "maybe"', "expected 'no', 'yes' or 'operator'; found \"maybe\""),
    "money": (b'payout = "12,50 EUR"\n[[items]]\nfile = "hook.stl"', "payout: expected an amount and a currency"),
    "day": (b'ship_by = "tomorrow"\n[[items]]\nfile = "hook.stl"', "ship_by: expected a day or a moment"),
    "year": (b'ship_by = 9999-12-31T23:59:59-12:00\n[[items]]\nfile = "hook.stl"', "ship_by: expected a day or a moment"),
    "long": (b"#" * 256_001, "larger than 256 kB"),
    "nested": (b"a = " + b"[" * 200_000, "many brackets"),
    "dotted": (b".".join([b"a"] * 100_000) + b" = 1", "names with dots"),
    "digits": (b"a = " + b"9" * 5000, "not valid TOML"),
}


@unwatched
@pytest.mark.parametrize("content", [pytest.param(*BAD[name][:1], id=name) for name in BAD])
async def test_a_bad_order_file_is_put_aside_with_its_stl_and_the_reason(inbox: Path, content: bytes, logs: Logs) -> None:
    expected = next(words for bad, words in BAD.values() if bad == content)
    (inbox / "hook.stl").write_bytes(STL)
    (inbox / "hook.toml").write_bytes(content)
    async with hot_folder(inbox, still_s=0) as market:
        assert await market.offers() == []
        folder = rejected(inbox)
        assert folder.name.startswith("hook-hf-")
        assert lying(folder) == {"hook.toml", "hook.stl", "WHY.txt", "order.json"}
        why = (folder / "WHY.txt").read_text()
        assert expected in why
        assert "drop it into the hot folder again" in why
        assert [entry["file"] for entry in logs if entry["event"] == "hot_folder_rejected"] == ["hook.toml"]
        assert lying(inbox) == set()


@unwatched
async def test_all_mistakes_are_told_at_once(inbox: Path) -> None:
    (inbox / "order.toml").write_text('payout = 5\n[[items]]\nfile = "a/hook.stl"\nquantity = -1\nsupport = "no"\n')
    async with hot_folder(inbox, still_s=0) as market:
        await market.offers()
    why = (rejected(inbox) / "WHY.txt").read_text()
    for place in ("payout:", "item 1, file:", "item 1, quantity:", "item 1, support:"):
        assert place in why


@unwatched
@pytest.mark.parametrize(
    "content",
    [
        b'[[items]]\nfile = "sub/hook.stl"\n',
        b'[[items]\nfile = "hook.stl"',
        b'items = [{file = "h\\u006fok.stl", x = 1}]',
        '[[items]]\nfile = "HOOK.stl"'.encode("utf-16"),
        b"\xff hook.stl",
    ],
)
async def test_an_stl_that_a_bad_order_file_speaks_of_is_never_printed_with_the_defaults(inbox: Path, content: bytes) -> None:
    async with hot_folder(inbox, still_s=0) as market:
        (inbox / "hook.stl").write_bytes(STL)
        (inbox / "order.toml").write_bytes(content)
        (inbox / "other.stl").write_bytes(STL)
        (offer,) = await offered(market)
        assert offer.files[0].name == "other.stl"
        assert (rejected(inbox) / "hook.stl").read_bytes() == STL


@unwatched
@pytest.mark.parametrize("restarted", [False, True])
async def test_an_stl_that_comes_after_its_bad_order_file_is_put_beside_it(inbox: Path, restarted: bool) -> None:
    (inbox / "order.toml").write_text('[[items]]\nfile = "hook.stl"\nquantity = 0\n')
    async with contextlib.AsyncExitStack() as stack:
        market = await stack.enter_async_context(hot_folder(inbox, still_s=0))
        assert await market.offers() == []
        if restarted:
            await stack.aclose()
            market = await stack.enter_async_context(hot_folder(inbox, still_s=0))
        for name in ("hook.stl", "order.stl"):
            (inbox / name).write_bytes(STL)
        assert await market.offers() == []
        assert lying(rejected(inbox)) == {"order.toml", "hook.stl", "order.stl", "WHY.txt", "order.json"}
        (inbox / "hook.stl").write_bytes(STL)
        assert len(await market.offers()) == 1, "the next one of that name is an order of its own"


@unwatched
async def test_an_order_file_that_does_not_name_the_stl_of_its_own_name_is_asked_back(inbox: Path) -> None:
    (inbox / "lid.stl").write_bytes(STL)
    (inbox / "lid.toml").write_text(ONE_ITEM)
    (inbox / "hook.stl").write_bytes(STL)
    async with hot_folder(inbox, still_s=0) as market:
        assert await market.offers() == []
    assert "does not name lid.stl" in (rejected(inbox) / "WHY.txt").read_text()
    assert lying(rejected(inbox)) == {"lid.toml", "lid.stl", "hook.stl", "WHY.txt", "order.json"}


@unwatched
async def test_a_link_to_an_order_file_is_not_followed_and_nothing_is_printed_for_it(inbox: Path, tmp_path: Path, logs: Logs) -> None:
    (tmp_path / "real.toml").write_text(ONE_ITEM)
    (inbox / "hook.toml").symlink_to(tmp_path / "real.toml")
    (inbox / "hook.stl").write_bytes(STL)
    async with hot_folder(inbox, still_s=0) as market:
        await told(market, logs, "hot_folder_waits", "hook.stl")
        assert await market.offers() == []


def look_twice(path: Path) -> list[Offer]:
    async def looks() -> list[Offer]:
        async with hot_folder(path, still_s=0) as market:
            return [*await market.offers(), *await market.offers()]

    return asyncio.run(looks())


SPOILT = st.tuples(st.integers(0, len(ONE_ITEM)), st.binary(max_size=4), st.integers(0, 3)).map(
    lambda cut: ONE_ITEM.encode()[: cut[0]] + cut[1] + ONE_ITEM.encode()[cut[0] + cut[2] :]
)


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.binary(max_size=400), st.text(max_size=200).map(lambda text: text.encode(errors="surrogatepass")), SPOILT))
def test_whatever_an_order_file_holds_nothing_is_raised_and_its_stl_is_never_printed_without_it(content: bytes) -> None:
    no_watch, no_sync = mock.patch.object(FolderWatch, "open"), mock.patch.object(os, "fsync")
    with tempfile.TemporaryDirectory() as folder, structlog.testing.capture_logs(), no_watch, no_sync:
        inbox = Path(folder)
        (inbox / "hook.toml").write_bytes(content)
        (inbox / "hook.stl").write_bytes(STL)
        for offer in look_twice(inbox):
            assert (inbox / "taken" / offer.offer_id / "hook.toml").read_bytes() == content
            assert offer.items[0].quantity > 0
        assert len(list(inbox.rglob("hook.stl"))) == len(list(inbox.rglob("hook.toml"))) == 1
