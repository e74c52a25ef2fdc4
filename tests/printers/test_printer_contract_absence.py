"""What ports.printer promises of a machine behind a network: it goes away and comes back in every state, forgets, has a secret and perhaps
a broker. Nothing that was asked while it was away is done later, and no end is made up."""

import asyncio

import pytest

from agent.domain.errors import AgentError, NeedsOperator, Refused, Transient
from agent.domain.printer import PrinterState
from tests.printers.benches import (
    WRONG_SECRET,
    BrokeredBench,
    RemoteBench,
    acts_of,
    brought_to,
    known_end,
    new_name,
    print_begins,
    until,
)

OFFLINE = PrinterState.OFFLINE


@pytest.mark.parametrize("state", ["idle", "printing", "paused", "finished"])
async def test_it_goes_away_and_comes_back(remote: RemoteBench, state: str) -> None:
    name = new_name()
    before = await brought_to(remote, state, name)
    remote.goes_away()
    away = await until(remote, lambda seen: seen.state is OFFLINE)
    assert away.reason
    if state in ("idle", "printing"):
        await _nothing_can_be_had(remote, name)
    await remote.comes_back()
    back = await until(remote, lambda seen: seen.state is not OFFLINE)
    assert (back.state, back.remote_name) == (before.state, before.remote_name)
    assert remote.starts() == ([] if state == "idle" else [name])
    await _goes_on(remote, state, name)


async def _nothing_can_be_had(remote: RemoteBench, name: str) -> None:
    """Everything is asked at once, and an error says that it is away. Only that a start was not sent may be known for certain."""
    acts = acts_of(remote.printer, remote.brief, name)
    told = dict(zip(acts, await asyncio.gather(*(call() for call in acts.values()), return_exceptions=True), strict=True))
    start, proved = told.pop("start"), told.pop("never_started")
    assert isinstance(start, Transient | Refused), start
    assert proved is False or isinstance(proved, Transient), proved
    assert all(isinstance(error, Transient) for error in told.values()), told


async def _goes_on(remote: RemoteBench, state: str, name: str) -> None:
    """From where it was."""
    if state == "idle":
        await remote.printer.start(name)
        await until(remote, lambda seen: seen.busy and seen.remote_name == name)
    elif state in ("printing", "paused"):
        assert await remote.printer.outcome(name) is None
        await remote.printer.cancel(name)
        assert (await known_end(remote, name)).state is PrinterState.CANCELLED
    else:
        assert (await known_end(remote, name)).state is PrinterState.FINISHED
    assert not await remote.printer.never_started(name)
    assert remote.starts() == [name]


@pytest.mark.parametrize("end", [PrinterState.FINISHED, PrinterState.CANCELLED, PrinterState.FAILED])
async def test_a_print_that_ends_while_it_is_away(remote: RemoteBench, end: PrinterState) -> None:
    name = new_name()
    await print_begins(remote, remote.brief if end is PrinterState.FINISHED else remote.lasting, name)
    await until(remote, lambda seen: seen.state is PrinterState.PRINTING)
    remote.goes_away()
    await until(remote, lambda seen: seen.state is OFFLINE)
    if end is PrinterState.CANCELLED:
        await remote.a_person_does("cancel", name)
    elif end is PrinterState.FAILED:
        await remote.it_fails(name)
    await remote.it_ends()
    await remote.comes_back()
    told = await known_end(remote, name)
    assert (told.state, told.remote_name) == (end, name)
    assert told.reason or end is PrinterState.FINISHED
    assert not await remote.printer.never_started(name)
    assert remote.starts() == [name]


async def test_what_a_person_does_while_it_is_away_is_seen_afterwards(remote: RemoteBench) -> None:
    name = new_name()
    await brought_to(remote, "printing", name)
    remote.goes_away()
    await until(remote, lambda seen: seen.state is OFFLINE)
    await remote.a_person_does("pause", name)
    await remote.comes_back()
    assert (await until(remote, lambda seen: seen.state is PrinterState.PAUSED)).remote_name == name


@pytest.mark.parametrize("state", ["idle", "printing"])
async def test_a_power_cut_takes_what_it_was_at(remote: RemoteBench, state: str) -> None:
    """Nobody but a person can tell how far a print came that was cut off. A file is still there, and can be started."""
    name, printer = new_name(), remote.printer
    await brought_to(remote, state, name)
    await remote.power_cut()
    back = await until(remote, lambda seen: seen.state is not OFFLINE)
    assert not back.busy
    assert await printer.outcome(name) is None
    assert not await printer.never_started(name)
    if state == "idle":
        assert remote.starts() == []
        await printer.start(name)
        await until(remote, lambda seen: seen.busy and seen.remote_name == name)
    assert remote.starts() == [name]


async def test_a_wrong_secret_is_for_a_person(remote: RemoteBench) -> None:
    async with remote.stranger() as stranger:
        seen = await stranger.observe()
        assert (seen.state, WRONG_SECRET in seen.reason) == (OFFLINE, False)
        told = [seen.reason]
        for act, call in acts_of(stranger, remote.brief, new_name()).items():
            # A start that was certainly not sent may say that first.
            with pytest.raises((NeedsOperator, Refused) if act == "start" else NeedsOperator) as wrong:
                await call()
            assert isinstance(wrong.value, AgentError)
            assert wrong.value.code in ("wrong_key", "wrong_password")
            told.append(wrong.value.told())
        assert not any(WRONG_SECRET in text for text in told)
    assert (await remote.printer.observe()).state is PrinterState.IDLE
    assert remote.starts() == []


@pytest.mark.parametrize("state", ["idle", "printing", "paused"])
async def test_its_broker_restarts(brokered: BrokeredBench, state: str) -> None:
    name = new_name()
    before = await brought_to(brokered, state, name)
    await brokered.broker_restarts()
    back = await until(brokered, lambda seen: seen.state is not OFFLINE)
    assert (back.state, back.remote_name) == (before.state, before.remote_name)
    assert brokered.starts() == ([] if state == "idle" else [name])
    await _goes_on(brokered, state, name)
