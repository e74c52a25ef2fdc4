"""What an order brought: net of what has a price, never across currencies, and never zero where nobody knows."""

from datetime import UTC, datetime
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from agent.domain.booking import Booked, Booking, Prices, Rejected, booked, lost, months, sums_of
from agent.domain.stock import StockKind, Taking, Why
from agent.domain.values import Money

PRICES = Prices(
    filament_per_kg={"mk3s: PETG red": Money(amount=Decimal("40.00"), currency="EUR")},
    of_filament=Money(amount=Decimal("20.00"), currency="EUR"),
    power_w={"voron": 300},
    of_printers=100,
    per_kwh=Money(amount=Decimal("0.30"), currency="EUR"),
)


def eur(amount: str) -> Money:
    return Money(amount=Decimal(amount), currency="EUR")


def taking(job: str, grams: float, why: Why = Why.FINISHED, name: str = "mk3s: PLA black", seconds: int = 3600) -> Taking:
    return Taking(kind=StockKind.SPOOL, name=name, subject=job, amount=grams, why=why, seconds=seconds)


def book(gross: Money, *takings: Taking, prices: Prices = PRICES, rejected: Rejected | None = None) -> Booking:
    printers = {one.subject: "voron" if one.subject.startswith("v") else "mk3s" for one in takings}
    return booked(gross, takings, printers, rejected or Rejected(), prices)


def test_filament_and_power_are_taken_off_also_for_what_failed() -> None:
    booking = book(eur("12.50"), taking("j1", 100), taking("j2", 50, Why.FAILED), taking("v1", 100, name="mk3s: PETG red", seconds=7200))
    (sums,) = sums_of([booking])
    assert (sums.gross, sums.filament, sums.power) == (Decimal("12.50"), Decimal("7.0000"), Decimal("0.2400"))
    assert sums.net == Decimal("5.26")
    assert [each.job for each in booking.failed] == ["j2"]
    assert booking.unpriced == []


def test_what_has_no_price_is_said_and_is_not_nothing() -> None:
    booking = book(eur("12.50"), taking("j1", 100), prices=Prices(of_printers=100))
    assert booking.unpriced == ["filament", "power"]
    assert booking.prints[0].filament is None and booking.prints[0].energy_kwh == 0.1
    assert book(eur("12.50"), prices=Prices()).unpriced == [], "nothing was printed: nothing is missing"


def test_the_packaging_is_no_print() -> None:
    packed = Taking(kind=StockKind.PACKAGING, name="box-s", subject="packed", amount=1, why=Why.PACKED)
    booking = book(eur("1.00"), packed, taking("j1", 3))
    assert (booking.packaging, len(booking.prints)) == ("box-s", 1)


@given(st.lists(st.tuples(st.sampled_from(["EUR", "USD", "CHF"]), st.decimals(0, 1000, places=2), st.floats(0, 500)), max_size=12))
def test_currencies_are_never_added_up(orders: list[tuple[str, Decimal, float]]) -> None:
    bookings = [book(Money(amount=amount, currency=currency), taking("j", grams, seconds=0)) for currency, amount, grams in orders]
    for sums in sums_of(bookings):
        assert sums.gross == sum((amount for currency, amount, _ in orders if currency == sums.currency), Decimal())
        assert (sums.filament == 0) or sums.currency == "EUR", "filament was bought in euros"
    assert {sums.currency for sums in sums_of(bookings)} == {currency for currency, *_ in orders} | ({"EUR"} if orders else set())


def test_by_month_the_newest_first_with_what_was_made_again() -> None:
    def order(order_id: str, at: datetime, booking: Booking) -> Booked:
        return Booked(order_id=order_id, marketplace="m", remote_id="r", at=at, booking=booking)

    october, november = datetime(2026, 10, 31, 12, tzinfo=UTC), datetime(2026, 11, 1, 12, tzinfo=UTC)
    found = months(
        [
            order("a", october, book(eur("5.00"), taking("j1", 10))),
            order("b", november, book(eur("7.00"), taking("j2", 10, Why.CANCELLED), taking("j3", 20), rejected=Rejected(grams=4, times=1))),
            order("c", november, book(Money(amount=Decimal(3), currency="USD"), taking("j4", 5))),
        ],
        UTC,
    )
    assert [month.month for month in found] == ["2026-11", "2026-10"]
    newest = found[0]
    assert {sums.currency: str(sums.gross) for sums in newest.sums} == {"EUR": "7.00", "USD": "3"}
    assert (newest.failed_prints, newest.failed_g, newest.rejected, newest.rejected_g, newest.grams) == (1, 10, 1, 4, 35)


def test_what_was_given_up_brings_nothing_and_takes_off_what_it_took() -> None:
    day = datetime(2026, 11, 1, 12, tzinfo=UTC)
    loss = lost("USD", [taking("j1", 10), taking("j2", 5, Why.CANCELLED)], {}, Rejected(), PRICES)
    assert loss is not None and lost("USD", [], {}, Rejected(), PRICES) is None
    bookings = {"a": book(eur("5.00"), taking("j3", 10)), "b": loss}
    (month,) = months([Booked(order_id=name, marketplace="m", remote_id="r", at=day, booking=its) for name, its in bookings.items()], UTC)
    (sums,) = month.sums
    assert (sums.currency, str(sums.gross), sums.filament) == ("EUR", "5.00", 25 * sums_of([bookings["a"]])[0].filament / 10)
    assert (month.given_up, month.given_up_g, month.failed_prints, month.grams) == (1, 15, 0, 25)
