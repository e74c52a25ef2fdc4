"""The other side of the market simulation: offers of every kind, a fault in every fifth answer, and what became of each offer."""

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from agent.domain.decision import Answer
from agent.domain.order import Order, State
from agent.sandbox.models import box, demo_part, rippled_sphere, scaled, size_mm, volume_mm3, write_binary_stl
from agent.workflow import planned
from bench.market_floor import COLORS, Clock, Floor

_ACCEPTED = "accepted"
_ANYWHERE: tuple[tuple[str, float, dict[str, Any]], ...] = (
    ("error_500", 0.03, {}),
    ("unavailable_503", 0.02, {"retry_after_s": 1}),
    ("drop_before_acting", 0.02, {}),
    ("drop_reply_after_acting", 0.03, {}),
    ("broken_json", 0.02, {}),
    ("slow", 0.015, {"seconds": 3.0}),
    ("slow", 0.003, {"seconds": 15.0}),
)
_WITH_FILES: tuple[tuple[str, float, dict[str, Any]], ...] = (
    ("error_500", 0.05, {}),
    ("slow", 0.06, {"seconds": 5.0, "drip": True}),
    ("slow", 0.003, {"seconds": 15.0}),
    ("truncated_file", 0.05, {}),
    ("wrong_sha256", 0.01, {}),
    ("drop_before_acting", 0.02, {}),
)
_CALLS = ("listOffers", "getOffer", "acceptOffer", "declineOffer", "listOrders", "getOrder")
FAULTS: tuple[tuple[str, str | None, float, dict[str, Any]], ...] = (
    *((name, operation, rate, params) for operation in _CALLS for name, rate, params in _ANYWHERE),
    *((name, operation, rate, params) for operation in ("previewOfferFile", "getOrderFile") for name, rate, params in _WITH_FILES),
    *(("clock_off", None, 0.03, {"seconds": 600.0, "behind": behind}) for behind in (False, True)),
    ("offer_twice", None, 0.03, {}),
    ("not_before_accept", None, 0.02, {}),
    ("drop_reply_after_acting", "acceptOffer", 0.03, {}),
    ("offer_withdrawn", None, 0.02, {}),
    ("offer_taken", None, 0.02, {}),
)
"""(name, operation, rate, parameters): a fifth of all answers. A time-out is one that is slower than the agent waits (10 s)."""


@dataclass(frozen=True)
class Size:
    """`window_s`: how long an offer may be answered; `per_s`: how many come in a second; `bursts`: days with a night after each."""

    offers: int
    printers: int
    bursts: int
    per_s: float
    window_s: tuple[float, float]
    night_s: float
    margin_s: float = 8.0
    seed: int = 1
    slowest_s: float = 60.0
    """Answers that take longer are left out of the faults."""


@dataclass
class Models:
    """Files to print, of real sizes. Every one is sound."""

    folder: Path
    paths: list[Path] = field(default_factory=list)
    boxes: dict[str, tuple[list[float], float]] = field(default_factory=dict)

    def make(self, count: int, largest: int, luck: random.Random) -> None:
        shapes = [demo_part(), box(40, 25, 10), rippled_sphere(largest // 8), rippled_sphere(largest)]
        for number in range(count):
            mesh = scaled(shapes[number % len(shapes)], luck.uniform(0.5, 1.8))
            path = write_binary_stl(self.folder / f"model-{number}.stl", mesh)
            self.paths.append(path)
            self.boxes[path.name] = (list(size_mm(mesh)), abs(volume_mm3(mesh)))


class Driver:
    """Puts offers onto the marketplace over its control plane, from a thread of its own, so that it does not take the agent's time."""

    def __init__(self, control: str, models: Models, size: Size, clock: Clock) -> None:
        self._http = httpx.Client(base_url=control, timeout=30)
        self._models, self._size, self._clock = models, size, clock
        self._luck = random.Random(size.seed)
        self.made: list[str] = []
        self.with_files: dict[str, bool] = {}

    def close(self) -> None:
        self._http.close()

    def set_faults(self) -> None:
        for name, operation, rate, params in FAULTS:
            if params.get("seconds", 0.0) > self._size.slowest_s and name == "slow":
                continue
            asked = {"name": name, "target": operation, "rate": rate, "seed": self._size.seed, "params": params}
            self._http.post("/faults", json=asked).raise_for_status()

    def burst(self, count: int) -> None:
        """That many offers at odd intervals; now and then one is withdrawn."""
        began, due = time.monotonic(), 0.0
        for _ in range(count):
            due += self._luck.expovariate(self._size.per_s)
            time.sleep(max(0.0, began + due - time.monotonic()))
            made = self._http.post("/offers", json=self._offer()).raise_for_status().json()["offer_id"]
            self.made.append(made)
            if self._luck.random() < 0.02:
                threading.Timer(self._luck.uniform(0.0, 2.0), self._withdraw, [made]).start()

    def _withdraw(self, offer_id: str) -> None:
        self._http.post(f"/offers/{offer_id}/withdraw")  # 409 where it was answered by then: either is as good

    def _offer(self) -> dict[str, Any]:
        luck = self._luck
        paths = luck.sample(self._models.paths, luck.choice((1, 1, 1, 2, 3)))
        told = luck.random() < 0.8
        files, items = [], []
        for number, path in enumerate(paths, start=1):
            size, volume = self._models.boxes[path.name]
            files.append({"file_id": f"f{number}", "path": str(path)})
            color = luck.choice(COLORS) if luck.random() < 0.95 else None
            items.append(
                {
                    "file_id": f"f{number}",
                    "quantity": luck.choice((1, 1, 2, 3, 5)),
                    "material": luck.choice(("PLA", "PLA", "PLA", "PETG", "ASA")) if luck.random() < 0.3 else "PLA",
                    "color": {"name": color.name, "hex": color.hex} if color else {"name": "gold", "hex": "#d4af37"},
                    "infill_percent": luck.choice((10, 15, 20, 35, 60)),
                    "supports": luck.choice(("no", "yes", "operator")),
                    **({"bounding_box_mm": size, "volume_mm3": volume} if told else {}),
                }
            )
        ship_by = self._clock.now() + timedelta(hours=luck.uniform(6, 72))
        return {
            "files": files,
            "items": items,
            "payout": {"amount": f"{luck.uniform(4, 60):.2f}", "currency": "EUR"},
            "accept_within_s": luck.uniform(*self._size.window_s),
            "files_before_accept": not told or luck.random() < 0.7,
            "ship_by": ship_by.isoformat(),
        }

    def still_open(self) -> int:
        return sum(offer["state"] == "open" for offer in self._http.get("/offers").raise_for_status().json()["offers"])

    def told(self) -> tuple[list[dict[str, Any]], dict[str, Any], Counter[str]]:
        """Offers, the journal, and how often each fault happened."""
        offers = self._http.get("/offers").raise_for_status().json()["offers"]
        return offers, self._http.get("/journal").raise_for_status().json(), Counter(self._http.get("/faults").json()["happened"])


@dataclass
class Found:
    """What the simulation came to. Every list but the last two is to be empty. `seconds`: from when the list with it was read to its
    decision, `asked`: from when that list was asked for; for offers without files."""

    states: Counter[str]
    faults: Counter[str]
    requests: int
    late: list[str]
    twice: list[str]
    strangers: list[str]
    unplanned: list[str]
    broken: list[str]
    late_prints: list[str]
    seconds: list[float]
    asked: list[float]
    printed: int
    slices: int
    most_open: int
    by_person: int

    @property
    def faults_told(self) -> str:
        return ", ".join(f"{name} {count}" for name, count in self.faults.most_common())


async def simulate(floor: Floor, driver: Driver, size: Size) -> Found:
    """Days with offers, nights with prints. Afterwards everything is counted, on both sides."""
    broken: list[str] = []
    most_open = 0
    driver.set_faults()
    for number in range(size.bursts):
        count = size.offers // size.bursts + (number < size.offers % size.bursts)
        await asyncio.to_thread(driver.burst, count)
        until = time.monotonic() + size.window_s[1] + 5
        # What another process knows is no event here.
        while await asyncio.to_thread(driver.still_open) and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(0.25)
        await floor.until_quiet()
        broken += [f"{one.order_id}: {one.why}" for one in planned.current(floor.shop).broken if _goes_on(floor, one.order_id)]
        most_open = max(most_open, floor.shop.ledger.count_open())
        await floor.night(size.night_s)
    return _counted(floor, driver, broken, most_open)


def _goes_on(floor: Floor, order_id: str) -> bool:
    """One on hold, such as for a file that is another than was announced, waits for a person, and keeps no printer from the others."""
    return floor.shop.ledger.order(order_id).state is not State.ON_HOLD


def _counted(floor: Floor, driver: Driver, broken: list[str], most_open: int) -> Found:
    offers, journal, faults = driver.told()
    orders = floor.shop.ledger.orders()
    accepts = journal["acts"].get("acceptOffer", {})
    ours = {order.dossier.offer.offer_id for order in orders if order.dossier.remote is not None}
    theirs = {offer["offer_id"] for offer in offers if offer["state"] == _ACCEPTED}
    seen = Counter(order.dossier.offer.offer_id for order in orders)
    return Found(
        states=Counter(offer["state"] for offer in offers),
        faults=faults,
        requests=sum(journal["requests"].values()),
        late=[offer["offer_id"] for offer in offers if offer["state"] in ("expired", "open")],
        twice=[one for one, tally in accepts.items() if tally["done"] > 1 or len(tally["keys"]) > 1]
        + [one for one, times in seen.items() if times > 1],
        strangers=sorted(ours ^ theirs),
        unplanned=[order.id for order in orders if order.dossier.remote is not None and not _was_planned(order)],
        broken=broken,
        late_prints=[order.id for order in orders if _printed_late(order, floor)],
        seconds=_decided_after(floor.api.visible, orders, floor),
        asked=_decided_after(floor.api.asked, orders, floor),
        printed=sum(_printed_at(order, floor) is not None for order in orders),
        slices=floor.slicer.slices,
        most_open=most_open,
        by_person=len(set(floor.asked)),
    )


def _was_planned(order: Order) -> bool:
    decision = order.dossier.decision
    return decision is not None and decision.answer is Answer.ACCEPT and decision.forecast is not None and decision.forecast.ok


def _decided_after(since: Mapping[str, datetime], orders: Sequence[Order], floor: Floor) -> list[float]:
    """Sorted; of offers whose files cannot be had, so that nothing was sliced for them."""
    found = []
    for order in orders:
        if not order.dossier.offer.files_before_accept:
            decided = next((event.at for event in floor.shop.ledger.events(order.id) if event.kind == "decided"), None)
            found.append((decided - since[order.dossier.offer.offer_id]).total_seconds() if decided else float("inf"))
    return sorted(found)


def _printed_at(order: Order, floor: Floor) -> datetime | None:
    if order.state in (State.OFFERED, State.DECLINED, State.EXPIRED, State.LOST):
        return None
    moves = (event.at for event in floor.shop.ledger.events(order.id) if event.kind == "printed")
    return next(moves, None)


def _printed_late(order: Order, floor: Floor) -> bool:
    done, ship_by = _printed_at(order, floor), order.dossier.offer.ship_by
    return done is not None and ship_by is not None and done > ship_by


def percentile(values: Sequence[float], share: float) -> float:
    """Of sorted values."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else 0.0
