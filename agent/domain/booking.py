"""What an order brought, and what it took: booked once, when it was delivered or given up, with the prices of that day.

Currencies are never added up.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import tzinfo
from decimal import Decimal

from pydantic import AwareDatetime

from agent.domain.stock import StockKind, Taking, Why
from agent.domain.values import Money, Value

_CENTS = Decimal("0.0001")
"""Of a cent the hundredth: a print of three grams costs less than ten cents."""


class Prices(Value):
    """What things cost. None, or not there: nobody said. `filament_per_kg`: by the spool's name; `of_filament` for all others.

    `power_w`: what a printer takes while it prints, by its name; `of_printers` for all others.
    """

    filament_per_kg: dict[str, Money] = {}
    of_filament: Money | None = None
    power_w: dict[str, float] = {}
    of_printers: float | None = None
    per_kwh: Money | None = None


class Print(Value):
    """One print of the order and what it took. `energy_kwh` None: it is not known how much power the printer takes."""

    job: str
    printer: str
    why: Why
    grams: float
    seconds: int
    filament: Money | None
    energy_kwh: float | None
    energy: Money | None


class Rejected(Value):
    """What was printed well, looked at, and made again."""

    grams: float = 0.0
    seconds: int = 0
    times: int = 0


class Booking(Value):
    """`packaging`: what it was packed in, where that was said. `given_up`: it was not delivered, and brought nothing."""

    gross: Money
    prints: list[Print]
    rejected: Rejected = Rejected()
    packaging: str = ""
    given_up: bool = False

    @property
    def grams(self) -> float:
        return sum(each.grams for each in self.prints)

    @property
    def failed(self) -> list[Print]:
        return [each for each in self.prints if each.why is not Why.FINISHED]

    @property
    def unpriced(self) -> list[str]:
        """What is not taken off, because nobody said what it costs."""
        found = []
        if any(each.filament is None and each.grams for each in self.prints):
            found.append("filament")
        if any(each.energy is None and each.seconds for each in self.prints):
            found.append("power")
        return found


class Booked(Value):
    """A booking with its order and its day. `remote_id`: the order's name at the marketplace."""

    order_id: str
    marketplace: str
    remote_id: str | None
    at: AwareDatetime
    booking: Booking


class Sums(Value):
    """Of one currency. `net`: gross less what has a price in this currency."""

    currency: str
    gross: Decimal = Decimal()
    filament: Decimal = Decimal()
    power: Decimal = Decimal()

    @property
    def net(self) -> Decimal:
        return self.gross - self.filament - self.power


class Month(Value):
    """`month`: "2026-11". `failed_prints`, `rejected`: how often something had to be made again for what was delivered; `given_up`: orders
    that were not. Their grams are part of `grams`."""

    month: str
    orders: list[Booked]
    sums: list[Sums]
    grams: float
    kwh: float
    failed_prints: int
    failed_g: float
    rejected: int
    rejected_g: float
    given_up: int
    given_up_g: float
    unpriced: list[str]


def booked(gross: Money, takings: Sequence[Taking], printers: Mapping[str, str], rejected: Rejected, prices: Prices) -> Booking:
    """`takings`: all of the order. `printers`: job's remote name -> its printer."""
    prints = [_print(taking, printers.get(taking.subject, ""), prices) for taking in takings if taking.kind is StockKind.SPOOL]
    packed = [taking.name for taking in takings if taking.kind is StockKind.PACKAGING]
    return Booking(gross=gross, prints=prints, rejected=rejected, packaging=", ".join(packed))


def lost(currency: str, takings: Sequence[Taking], printers: Mapping[str, str], rejected: Rejected, prices: Prices) -> Booking | None:
    """Of an order that is given up: what its prints took. None where nothing was printed."""
    booking = booked(Money(amount=Decimal(), currency=currency), takings, printers, rejected, prices)
    taken = any(each.grams or each.seconds for each in booking.prints)
    return booking.model_copy(update={"given_up": True}) if taken else None


def _print(taking: Taking, printer: str, prices: Prices) -> Print:
    per_kg = prices.filament_per_kg.get(taking.name, prices.of_filament)
    watts = prices.power_w.get(printer, prices.of_printers)
    kwh = None if watts is None else watts * taking.seconds / 3_600_000
    return Print(
        job=taking.subject,
        printer=printer,
        why=taking.why,
        grams=taking.amount,
        seconds=taking.seconds,
        filament=_times(per_kg, taking.amount / 1000),
        energy_kwh=kwh,
        energy=None if kwh is None else _times(prices.per_kwh, kwh),
    )


def _times(price: Money | None, quantity: float) -> Money | None:
    if price is None:
        return None
    return Money(amount=(price.amount * Decimal(str(quantity))).quantize(_CENTS), currency=price.currency)


def sums_of(bookings: Iterable[Booking]) -> list[Sums]:
    """One for each currency, by its name."""
    found: dict[str, dict[str, Decimal]] = {}
    for booking in bookings:
        if not booking.given_up:
            _add(found, "gross", booking.gross)
        for each in booking.prints:
            _add(found, "filament", each.filament)
            _add(found, "power", each.energy)
    return [Sums(currency=currency, **amounts) for currency, amounts in sorted(found.items())]


def _add(found: dict[str, dict[str, Decimal]], what: str, money: Money | None) -> None:
    if money is not None:
        amounts = found.setdefault(money.currency, {})
        amounts[what] = amounts.get(what, Decimal()) + money.amount


def months(orders: Sequence[Booked], zone: tzinfo | None = None) -> list[Month]:
    """By the month they were booked in, in that zone (None: this machine's), the newest first."""
    by_month: dict[str, list[Booked]] = {}
    for order in sorted(orders, key=lambda one: one.at, reverse=True):
        by_month.setdefault(f"{order.at.astimezone(zone):%Y-%m}", []).append(order)
    return [_month(month, its) for month, its in by_month.items()]


def _month(month: str, orders: list[Booked]) -> Month:
    bookings = [order.booking for order in orders]
    given_up = [booking for booking in bookings if booking.given_up]
    failed = [each for booking in bookings if not booking.given_up for each in booking.failed]
    return Month(
        month=month,
        orders=orders,
        sums=sums_of(bookings),
        grams=sum(booking.grams for booking in bookings),
        kwh=sum(each.energy_kwh or 0.0 for booking in bookings for each in booking.prints),
        failed_prints=len(failed),
        failed_g=sum(each.grams for each in failed),
        rejected=sum(booking.rejected.times for booking in bookings),
        rejected_g=sum(booking.rejected.grams for booking in bookings),
        given_up=len(given_up),
        given_up_g=sum(booking.grams for booking in given_up),
        unpriced=sorted({what for booking in bookings for what in booking.unpriced}),
    )
