"""A hot folder to drop files into, what the intake does with it, and an agent that can be killed at any of its steps."""

import asyncio
import os
from collections.abc import Callable, MutableMapping
from pathlib import Path
from typing import Any

import pytest

from agent.domain.offer import Offer, Supports
from agent.domain.values import Color
from agent.marketplaces.hot_folder.inbox import WAITING
from agent.marketplaces.hot_folder.marketplace import HotFolder

STILL_S = 0.2
PATIENCE_S = 20.0
STL = b"solid hook\nendsolid hook\n"
ORDER = """
payout = "12.50 EUR"
ship_by = 2026-10-24T18:00:00+02:00
special_instructions = "gift wrap"

[[items]]
file = "hook.stl"
quantity = 2
material = "PETG"
color = { name = "signal red", hex = "#aa0000" }
infill_percent = 40
supports = "no"
layer_height_mm = 0.3

[[items]]
file = "lid.stl"
color = "white"
"""
ONE_ITEM = '[[items]]\nfile = "hook.stl"\nquantity = 3\n'

Logs = list[MutableMapping[str, Any]]

unwatched = pytest.mark.usefixtures("no_watch")
"""For tests that look by themselves: watchdog takes half a second to stop after a file was moved."""


def hot_folder(path: Path, *, still_s: float = STILL_S, accept_within_s: float = 900.0) -> HotFolder:
    return HotFolder(
        "walk-in",
        path,
        still_s=still_s,
        material="PLA",
        color=Color(name="black"),
        infill_percent=15,
        supports=Supports.OPERATOR,
        accept_within_s=accept_within_s,
    )


async def until(market: HotFolder, reached: Callable[[list[Offer]], bool]) -> list[Offer]:
    """What the intake does, until it is so. Nothing is slept: without news this ends in a time-out."""
    async with asyncio.timeout(PATIENCE_S):
        while not reached(offers := list(await market.offers())):
            await market.wait_for_news()
        return offers


async def offered(market: HotFolder, count: int = 1) -> list[Offer]:
    offers = await until(market, lambda offers: len(offers) >= count)
    assert len(offers) == count
    return offers


async def told(market: HotFolder, logs: Logs, event: str, name: str) -> str:
    """Wait until the log says this of this file; returns why."""
    found: list[str] = []

    def reached(_: list[Offer]) -> bool:
        found[:] = [entry["why"] for entry in logs if entry["event"] == event and entry["file"] == name]
        return bool(found)

    await until(market, reached)
    assert len(found) == 1
    return found[0]


def lying(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {"taken", "rejected", WAITING}


def rejected(inbox: Path) -> Path:
    (folder,) = (inbox / "rejected").iterdir()
    return folder


class Killed(BaseException):
    """The agent died here. No `except` of the product may catch it."""


class Fate:
    """Kills the agent right before or right after its n-th call that changes the disk; a dead one does nothing more."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left: int | None = None
        for name in ("rename", "mkdir", "unlink", "rmdir"):
            monkeypatch.setattr(os, name, self._mortal(getattr(os, name)))
        monkeypatch.setattr(os, "fsync", self._mortal(lambda _: None))  # slow, and only a power cut sees the difference

    def _mortal(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self._step()
            result = real(*args, **kwargs)
            self._step()
            return result

        return call

    def _step(self) -> None:
        if self.left is not None:
            self.left = max(0, self.left - 1)
            if self.left == 0:
                raise Killed

    async def survives(self, steps: int, work: Callable[[], Any]) -> bool:
        """False where it died on the way."""
        self.left = steps
        try:
            await work()
        except Killed:
            return False
        finally:
            self.left = None
        return True


async def look(inbox: Path) -> list[Offer]:
    async with hot_folder(inbox, still_s=0) as market:
        await market.offers()
        return list(await market.offers())
