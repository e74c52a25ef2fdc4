"""`notify --test`: does every address get its messages? And what `check` tells of them, without sending any."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

import click

from agent.commands.options import ConfigSource, config_option, json_option, say_json
from agent.config.model import Settings
from agent.domain.errors import AgentError, Refused
from agent.ledger.sql_ledger import SqlLedger
from agent.notifiers.address import is_ntfy, parse_ntfy
from agent.notifiers.calling import may_be_called
from agent.notifiers.fanout import Channel, channel_for
from agent.notifiers.ntfy import reach
from agent.ports.calls import Outcome
from agent.ports.notifier import Button, Notice
from agent.wiring import ledger_url

_LOOK_EVERY = timedelta(minutes=30)
_EVERYBODY = "everybody"


class Told(NamedTuple):
    """As a line of `check`."""

    subject: str
    level: Literal["ok", "warning", "error"]
    text: str
    hint: str = ""


@click.command()
@config_option
@json_option
@click.option("--test", "test", is_flag=True, required=True, help="Send one message to each address, and tell what came of it.")
@click.option("--person", default="", help="Only to this person. Default: to everybody.")
def notify(config: ConfigSource, as_json: bool, test: bool, person: str) -> None:  # noqa: ARG001 (there is nothing else it could do yet)
    """Send a test message to every address of [notifications], at any hour. Exit 1 where one was not taken."""
    settings = config.settings()
    addresses = [(name, url) for name, url in _addresses(settings) if person in ("", name)]
    if not addresses:
        hint = "See [notifications] in config.toml, and docs/notifications.md."
        raise Refused(f"{person or 'Nobody'} has no address that messages go to.", hint=hint, code="nobody_to_call")
    results = asyncio.run(_send_all(addresses, settings))
    if as_json:
        say_json({"ok": all(result.level == "ok" for result in results), "sent": [result._asdict() for result in results]})
    else:
        for result in results:
            click.echo(f"{result.subject}: {result.text}" + (f" — {result.hint}" if result.hint else ""))
    if any(result.level != "ok" for result in results):
        raise click.exceptions.Exit(1)


def _addresses(settings: Settings) -> list[tuple[str, str]]:
    """Whose, and which. The addresses may hold credentials."""
    called = settings.notifications
    return [(_EVERYBODY, url) for url in called.addresses] + [(person.name, url) for person in called.people for url in person.addresses]


async def _send_all(addresses: Sequence[tuple[str, str]], settings: Settings) -> list[Told]:
    text = f"From the agent {settings.agent.name}: messages reach you here. Nothing has to be done."
    buttons = [Button(label="Open the page", url=settings.web.url)] if settings.web.url else []
    notice = Notice(event="test", title="A test", text=text, buttons=buttons)
    return list(await asyncio.gather(*(_send(name, channel_for(url), notice) for name, url in addresses)))


async def _send(name: str, channel: Channel, notice: Notice) -> Told:
    try:
        await channel.send(notice)
    except AgentError as error:
        return Told(f"{name}, {channel.name}", "error", str(error), error.hint)
    finally:
        await channel.aclose()
    return Told(f"{name}, {channel.name}", "ok", "took it")


# --- check -------------------------------------------------------------------------------------------------------
async def look_at_notifications(settings: Settings, *, with_ledger: bool = True) -> list[Told]:
    """Nothing is sent, and no credential is shown to anybody. `with_ledger` False: it cannot be opened, and what is noted there is left."""
    addresses = _addresses(settings)
    if not addresses:
        return [Told("notifications", "warning", "nobody is called", "Give [notifications] an address: docs/notifications.md.")]
    found = list(await asyncio.gather(*(_reached(name, url) for name, url in addresses)))
    lately = _failed_lately(settings) if with_ledger else ()
    return [*found, *lately, *_hours_without(settings), *_no_buttons(settings)]


async def _reached(name: str, url: str) -> Told:
    channel = channel_for(url)
    subject = f"notifications, {name}, {channel.name}"
    if not is_ntfy(url):
        return Told(subject, "ok", "not tried: `intagly-agent notify --test` sends a message")
    try:
        await reach(parse_ntfy(url))
    except AgentError as error:
        return Told(subject, "error", str(error), error.hint)
    return Told(subject, "ok", "the server answers; `intagly-agent notify --test` sends a message")


def _failed_lately(settings: Settings) -> Iterator[Told]:
    """By what the daemon noted."""
    try:
        with SqlLedger(ledger_url(settings)) as ledger:
            latest = ledger.latest_calls()
    except AgentError:
        return  # told with the ledger
    known = {person.name for person in settings.notifications.people} | ({""} if settings.notifications.addresses else set())
    for name, call in latest.items():
        if call.outcome is Outcome.FAILED and name in known:
            when = f"{call.at.astimezone():%d %b %H:%M}"
            hint = "`notify_failed` in the daemon's log says why."
            yield Told(f"notifications, {name or _EVERYBODY}", "warning", f"the last message did not arrive, on {when}", hint)


def _hours_without(settings: Settings) -> Iterator[Told]:
    """Somewhen in a week nobody would be called, however urgent."""
    people = [person.value() for person in settings.notifications.people]
    if not people or settings.notifications.addresses:
        return
    now = datetime.now().astimezone().replace(minute=0, second=0, microsecond=0)
    week = [now + n * _LOOK_EVERY for n in range(7 * 48)]
    alone = next((at for at in week if not any(may_be_called(person, at, urgent=True) for person in people)), None)
    if alone is not None:
        hint = "Give somebody urgent_at_any_hour = true, if that is not what you want."
        yield Told("notifications", "warning", f"on {alone:%A at %H:%M} nobody is called, however urgent it is", hint)


def _no_buttons(settings: Settings) -> Iterator[Told]:
    wanted = any(person.buttons and any(map(is_ntfy, person.addresses)) for person in settings.notifications.people)
    if wanted and not (settings.web.listen and settings.web.url):
        hint = "Set [web] url to the address at which a phone opens the page."
        yield Told("notifications", "warning", "messages have no buttons: the page has no address that a phone could open", hint)
