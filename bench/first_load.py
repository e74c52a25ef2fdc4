"""How long a phone that was never here before waits for each page, and for how many bytes: Chromium, slowed down as its DevTools do it.

The profile is Lighthouse's "Slow 4G" for the line and a processor four times slower: 150 ms for each request, 1.6 Mbit/s down, 0.75 up.
`make bench`, or `python -m bench.first_load [LOADS]`.
"""

import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser

from agent.domain.question import Step
from bench.figures import Figure, keep
from tests.browser.chromium import PHONE, chromium, patient
from tests.browser.loading import Meter
from tests.browser.pages import every_page, kind_of
from tests.browser.phone import Phone
from tests.browser.shop import PERSON, Shop, open_shop

MOST_S = 1.0
MOST_BYTES = 100_000
LATENCY_MS, DOWN_KBPS, UP_KBPS, CPU = 150.0, 1638.4, 750.0, 4.0
_SHOWN = """async () => {
  const painted = await new Promise((there) => new PerformanceObserver((list) => {
    for (const paint of list.getEntriesByName("first-contentful-paint")) there(paint.startTime);
  }).observe({ type: "paint", buffered: true }));
  const [page] = performance.getEntriesByType("navigation");
  return [painted, page.domContentLoadedEventEnd, page.loadEventEnd];
}"""


def main(loads: int = 5) -> int:
    with tempfile.TemporaryDirectory() as temporary, chromium() as browser, open_shop(Path(temporary), fresh=True) as shop:
        first = patient(browser.new_context(**PHONE))
        phone = Phone(first.new_page(), shop.url)
        phone.sign_in(shop.first_code, PERSON)
        _something_to_see(shop)
        paths = list(every_page(phone.page, shop.url))
        print(f"{'page':20} {'painted':>9} {'usable':>9} {'loaded':>9}   medians of {loads}; bytes; load {os.getloadavg()[0]:.1f}")
        met = [_told(path, loads, list(_loads(browser, phone, path, loads))) for path in paths]
        keep("first_load", [figure for figures in met for figure in figures])
        return 0 if all(figure.met for figures in met for figure in figures) else 1


def _something_to_see(shop: Shop) -> None:
    """An order that waits for photos, and one for its bed."""
    waits, _ = shop.printed("mug.stl", "plate.stl")
    shop.lead_to_its_end(waits, until=Step.PHOTOS)


def _loads(browser: Browser, phone: Phone, path: str, count: int) -> Iterator[tuple[list[float], int]]:
    """Milliseconds until painted, usable and loaded, and bytes, each time with nothing kept from before."""
    for _ in range(count):
        context = patient(browser.new_context(**PHONE, storage_state=phone.page.context.storage_state()))
        page = context.new_page()
        meter = Meter(page)
        meter.throttle(LATENCY_MS, DOWN_KBPS, UP_KBPS, CPU)
        loaded = meter.load(phone.url + path)
        yield page.evaluate(_SHOWN), loaded.size
        context.close()


def _told(path: str, count: int, loads: list[tuple[list[float], int]]) -> list[Figure]:
    painted, usable, loaded = (statistics.median(times[n] for times, _ in loads) / 1000 for n in range(3))
    size = max(size for _, size in loads)
    met = usable <= MOST_S and size <= MOST_BYTES
    print(f"{kind_of(path):20} {painted:7.2f} s {usable:7.2f} s {loaded:7.2f} s   {size:6} {'met' if met else 'NOT MET'}")
    usable_figure = Figure(f"{kind_of(path)}: usable, median of {count}", usable, "s", MOST_S)
    return [usable_figure, Figure(f"{kind_of(path)}: bytes", size, "B", MOST_BYTES)]


if __name__ == "__main__":
    sys.exit(main(*(int(argument) for argument in sys.argv[1:])))
