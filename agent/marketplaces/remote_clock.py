"""What a marketplace's clock shows, by the Date of its answers (RFC 9110, 6.6.1) and by what its offers say of their time.

Kept on the loop's clock, which nobody sets: a reading stays true when this machine's own clock is put right.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from agent.domain.account import ClockReading
from agent.domain.offer import Offer

MOST_OFFERS = 20
MOST_DATES = 8
"""Not one alone: behind one address there may be several machines, and one of them with a wrong clock."""
FIRST_YEAR, LAST_YEAR = 2000, 2400
_SECOND = timedelta(seconds=1)


class _Heard(NamedTuple):
    """At `at`, on the loop's clock, it showed `shown` or, for want of a finer answer, up to `spread` more."""

    shown: datetime
    spread: timedelta
    at: float


class RemoteClock:
    """The latest readings. An answer was made at some moment between question and answer; so much each reading leaves open."""

    def __init__(self) -> None:
        self._dates: deque[_Heard] = deque(maxlen=MOST_DATES)
        self._offers: list[_Heard] = []

    def heard_date(self, date: str, asked_at: float) -> None:
        """The Date of an answer that has just come, to a question asked at that time of the loop."""
        try:
            shown = parsedate_to_datetime(date)
        except (ValueError, TypeError, OverflowError):
            return
        if (heard := _heard(shown, asked_at, _SECOND)) is not None:  # a Date has whole seconds
            self._dates.append(heard)

    def heard_offers(self, offers: Sequence[Offer], asked_at: float) -> None:
        """When such an offer was told, `accept_within_s` were left until `accept_by`."""
        told = [_heard(shown, asked_at) for offer in offers[:MOST_OFFERS] if (shown := _told_at(offer)) is not None]
        self._offers = [heard for heard in told if heard is not None] or self._offers

    def now(self) -> list[ClockReading]:
        readings, time = [], asyncio.get_running_loop().time()
        for heard in (*self._dates, *self._offers):
            earliest = heard.shown + timedelta(seconds=time - heard.at)
            readings.append(ClockReading(earliest=earliest, latest=earliest + heard.spread))
        return readings


def _told_at(offer: Offer) -> datetime | None:
    try:
        return offer.accept_by - timedelta(seconds=offer.accept_within_s)
    except OverflowError:
        return None


def _heard(shown: datetime, asked_at: float, coarse: timedelta = timedelta()) -> _Heard | None:
    """None for what no clock shows."""
    if shown.tzinfo is None or not FIRST_YEAR <= shown.year <= LAST_YEAR:
        return None
    now = asyncio.get_running_loop().time()
    return _Heard(shown, coarse + timedelta(seconds=now - asked_at), now)
