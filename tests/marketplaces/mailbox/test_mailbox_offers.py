"""A mail becomes an offer: at once, whole, once."""

import asyncio
import hashlib
import json
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from agent.domain.errors import Refused, Transient
from agent.domain.offer import DeclineReason, Item, OfferState, ProblemCode, RemoteState, Supports
from agent.domain.values import Color, Money
from tests.marketplaces.mailbox.bench import (
    HOOK,
    ITEM,
    LID,
    SHIP_BY,
    TEXT,
    Logs,
    Told,
    dealt_with,
    mail,
    mail_server,
    mailbox,
    offered,
    text,
    until,
    zipped,
)
from tests.rigs.dovecot import Dovecot, running_dovecot


async def test_a_mail_becomes_an_offer_within_two_seconds(server: Dovecot, state: Path, tmp_path: Path) -> None:
    """It is told by the server itself (IDLE): the next poll would be in ten minutes."""
    async with mailbox(mail_server(server), state, poll_s=600) as market:
        assert await market.offers() == []
        waiting = asyncio.create_task(offered(market))
        await asyncio.sleep(0.3)  # it is in IDLE now
        began = time.monotonic()
        server.deliver(mail(TEXT + "Note from the customer: gift wrap\nAdd-on: sanding\nWhat is this line?\n"))
        (offer,) = await waiting
        assert time.monotonic() - began < 2
        assert offer.payout == Money(amount=Decimal("12.50"), currency="EUR")
        assert offer.ship_by == datetime.combine(SHIP_BY, datetime.max.time(), UTC).replace(microsecond=0)
        assert offer.items == [
            Item(
                item_id="i1",
                file_id="f1",
                quantity=2,
                material="PETG",
                color=Color(name="black"),
                infill_percent=40,
                supports=Supports.NO,
            )
        ]
        assert [add_on.title for add_on in offer.add_ons] == ["sanding"]
        assert 890 < offer.accept_within_s <= 900
        assert offer.special_instructions == "gift wrap\nLines of the mail that the template does not know:\nWhat is this line?"
        (file,) = offer.files
        assert (file.name, file.bytes, file.sha256) == ("hook.stl", len(HOOK), hashlib.sha256(HOOK).hexdigest())
        assert offer.files_before_accept
        await market.fetch(offer.offer_id, None, "f1", tmp_path / "f1", 10_000)
        assert (tmp_path / "f1").read_bytes() == HOOK
        record = json.loads((state / "taken" / offer.offer_id / "reading.json").read_text())
        (infill,) = [field for field in record["reading"]["fields"] if field["name"] == "infill"]
        assert infill == {"name": "infill", "text": "40 %", "line": "Infill: 40 %", "item": 1}
    assert set(server.flags()) == {""}, "no mail is marked as read"


async def test_without_idle_the_server_is_asked(state: Path) -> None:
    with running_dovecot(idle=False) as server:
        async with mailbox(mail_server(server), state, poll_s=0.1) as market:
            assert await market.offers() == []
            server.deliver(mail())
            assert len(await offered(market)) == 1


async def test_over_starttls(server: Dovecot, state: Path) -> None:
    server.deliver(mail())
    async with mailbox(mail_server(server, port=server.plain_port, starttls=True), state) as market:
        assert len(await offered(market)) == 1


async def test_a_page_is_read_as_text(server: Dovecot, state: Path) -> None:
    page = (
        "<html><head><style>x{}</style><title>You earn: 1.00 EUR</title></head><body><p>Guten Tag,</p>"
        f"<div>Sie erhalten <b>12,50&nbsp;€</b></div><div>Versand bis {SHIP_BY:%d.%m.%Y}</div>"
        f"<p>Antwort bis {SHIP_BY:%d.%m.%Y} 08:30</p>"
        "<table><tr><td>Menge</td><td>und Datei</td></tr>"
        "<tr><td>2</td><td>×</td><td>hook.stl in PETG / schwarz, Füllung 40&nbsp;%</td></tr></table>"
        "Mit freundlichen Grüßen<p>2 × lid.stl in PLA / black, Füllung 10</body>"
    )
    verdict = "mx.example.org; dkim=pass header.d=table.marketplace.example"
    server.deliver(mail(page, html=True, sender="a@table.marketplace.example", subject="Auftrag 7 wartet", verdicts=[verdict]))
    async with mailbox(mail_server(server), state) as market:
        (offer,) = await offered(market)
    (item,) = offer.items
    assert (item.quantity, item.material, item.color.name, item.infill_percent, item.supports) == (2, "PETG", "black", 40, "operator")
    assert str(offer.payout) == "12.50 EUR"
    assert offer.special_instructions == ""


async def test_models_of_an_archive_and_two_items_of_one_file(server: Dovecot, state: Path, tmp_path: Path) -> None:
    body = TEXT + ITEM.replace("hook.stl", "lid.stl") + ITEM.replace("40 %", "15")
    server.deliver(mail(body, files={"models.zip": zipped(("a/hook.stl", HOOK), ("lid.stl", LID), ("read.me", b"x"))}))
    async with mailbox(mail_server(server), state) as market:
        (offer,) = await offered(market)
        await market.fetch(offer.offer_id, None, "f2", tmp_path / "f2", 10_000)
    assert [(item.file_id, item.infill_percent) for item in offer.items] == [("f1", 40), ("f2", 40), ("f1", 15)]
    assert [file.name for file in offer.files] == ["hook.stl", "lid.stl"]
    assert (tmp_path / "f2").read_bytes() == LID


# --- once ----------------------------------------------------------------------------------------------------------


async def test_the_same_order_in_another_mail_is_no_other_order(server: Dovecot, state: Path, logs: Logs) -> None:
    server.deliver(mail())
    server.deliver(mail(text(Answer_within="10 minutes"), message_id="<2@marketplace.example>"))
    async with mailbox(mail_server(server), state) as market:
        await dealt_with(market, logs, "mail_seen_before")
        assert len(await market.offers()) == 1


async def test_a_changed_order_under_the_same_number_is_a_question(server: Dovecot, state: Path, told: Told, logs: Logs) -> None:
    server.deliver(mail())
    server.deliver(mail(text(Quantity="20"), message_id="<2@marketplace.example>"))
    async with mailbox(mail_server(server), state, told) as market:
        await dealt_with(market, logs, "mail_not_understood")
        (offer,) = await market.offers()
    assert offer.items[0].quantity == 2
    assert f"It was taken before as {offer.offer_id}, and this mail orders something else." in told.texts[0]


async def test_after_a_restart_nothing_is_read_again(server: Dovecot, state: Path, logs: Logs) -> None:
    server.deliver(mail())
    async with mailbox(mail_server(server), state) as market:
        (before,) = await offered(market)
    logs.clear()
    async with mailbox(mail_server(server), state) as market:
        (after,) = await offered(market)
    assert after.offer_id == before.offer_id
    assert after.accept_within_s <= before.accept_within_s
    assert [entry["event"] for entry in logs if entry["event"].startswith("mail_")] == []


async def test_other_numbers_for_the_same_mails_make_no_other_orders(state: Path, told: Told, logs: Logs) -> None:
    with running_dovecot() as server:
        server.deliver(mail())
        server.deliver(mail("Hello", number="MX-2", message_id="<2@marketplace.example>"))
        async with mailbox(mail_server(server), state, told) as market:
            await dealt_with(market, logs, "mail_not_understood")
            (before,) = await market.offers()
        server.stop()
        server.renumber()
        server.start()
        async with mailbox(mail_server(server), state, told) as market:
            await dealt_with(market, logs, "mail_seen_before")
            (after,) = await until(market, lambda _: len(told.notices) == 1)
    assert after.offer_id == before.offer_id
    assert "mailbox_renumbered" in [entry["event"] for entry in logs]


async def test_a_book_that_is_lost_or_broken_costs_a_second_look(server: Dovecot, state: Path, logs: Logs) -> None:
    server.deliver(mail())
    async with mailbox(mail_server(server), state) as market:
        await offered(market)
    (state / "seen.json").write_text("{")
    async with mailbox(mail_server(server), state) as market:
        await dealt_with(market, logs, "mail_seen_before")
        assert len(await market.offers()) == 1


# --- the line ------------------------------------------------------------------------------------------------------


async def test_a_server_that_goes_away_and_comes_back(state: Path, logs: Logs) -> None:
    """The line is lost while it waits; what came meanwhile is found when the server is back. As the intake does it: it tries again."""
    with running_dovecot() as server:
        async with mailbox(mail_server(server), state, poll_s=0.1) as market:
            assert await market.offers() == []
            waiting = asyncio.create_task(market.wait_for_news())
            await asyncio.sleep(0.3)  # it is in IDLE now
            server.stop()
            await waiting
            with pytest.raises(Transient):
                await market.offers()
            server.deliver(mail())
            server.start()
            assert len(await offered(market)) == 1
    assert "mailbox_line_lost" in [entry["event"] for entry in logs]


async def test_a_server_that_is_away_at_the_start_keeps_nobody_down(state: Path) -> None:
    server = Dovecot()
    try:
        async with mailbox(mail_server(server), state) as market:
            with pytest.raises(Transient):
                await market.offers()
            server.deliver(mail())
            server.start()
            assert len(await offered(market)) == 1
    finally:
        server.stop()
        server.remove()


async def test_each_of_many_mails_is_offered_as_soon_as_it_is_read(server: Dovecot, state: Path) -> None:
    for n in range(3):
        server.deliver(mail(number=f"MX-{n}", message_id=f"<{n}@x>"))
    async with mailbox(mail_server(server), state, poll_s=600) as market:
        assert [len(await market.offers()), len(await market.offers()), len(await market.offers())] == [1, 2, 3]


# --- the time to answer ---------------------------------------------------------------------------------------------


async def test_a_mail_that_came_too_long_ago_is_no_offer(server: Dovecot, state: Path, logs: Logs) -> None:
    ago = (datetime.now(UTC) - timedelta(hours=1)).strftime("%Y-%m-%d %H:%M")
    own = state.parent / "templates"
    own.mkdir(parents=True)
    example = Path("agent/marketplaces/mailbox/examples/example-lines-1.toml").read_text()
    (own / "mine.toml").write_text(
        example.replace("example-lines", "mine")
        .replace("New offer", "Offer")
        .replace("within: {answer_minutes} minutes", "by: {answer_by}")
    )
    server.deliver(mail(TEXT.replace("Answer within: 15 minutes", f"Answer by: {ago}"), subject="Offer 1"))
    async with mailbox(mail_server(server), state, templates_dir=own) as market:
        (late,) = await dealt_with(market, logs, "mail_too_late")
        assert await market.offers() == []
    assert late["why"] == f"It was to be answered until {ago} UTC."


async def test_a_person_may_say_later_that_they_accepted_in_time(server: Dovecot, state: Path) -> None:
    server.deliver(mail(text(Answer_within="1 minutes")))
    async with mailbox(mail_server(server), state) as market:
        (offer,) = await offered(market)
        market._orders._open[offer.offer_id] = 0.0  # its minute is over
        assert await market.offers() == []
        now = await market.offer(offer.offer_id)
        assert (now.state, now.accept_within_s) == (OfferState.OPEN, 0)
        assert (state / "taken" / offer.offer_id / "EXPIRED.txt").is_file()
        assert (await market.accept(offer.offer_id, "k")).state is RemoteState.ACCEPTED
    assert not (state / "taken" / offer.offer_id / "EXPIRED.txt").exists()


# --- what a person does there ----------------------------------------------------------------------------------------


async def test_an_order_on_its_way_is_kept_in_its_folder(server: Dovecot, state: Path, tmp_path: Path) -> None:
    server.deliver(mail())
    photo = tmp_path / "photo"
    photo.write_bytes(b"\xff\xd8\xff photo")
    async with mailbox(mail_server(server), state) as market:
        assert market.answered_by_person
        (offer,) = await offered(market)
        order = await market.accept(offer.offer_id, "k1")
        assert (order.state, order.order_id, order.add_ons) == (RemoteState.ACCEPTED, offer.offer_id, [])
        assert await market.offers() == []
        assert (await market.start(order.order_id, "k2")).state is RemoteState.STARTED
        await market.put_photo(order.order_id, "p1", photo, "k3")
        await market.report_problem(order.order_id, ProblemCode.DELAY, "The printer is ill.", "k4")
        with pytest.raises(Refused) as refused:
            await market.label(order.order_id, tmp_path / "label")
        assert refused.value.code == "no_label"
    async with mailbox(mail_server(server), state) as market:
        assert await market.order_of(offer.offer_id) is not None
    folder = state / "taken" / offer.offer_id
    assert (folder / "photos" / "p1.jpg").is_file()
    assert "The printer is ill." in (folder / "PROBLEM.txt").read_text()


async def test_a_declined_offer_stays_declined_when_its_mail_comes_again(server: Dovecot, state: Path, logs: Logs) -> None:
    server.deliver(mail())
    async with mailbox(mail_server(server), state) as market:
        (offer,) = await offered(market)
        await market.decline(offer.offer_id, DeclineReason.PRICE, "too little", "k")
        server.deliver(mail(message_id="<2@marketplace.example>"))
        await dealt_with(market, logs, "mail_seen_before")
        assert await market.offers() == []
        assert (await market.offer(offer.offer_id)).state is OfferState.DECLINED
