"""Commands over a real broker: each does one small thing to what was shown, and nothing that is old, retained, too large or garbage does
anything at all."""

import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agent.dashboards import commands, inbox
from agent.domain.account import Presence
from agent.domain.order import State
from agent.domain.printer import BedState, PrinterState
from agent.workflow.acceptance import Mode
from tests.dashboards.scene import BY, Reader, Shopfront, T, broker_of, reading, say, showing
from tests.rigs.empty_ledger import lay_empty_ledger
from tests.rigs.mosquitto import Mosquitto
from tests.workflow.workshop import Outside

P = T.printer("mk3s")
OFFER = T.command("offer")


def answered(shop: Shopfront, order_id: str) -> list[tuple[str, str]]:
    return [
        (event.data["answer"].get("choice", ""), event.data["by"]) for event in shop.ledger.events(order_id) if event.kind == "answered"
    ]


async def shown(reader: Reader, *orders: str) -> None:
    """Those offers stand on the dashboard, and have for long enough."""
    await reader.until(lambda: reader.has(T.state, offers=list(orders)))
    await asyncio.sleep(commands.OFFER_SHOWN_S + 0.1)


async def refused(reader: Reader, times: int) -> str:
    """That so many commands were not done, and why the last was not."""
    await reader.until(lambda: reader.told().count("command_refused") >= times, "a refusal")
    return str(reader.json(T.event)["why"])


# --- offers -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("said", "state", "mqtt5"), [("ACCEPT", State.ACCEPTED, True), ("DECLINE", State.DECLINED, False)])
async def test_the_one_offer_that_is_shown_is_answered(
    broker: Mosquitto, shop: Shopfront, reader: Reader, said: str, state: State, mqtt5: bool
) -> None:
    order_id = await shop.offered()
    async with showing(broker_of(broker), shop, mqtt5=mqtt5):
        await shown(reader, order_id)
        await say(broker, OFFER, said)
        await reader.until(lambda: answered(shop, order_id))
    assert answered(shop, order_id) == [(said.lower(), BY)]
    await shop.settle(1)
    assert state in [State(event.data["to"]) for event in shop.ledger.events(order_id) if "to" in event.data]


async def test_an_offer_that_is_named_is_answered_whatever_else_waits(broker: Mosquitto, shop: Shopfront, reader: Reader) -> None:
    first, second = await shop.offered("f1", minutes=10), await shop.offered("f2", minutes=20)
    async with showing(broker_of(broker), shop):
        await reader.until(lambda: reader.has(T.state, offers=[first, second]))
        await say(broker, OFFER, f"ACCEPT {second}")
        await reader.until(lambda: answered(shop, second))
        await say(broker, OFFER, f"ACCEPT {second}")
        assert "does not wait" in await refused(reader, 1)
    assert (answered(shop, first), answered(shop, second)) == ([], [("accept", BY)])


async def test_a_plain_yes_is_for_nobody_where_two_offers_wait(broker: Mosquitto, shop: Shopfront, reader: Reader) -> None:
    first, second = await shop.offered("f1", minutes=10), await shop.offered("f2", minutes=20)
    async with showing(broker_of(broker), shop):
        await shown(reader, first, second)
        await say(broker, OFFER, "ACCEPT")
        assert "2 offers wait" in await refused(reader, 1)
    assert answered(shop, first) + answered(shop, second) == []


async def test_a_late_yes_to_an_offer_that_is_gone_accepts_no_other(broker: Mosquitto, shop: Shopfront, reader: Reader) -> None:
    first = await shop.offered("f1")
    async with showing(broker_of(broker), shop):
        await shown(reader, first)
        question = shop.ledger.open_questions()[0]
        shop.ledger.answer(question, {"choice": "decline"}, "Ada")
        await shop.settle()
        second = await shop.offered("f2")
        await reader.until(lambda: reader.has(T.state, offers=[second]))
        await say(broker, OFFER, "ACCEPT")
        assert "only just changed" in await refused(reader, 1)
        await say(broker, OFFER, f"ACCEPT {first}")
        assert "does not wait" in await refused(reader, 2)
    assert answered(shop, second) == []


async def test_what_only_a_person_can_tell_a_marketplace_is_not_claimed(broker: Mosquitto, shop: Shopfront, reader: Reader) -> None:
    shop.market.answered_by_person = True
    order_id = await shop.offered()
    async with showing(broker_of(broker), shop):
        await shown(reader, order_id)
        await say(broker, OFFER, f"ACCEPT {order_id}")
        assert "only your own answer" in await refused(reader, 1)
    assert answered(shop, order_id) == []


# --- printers -----------------------------------------------------------------------------------------------------------
async def test_a_print_of_the_agents_is_paused_resumed_and_cancelled(broker: Mosquitto, shop: Shopfront, reader: Reader) -> None:
    job = await shop.printing()
    async with showing(broker_of(broker), shop):
        await reader.until(lambda: reader.has(P.state, job=job))
        await asyncio.sleep(commands.PRINTER_SHOWN_S + 0.1)
        for said, asked in (("PAUSE", "pause"), ("RESUME", "resume"), (f"CANCEL {job}", "cancel")):
            await say(broker, P.command, said)
            await reader.until(lambda asked=asked: shop.printer.asked[-1:] == [f"{asked} {job}"], said)
    order_id = shop.ledger.orders()[0].id
    by = [event.data["by"] for event in shop.ledger.events(order_id) if event.kind.startswith("asked_to")]
    assert by == [BY, BY, BY]


async def test_somebody_elses_print_is_not_touched(broker: Mosquitto, shop: Shopfront, reader: Reader) -> None:
    shop.outside.printer.current, shop.outside.printer.state = "neighbours.gcode", PrinterState.PRINTING
    await shop.look()
    async with showing(broker_of(broker), shop):
        await reader.until(lambda: reader.has(P.state, job="neighbours.gcode", state="printing"))
        await asyncio.sleep(commands.PRINTER_SHOWN_S + 0.1)
        await say(broker, P.command, "CANCEL")
        assert "nothing of the agent's" in await refused(reader, 1)
        await say(broker, P.command, "CANCEL neighbours.gcode")
        assert "not printing neighbours.gcode for the agent" in await refused(reader, 2)
        await say(broker, T.printer("no-such-printer").command, "CANCEL x")
        assert "no printer" in await refused(reader, 3)
    assert shop.printer.asked == []


async def test_a_bed_is_cleared_as_it_was_shown_and_a_late_press_frees_no_other(broker: Mosquitto, shop: Shopfront, reader: Reader) -> None:
    shop.ledger.set_bed("mk3s", BedState.UNKNOWN, "printed a job of somebody else")
    async with showing(broker_of(broker), shop):
        await reader.until(lambda: reader.has(P.state, must_be_cleared="ON"))
        await asyncio.sleep(commands.PRINTER_SHOWN_S + 0.1)
        await say(broker, P.command, "BED_CLEARED")
        await reader.until(lambda: reader.has(P.state, bed_state="free"))
        assert shop.ledger.beds()["mk3s"].said_by == BY
        await asyncio.sleep(commands.PRINTER_SHOWN_S + 0.1)
        shop.ledger.set_bed("mk3s", BedState.OCCUPIED, "another part")
        await say(broker, P.command, "BED_CLEARED")  # pressed while the old bed was shown, or right after the new one was
        await refused(reader, 1)
    assert shop.ledger.beds()["mk3s"].state is BedState.OCCUPIED


async def test_a_bed_is_not_free_while_it_is_printed_on(broker: Mosquitto, shop: Shopfront, reader: Reader) -> None:
    job = await shop.printing()
    async with showing(broker_of(broker), shop):
        await reader.until(lambda: reader.has(P.state, job=job))
        await asyncio.sleep(commands.PRINTER_SHOWN_S + 0.1)
        await say(broker, P.command, "BED_CLEARED")
        assert "still at" in await refused(reader, 1)
    assert shop.ledger.beds()["mk3s"].state is BedState.OCCUPIED


# --- the agent ----------------------------------------------------------------------------------------------------------
async def test_online_is_a_persons_own_switch(broker: Mosquitto, shop: Shopfront, reader: Reader) -> None:
    async with showing(broker_of(broker), shop):
        await reader.until(lambda: reader.has(T.state, accepting="ON"))
        await say(broker, T.command("online"), "OFF")
        await reader.until(lambda: reader.has(T.state, accepting="OFF"), "the switch says so at once")
        assert (shop.market.status_set.state, BY in shop.market.status_set.reason) == (Presence.OFFLINE, True)
        await say(broker, T.command("online"), "ON")
        await reader.until(lambda: reader.has(T.state, accepting="ON"))
    assert shop.market.status_set.state is Presence.ONLINE


async def test_auto_accept_stays_off_over_a_restart_and_an_offer_that_was_asked_about_stays_the_persons(
    broker: Mosquitto, tmp_path: Path, reader: Reader
) -> None:
    lay_empty_ledger(tmp_path)
    with Shopfront(Outside(tmp_path), Mode.AUTO) as shop:
        async with showing(broker_of(broker), shop):
            await reader.until(lambda: reader.has(T.state, auto_accept="ON") and "auto_accept" in reader.json(T.discovery)["cmps"])
            await say(broker, T.command("auto_accept"), "OFF")
            await reader.until(lambda: reader.has(T.state, auto_accept="OFF"))
    with Shopfront(shop.outside, Mode.AUTO) as again:
        order_id = await again.offered()
        assert again.ledger.order(order_id).state is State.OFFERED
        again.ask_first.turn(False)
        await again.settle()
        assert again.ledger.order(order_id).state is State.OFFERED, "a person was asked, and has not answered"
        other = await again.offered("f2")
        assert again.ledger.order(other).state is not State.OFFERED


async def test_nothing_makes_the_agent_bolder_than_its_configuration(broker: Mosquitto, shop: Shopfront, reader: Reader) -> None:
    async with showing(broker_of(broker), shop):
        await reader.until(lambda: reader.has(T.state, auto_accept=None) and reader.latest.get(T.availability) == b"online")
        await say(broker, T.command("auto_accept"), "ON")
        assert "not to answer offers by itself" in await refused(reader, 1)
        assert "auto_accept" not in reader.json(T.discovery)["cmps"]


async def test_a_message_goes_to_whoever_is_called(broker: Mosquitto, shop: Shopfront, reader: Reader) -> None:
    async with showing(broker_of(broker), shop):
        await reader.until(lambda: reader.latest.get(T.availability) == b"online")
        await say(broker, T.command("notify"), "the van is here")
        await reader.until(lambda: shop.inbox.notices)
    assert [(notice.title, notice.text) for notice in shop.inbox.notices] == [(f"Message from {BY}", "the van is here")]


# --- what is no command -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("mqtt5", [True, False])
async def test_a_retained_command_is_not_done_and_cleared(broker: Mosquitto, shop: Shopfront, reader: Reader, mqtt5: bool) -> None:
    order_id = await shop.offered()
    await say(broker, OFFER, f"ACCEPT {order_id}", retain=True)
    await say(broker, P.command, "CANCEL", retain=True)
    async with showing(broker_of(broker), shop, mqtt5=mqtt5):
        await reader.until(lambda: reader.latest.get(OFFER) == b"" and reader.latest.get(P.command) == b"", "they are cleared")
        with reading(broker) as newcomer:
            await newcomer.until(lambda: newcomer.latest.get(T.state))
            assert OFFER not in newcomer.latest
        if mqtt5:  # 3.1.1 does not tell that what comes at once is to be kept as well
            await say(broker, OFFER, f"ACCEPT {order_id}", retain=True)
            await reader.until(lambda: reader.came[-1][0] == OFFER and not reader.came[-1][1])
        await asyncio.sleep(0.3)
    assert answered(shop, order_id) == []
    assert reader.told() == []


GARBAGE = [
    (OFFER, b"\xff\xfe\x00"),
    (OFFER, b"ACCEPT one two three"),
    (OFFER, b"accept"),
    (OFFER, b"ACCEPT " + b"x" * 500),
    (T.command("online"), b"MAYBE"),
    (T.command("update"), b"INSTALL"),
    (T.command("photos"), b"TAKEN"),
    (P.command, b"EXPLODE"),
    (P.command, b"BED_CLEARED mk3s"),
    (P.command, b"PAUSE\nCANCEL"),
]


async def test_garbage_does_nothing_and_each_is_answered(broker: Mosquitto, shop: Shopfront, reader: Reader) -> None:
    order_id = await shop.offered()
    async with showing(broker_of(broker), shop):
        await shown(reader, order_id)
        for n, (topic, payload) in enumerate(GARBAGE, start=1):
            reader.client.publish(topic, payload, 1)
            await refused(reader, n)
    assert answered(shop, order_id) == []
    assert shop.market.status_set.state is Presence.ONLINE


@pytest.mark.parametrize("mqtt5", [True, False])
async def test_a_megabyte_does_nothing_and_the_next_command_is_done(
    broker: Mosquitto, shop: Shopfront, reader: Reader, mqtt5: bool
) -> None:
    async with showing(broker_of(broker), shop, mqtt5=mqtt5):
        await reader.until(lambda: reader.latest.get(T.availability) == b"online")
        await say(broker, T.command("online"), b"OFF" * 350_000)
        await say(broker, T.command("notify"), "still here")
        await reader.until(lambda: shop.inbox.notices)
    assert shop.market.status_set.state is Presence.ONLINE


async def test_a_flood_is_cut_off_and_told_sparingly(broker: Mosquitto, shop: Shopfront, reader: Reader) -> None:
    topic = T.command("notify")
    with capture_logs() as logged:
        async with showing(broker_of(broker), shop):
            await reader.until(lambda: reader.latest.get(T.availability) == b"online")
            for n in range(200):
                reader.client.publish(topic, f"message {n}", 1)
            await reader.until(lambda: [where for where, _, _ in reader.came].count(topic) == 200)
            await asyncio.sleep(0.3)
    assert 0 < len(shop.inbox.notices) <= inbox.MOST_COMMANDS
    assert 0 < len([line for line in logged if line["event"] == "command_ignored"]) <= inbox.MOST_TOLD


async def test_where_commands_are_off_nothing_is_heard_and_nothing_can_be_pressed(
    broker: Mosquitto, shop: Shopfront, reader: Reader
) -> None:
    order_id = await shop.offered()
    async with showing(broker_of(broker), shop, commands=False):
        await shown(reader, order_id)
        await say(broker, OFFER, f"ACCEPT {order_id}")
        await say(broker, T.command("online"), "OFF")
        await asyncio.sleep(0.5)
        components = [*reader.json(T.discovery)["cmps"].values(), *reader.json(P.discovery)["cmps"].values()]
        assert not [component for component in components if "cmd_t" in component]
    assert answered(shop, order_id) == []
    assert shop.market.status_set.state is Presence.ONLINE
